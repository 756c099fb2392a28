"""Batch normalisations folded into convolutions: the same answers, without them."""

import keras
import numpy as np
import pytest
from check import leaves, ramp, run_python
from keras import layers

import thyroid_keras as tk
from thyroid_keras.ensemble import ensemble
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.layers import BatchNorm

SONONET = {"image_shape": (32, 48, 1), "num_classes": 3, "filters": 2}
CS_AGNET = {"image_shape": (32, 48, 1), "stage_filters": (2, 3, 4, 5, 6)}
NETWORKS = [
    ("cs_agnet", CS_AGNET),
    ("sononet", SONONET | {"use_bias": False}),
    ("fan", {"image_shape": (32, 32, 1), "eta": 8, "passes": 3}),  # whose last stage is shared
    *(("ag_sononet", SONONET | {"aggregation": a}) for a in ("mean", "deep_sup", "ft", "concat")),
]


def used(model):
    """The model with weights as after some training: no mean is 0, no variance 1."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            used(layer)
        elif isinstance(layer, layers.BatchNormalization):
            layer.set_weights([0.5 + ramp(*w.shape) for w in layer.get_weights()])
    return model


def normalisations(model):
    return [op for op in model.operations if isinstance(op, layers.BatchNormalization)]


def agree(folded, model, atol=1e-5):
    x = ramp(2, *model.input_shape[1:])
    expected, found = leaves(model.predict_on_batch(x)), leaves(folded.predict_on_batch(x))
    assert list(found) == list(expected)
    for name, value in expected.items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(found[name], value, atol=atol * scale, err_msg=name)


@pytest.mark.parametrize(("arch", "arguments"), NETWORKS)
def test_networks_answer_as_before(arch, arguments):
    model = used(tk.build(arch, **arguments))
    model.compile("sgd", "mse")
    before = model.get_weights()
    folded = fold_batch_norm(model)
    assert normalisations(model) and not normalisations(folded) and not folded.compiled
    agree(folded, model)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [layer.name for layer in folded.layers] == [layer.name for layer in model.layers]
    x = ramp(2, *model.input_shape[1:])
    theirs = tk.explain.attention_maps(model, x)
    for name, alpha in tk.explain.attention_maps(folded, x).items():
        np.testing.assert_allclose(alpha, theirs[name], atol=1e-5)


def test_half_precision_stays_so():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = used(tk.build("sononet", **SONONET))
    folded = fold_batch_norm(model)
    assert {w.dtype for w in folded.weights} == {"float32"}
    names = ("stage1_conv1", "stage1_conv1_bn", "class_maps")
    dtypes = [[m.get_layer(name).compute_dtype for name in names] for m in (model, folded)]
    assert dtypes[0] == dtypes[1] == ["bfloat16", "bfloat16", "float32"]
    agree(folded, model, atol=5e-2)


def test_members_of_an_ensemble_are_folded():
    members = [used(tk.build("ag_sononet", **SONONET)) for _ in range(2)]
    model = ensemble(members)
    folded = fold_batch_norm(model)
    assert not any(normalisations(folded.get_layer(name)) for name in ("fold_0", "fold_1"))
    agree(folded, model)


def test_only_what_can_be_is_folded():
    image = keras.Input((8, 6, 3), name="image")
    norm = {"momentum": 0.9, "epsilon": 1e-2}
    conv = {"kernel_size": 3, "padding": "same", "bias_initializer": "ones"}
    x = BatchNorm(name="first", **norm)(image)
    x = layers.Conv2DTranspose(4, strides=2, name="transposed", **conv)(x)
    x = layers.BatchNormalization(name="a", center=False, **norm)(x)
    twice = layers.Conv2D(4, name="twice", **conv)
    x = layers.Add()([BatchNorm(name="after_one_call", **norm)(twice(x)), twice(x)])
    x = layers.Conv2D(5, activation="relu", name="relu", **conv)(x)
    x = BatchNorm(name="after_relu", **norm)(x)
    x = layers.Conv2D(6, name="read_twice", **conv)(x)
    x = layers.Add()([BatchNorm(name="one_reader", **norm)(x), x])
    x = layers.Conv2D(4, groups=2, name="grouped", **conv)(x)
    x = layers.BatchNormalization(name="b", scale=False, **norm)(x)
    x = layers.Conv2D(4, name="put_out", **conv)(x)
    outputs = {"raw": x, "y": BatchNorm(name="last", **norm)(x)}
    model = used(keras.Model(image, outputs))
    folded = fold_batch_norm(model)
    left = {layer.name for layer in normalisations(folded)}
    assert left == {"first", "after_one_call", "after_relu", "one_reader", "last"}
    agree(folded, model)


def test_other_models_are_returned_as_they_are():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 1), BatchNorm()])
    assert fold_batch_norm(model) is model


@pytest.mark.slow
def test_folds_on_jax():
    code = f"""
import sys; sys.path.insert(0, "tests")
import keras, test_folding
import thyroid_keras as tk
model = test_folding.used(tk.build("ag_sononet", **{SONONET}))
test_folding.agree(test_folding.fold_batch_norm(model), model)
print(keras.backend.backend())
"""
    assert run_python(code, KERAS_BACKEND="jax").split() == ["jax"]
