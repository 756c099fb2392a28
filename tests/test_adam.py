"""The fused Adam is Keras's, only faster."""

import keras
import numpy as np
import pytest
from check import ramp, run_python

from thyroid_keras.training.adam import Adam

ARGUMENTS = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-5}


def trained(make, steps=5, **arguments):
    """Weights and optimizer variables of a small net after some steps."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((6, 5, 2)), keras.layers.Conv2D(3, 3), keras.layers.Dense(2)]
    )
    model.set_weights([ramp(*w.shape) - 0.5 for w in model.get_weights()])
    rate = keras.optimizers.schedules.InverseTimeDecay(0.01, 1, 0.1)
    model.compile(make(rate, **arguments), "mse")
    for step in range(steps):
        model.train_on_batch(ramp(4, 6, 5, 2), step + ramp(4, 4, 3, 2))
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize(
    "arguments", [ARGUMENTS, {"amsgrad": True}, {"weight_decay": 0.1, "clipnorm": 0.5}]
)
def test_weights_and_moments_are_those_of_keras(arguments):
    ours, theirs = trained(Adam, **arguments), trained(keras.optimizers.Adam, **arguments)
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-5, atol=1e-6)


def test_one_operation_updates_a_weight():
    def operations(make):
        import tensorflow as tf

        weight, optimizer = keras.Variable(ramp(3, 2)), make(0.01)
        optimizer.build([weight])
        graph = tf.function(lambda: optimizer.apply([ramp(3, 2)])).get_concrete_function().graph
        return [operation.type for operation in graph.get_operations()]

    assert operations(Adam).count("ResourceApplyAdam") == 1
    assert "ResourceApplyAdam" not in operations(keras.optimizers.Adam)


def test_embedding_gradients_take_the_way_of_keras():
    def embedded(make):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 2)])
        model.compile(make(0.1), "mse")
        model.train_on_batch(np.array([[1, 2, 2]]), ramp(1, 3, 2))
        return model.get_weights()[0]

    np.testing.assert_allclose(embedded(Adam), embedded(keras.optimizers.Adam), rtol=1e-5)


def test_config_survives_the_round_trip():
    config = Adam(0.5, **ARGUMENTS).get_config()
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(Adam.from_config(config)))
    assert type(optimizer) is Adam
    assert optimizer.get_config() == config


def test_jax_trains_alike():
    code = """
import sys; sys.path.insert(0, "tests")
import thyroid_keras
from test_adam import Adam, trained
print(*[float(v.sum()) for v in trained(Adam)])
"""
    there = [float(v) for v in run_python(code, KERAS_BACKEND="jax").split()]
    np.testing.assert_allclose(there, [v.sum() for v in trained(Adam)], rtol=1e-4, atol=1e-5)
