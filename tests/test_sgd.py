"""Our SGD: fused, it does what its equations say."""

import keras
import numpy as np
import pytest
from check import ramp, run_python

from thyroid_keras.training.sgd import SGD


def numpy_sgd(w, gradients, *, momentum, nesterov, l2, rate=0.1):
    v = np.zeros_like(w)
    for gradient in gradients:
        g = gradient + l2 * w
        v = momentum * v - rate * g
        w = w + (momentum * v - rate * g if nesterov else v)
    return w


def check_updates(momentum, nesterov, penalised):
    weights = [keras.Variable(ramp(3, 4) - 0.5, name=name) for name in ("kernel", "bias")]
    optimizer = SGD(0.1, momentum=momentum, nesterov=nesterov, l2=0.3, penalised=penalised)
    steps = [ramp(3, 4) * (i + 1) - 1 for i in range(3)]
    for step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(step)] * 2, weights)
    arguments = {"momentum": momentum, "nesterov": nesterov}
    for weight, l2 in zip(weights, (0.3, 0.3 if penalised == "all" else 0.0), strict=True):
        expected = numpy_sgd(ramp(3, 4) - 0.5, steps, l2=l2, **arguments)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, atol=1e-6)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.9, False), (0.0, False)])
@pytest.mark.parametrize("penalised", ["kernels", "all"])
def test_updates_are_the_equations(momentum, nesterov, penalised):
    check_updates(momentum, nesterov, penalised)


def test_updates_on_jax():
    code = """
import sys; sys.path.insert(0, "tests")
import keras, test_sgd
test_sgd.check_updates(0.9, True, "kernels")
print(keras.backend.backend())
"""
    assert run_python(code, KERAS_BACKEND="jax").split() == ["jax"]


@pytest.mark.parametrize("arguments", [{"l2": -1.0}, {"l2": float("nan")}, {"penalised": "bias"}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match="Received: "):
        SGD(0.1, **arguments)
