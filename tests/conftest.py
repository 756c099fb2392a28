"""Every test starts from the same seeds and the float32 policy."""

import thyroid_keras  # noqa: F401  isort: skip  first: it starts the backend quietly

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
