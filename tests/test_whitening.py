"""Whitening of each image: the contract, PyTorch's sample deviation, what must not matter."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from check import check_layer, ramp, run_python
from keras import ops

from thyroid_keras.layers import Whitening

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def whitened(x, policy="float32"):
    y = Whitening(dtype=policy)(x)
    return ops.convert_to_numpy(ops.cast(y, "float32"))


def test_contract():
    check_layer(lambda **kwargs: Whitening(**kwargs), (13, 10, 3))


def test_it_is_the_equation():
    x = 3 * ramp(4, 9, 7, 2).astype(np.float64) - 1
    mean = x.mean((1, 2, 3), keepdims=True)
    std = x.std((1, 2, 3), keepdims=True, ddof=1)  # torch.Tensor.std divides by n - 1
    np.testing.assert_allclose(whitened(x.astype("f")), (x - mean) / (std + 1e-6), atol=1e-5)


def test_each_image_by_itself():
    x = ramp(3, 8, 8, 1)
    alone = np.concatenate([whitened(x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(whitened(x * [[[[1]]], [[[5]]], [[[0.1]]]]), alone, atol=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0, 250.0])
def test_constant_image_becomes_zeros(policy, value):
    x = np.full((2, 208, 272, 1), value, "float32")
    x[1, 100, 100] += 0.5
    y = whitened(x, policy)
    assert (y[0] == 0).all()
    assert np.isfinite(y).all() and y[1].max() > 200


@pytest.mark.parametrize("policy", POLICIES)
def test_statistics_are_taken_in_float32(policy):
    """A picture of weak contrast on a bright ground would be lost in half precision."""
    x = 200 + 0.01 * ramp(2, 64, 80, 1)
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True, ddof=1)
    np.testing.assert_allclose(whitened(x, policy), expected, atol=2e-2)


def test_images_of_any_size_and_a_single_pixel():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, Whitening()(image))
    for shape in ((2, 5, 9, 1), (1, 1, 1, 1)):
        y = ops.convert_to_numpy(model(ramp(*shape)))
        assert y.shape == shape and np.isfinite(y).all()
    assert abs(ops.convert_to_numpy(model(ramp(1, 5, 9, 1))).std(ddof=1) - 1) < 1e-4


def test_save_and_load(tmp_path):
    image = keras.Input((6, 5, 1))
    model = keras.Model(image, Whitening(epsilon=0.5)(image))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(ramp(2, 6, 5, 1)), model(ramp(2, 6, 5, 1)))
    assert loaded.layers[-1].epsilon == 0.5


def pictures():
    """One of detail, and one without any, where the root of the variance has no slope."""
    return np.stack([ramp(6, 5, 1), np.full((6, 5, 1), 0.3, "f")])


ON_JAX = """
import sys; sys.path.insert(0, "tests")
import jax, numpy as np, thyroid_keras
from check import ramp
from keras import ops
from test_whitening import pictures
from thyroid_keras.layers import Whitening
layer, x = Whitening(), pictures()
gradient = jax.grad(lambda x: ops.sum(layer(x) * ramp(2, 6, 5, 1)))(x)
print(*np.asarray(gradient).ravel().tolist(), *np.asarray(layer(x)).ravel().tolist())
"""


def test_gradients_are_finite_and_jax_agrees():
    layer, x = Whitening(), tf.constant(pictures())
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        value = ops.sum(y * ramp(2, 6, 5, 1))
    ours = np.concatenate([np.ravel(tape.gradient(value, x)), np.ravel(y)])
    on_jax = np.array(run_python(ON_JAX, KERAS_BACKEND="jax").split(), float)
    assert np.isfinite(ours).all() and np.isfinite(on_jax).all()
    # rtol, for the slope at a constant image is 1 / epsilon
    np.testing.assert_allclose(ours, on_jax, rtol=1e-4, atol=1e-4)


def test_wrong_epsilon_is_named():
    with pytest.raises(ValueError, match="Received: epsilon=0"):
        Whitening(epsilon=0)
