"""Every test starts from the same seeds and the float32 policy."""

import thyroid_keras  # noqa: F401  isort: skip  first: it starts the backend quietly

import keras
import pytest
from tensorflow.python.framework import config as tensorflow_config


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    # `train` switches it on for its process, where Keras then refuses XLA
    tensorflow_config.disable_op_determinism()


def pytest_collection_modifyitems(items):
    """Marks a test's slow cases as exhaustive, but for its first case, which speaks for them."""
    seen = set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        if item.get_closest_marker("slow") and test in seen:
            item.add_marker("exhaustive")
        seen.add(test)
