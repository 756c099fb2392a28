"""The contract that every custom layer and every architecture passes, and every refusal."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

TOLERANCE = {"mixed_float16": 2e-2, "mixed_bfloat16": 6e-2}


def fails(main, arguments, capsys, status=2):
    """Runs a command that must fail, and say why; returns what it says on stderr."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    said = capsys.readouterr().err
    assert caught.value.code == status and "Traceback" not in said, said
    assert status != 2 or "error: " in said, said
    return said


def ramp(*shape):
    """Values in [0, 1) that need no random generator and repeat nowhere nearby."""
    return (np.arange(np.prod(shape)) * 0.61803398875 % 1).reshape(shape).astype("float32")


def leaves(outputs):
    """Outputs of a model or layer as a dict of NumPy arrays."""
    if not isinstance(outputs, dict):
        outputs = {"output": outputs}
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def _as_model(layer, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(*inputs))


def check_layer(make, *shapes, weights_that_move=True, training=False):
    """Runs a layer through everything that a user's training may do to it.

    Args:
        make: function `(**keras arguments) -> layer`.
        *shapes: of the call arguments, without the batch; odd sizes are wanted.
        weights_that_move: whether every trainable weight must move in one step.
        training: whether the layer has a training mode worth a step.
    """
    inputs = [ramp(3, *shape) for shape in shapes]
    layer = make()
    config = layer.get_config()
    expected = ops.convert_to_numpy(layer(*inputs))
    assert layer.get_config() == config, "building changed the configuration"
    spec = layer.compute_output_spec(*[keras.KerasTensor(x.shape, "float32") for x in inputs])
    assert tuple(spec.shape) == expected.shape

    twin = type(layer).from_config(config)
    twin(*inputs)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(twin(*inputs)), expected)

    one = ops.convert_to_numpy(layer(*[x[:1] for x in inputs]))
    np.testing.assert_allclose(one, expected[:1], atol=1e-6)

    for value in (0.0, 0.5, 1.0):
        constant = layer(*[np.full_like(x, value) for x in inputs])
        assert np.isfinite(ops.convert_to_numpy(constant)).all(), f"constant input {value}"

    for policy, tolerance in TOLERANCE.items():
        half = make(dtype=policy)
        half(*inputs)
        half.set_weights(layer.get_weights())
        near = ops.convert_to_numpy(ops.cast(half(*inputs), "float32"))
        np.testing.assert_allclose(near, expected, atol=tolerance * np.abs(expected).max())

    for jit in (False, True):
        model = _as_model(make(), shapes)
        before = [np.array(w) for w in model.get_weights()]
        if not before:
            continue
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit)
        loss = model.train_on_batch(inputs, 2 + ramp(*expected.shape))
        assert np.isfinite(loss)
        for variable, old in zip(model.weights, before, strict=True):
            new = variable.numpy()
            assert np.isfinite(new).all(), variable.path
            if weights_that_move is True or variable.name in weights_that_move:
                assert not np.array_equal(new, old), f"{variable.path} did not move"


def check_arch(make, tmp_path, *, precision_tolerance=0.2, logits=False):
    """Runs a small model of an architecture through save, precision, jit and training.

    Args:
        make: function `() -> keras.Model`.
        tmp_path: folder for the saved model.
        precision_tolerance: how far half precision may lie off float32.
        logits: whether the outputs are logits, not probabilities or masks.
    """
    model = make()
    x = ramp(2, *model.input_shape[1:])
    expected = leaves(model(x, training=False))
    for name, value in expected.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value).all(), name
        assert logits or (value.min() >= 0 and value.max() <= 1), name

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for name, value in leaves(loaded(x, training=False)).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)

    for value in (0.0, 0.5, 1.0):
        for name, out in leaves(model(np.full_like(x, value))).items():
            assert np.isfinite(out).all(), f"{name} for a constant image of {value}"

    for policy in ("mixed_float16", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        half = make()
        half.set_weights(model.get_weights())
        for name, value in leaves(half(x, training=False)).items():
            assert value.dtype == np.float32, f"{name} under {policy}"
            np.testing.assert_allclose(
                value, expected[name], atol=precision_tolerance, err_msg=f"{name} {policy}"
            )
    keras.config.set_dtype_policy("float32")


def run_python(code, **environment):
    """Runs code in a fresh interpreter; returns its standard output, fails on errors."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=900,
        # small programs compile for longer than they run
        env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
