"""Architectures: exact counts, the contract, goldens that need no random generator."""

import json

import keras
import numpy as np
import pytest
from check import check_arch, leaves, ramp, run_python

import thyroid_keras as tk

SMALL = {"image_shape": (32, 48, 1), "stage_filters": (4, 6, 8, 10, 12)}
ARCHS = ("cs_agnet", "ds_agnet", "vgg_unet", "vgg_unet_seg")
SEGMENTERS = ("ds_agnet", "vgg_unet_seg")  # which the others hold whole
SMALL_SONONET = {
    "image_shape": (37, 50, 1),
    "num_classes": 3,
    "filters": 2,
    "stage_convs": (1, 2, 1, 1, 1),
}
SONONETS = {
    "sononet": ("sononet", {}),
    **{a: ("ag_sononet", {"aggregation": a}) for a in ("mean", "deep_sup", "ft", "concat")},
}


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "count"), [("ds_agnet", 9_846_503), ("cs_agnet", 10_163_710), ("vgg_unet", 9_283_832)]
)
def test_parameters_at_the_papers_size(name, count):
    assert trainable(tk.build(name, image_shape=(192, 192, 1), num_classes=2)) == count


def test_classification_branch_alone():
    model = tk.build("cs_agnet")
    branch = keras.Model(model.input, model.output["label"])
    assert trainable(branch) == 6_549_879


@pytest.mark.parametrize(
    "name", ["cs_agnet", "vgg_unet", *(pytest.param(n, marks=pytest.mark.slow) for n in SEGMENTERS)]
)
def test_contract(name, tmp_path):
    check_arch(lambda: tk.build(name, **SMALL), tmp_path)


@pytest.mark.parametrize("name", SONONETS)
def test_sononet_contract(name, tmp_path):
    arch, arguments = SONONETS[name]
    check_arch(lambda: tk.build(arch, **SMALL_SONONET, **arguments), tmp_path, logits=True)


@pytest.mark.parametrize(("name", "jit"), [("sononet", True), ("ft", True), ("deep_sup", False)])
def test_one_step_moves_every_weight_of_sononet(name, jit):
    arch, arguments = SONONETS[name]
    model = tk.build(arch, **SMALL_SONONET, **arguments)
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classes = np.array([0, 1, 2, 1])
    if isinstance(model.output, dict):
        loss, classes = dict.fromkeys(model.output, loss), dict.fromkeys(model.output, classes)
    model.compile(keras.optimizers.SGD(1.0), loss, jit_compile=jit)
    assert np.isfinite(model.train_on_batch(ramp(4, 37, 50, 1), classes)).all()
    for variable, old in zip(model.weights, before, strict=True):
        # a bias before a normalisation cancels, that of the gates' scores included
        if variable.name != "bias" or variable.path.startswith("logits"):
            assert not np.array_equal(variable.numpy(), old), variable.path


@pytest.mark.parametrize(
    ("name", "jit"),
    [
        ("cs_agnet", False),
        ("vgg_unet", False),
        # which XLA compiles slowly
        *(pytest.param(n, True, marks=pytest.mark.slow) for n in ARCHS),
    ],
)
def test_one_step_moves_every_weight(name, jit):
    model = tk.build(name, **SMALL)
    x = ramp(4, *model.input_shape[1:])
    truth = {k: (ramp(*v.shape) > 0.5).astype("f") for k, v in leaves(model(x)).items()}
    if "label" in truth:
        truth["label"] = np.eye(2, dtype="f")[[0, 1, 1, 0]]
    before = model.get_weights()
    model.compile(
        keras.optimizers.SGD(1.0), dict.fromkeys(truth, "binary_crossentropy"), jit_compile=jit
    )
    losses = [model.train_on_batch(x, truth, return_dict=True)["loss"] for _ in range(2)]
    assert np.isfinite(losses).all()
    for variable, old in zip(model.weights, before, strict=True):
        # a bias before a normalisation cancels, that of the gates' scores included
        if variable.name != "bias" or variable.path.split("/")[0] in (*truth, "vote1", "up4"):
            assert not np.array_equal(variable.numpy(), old), variable.path


def settled(shape):
    """Weights that keep the activations' size from layer to layer."""
    if len(shape) == 1:
        return 0.5 + ramp(*shape)
    return (ramp(*shape) - 0.5) * 3 / np.sqrt(np.prod(shape[:-1]))


def golden(name):
    model = tk.build(name, **SMALL)
    model.set_weights([settled(w.shape) for w in model.get_weights()])
    outputs = leaves(model.predict_on_batch(ramp(2, 32, 48, 1)))
    return {k: float((v * ramp(*v.shape)).mean()) for k, v in sorted(outputs.items())}


GOLDENS = {
    "cs_agnet": {
        "label": 0.2928691,
        "mask": 0.3326174,
        "mask_2": 0.2997237,
        "mask_4": 0.286426,
        "mask_8": 0.3545049,
    },
    "ds_agnet": {
        "mask": 0.3326174,
        "mask_2": 0.2997237,
        "mask_4": 0.286426,
        "mask_8": 0.3545049,
    },
    "vgg_unet": {
        "label": 0.2920718,
        "mask": 0.3346558,
        "mask_2": 0.2752468,
        "mask_4": 0.2888475,
        "mask_8": 0.3536248,
    },
    "vgg_unet_seg": {
        "mask": 0.3346558,
        "mask_2": 0.2752468,
        "mask_4": 0.2888475,
        "mask_8": 0.3536248,
    },
}


@pytest.mark.parametrize("name", ARCHS)
def test_goldens(name):
    assert golden(name) == pytest.approx(GOLDENS[name], rel=1e-4)


def test_jax_gives_the_same():
    code = """
import sys; sys.path.insert(0, "tests")
import json, keras
from test_archs import golden
values = {name: golden(name) for name in ("cs_agnet",)}
print(keras.backend.backend(), json.dumps(values))
"""
    backend, values = run_python(code, KERAS_BACKEND="jax").split(" ", 1)
    assert backend == "jax"
    for name, value in json.loads(values).items():
        assert value == pytest.approx(GOLDENS[name], rel=1e-4)


def test_attention_maps_are_outputs_of_named_layers():
    model = tk.build("cs_agnet", **SMALL)
    names = [f"{branch}_gate{i}" for branch in ("mask", "label") for i in (1, 2, 3)]
    shapes = [model.get_layer(name).output.shape[1:] for name in names]
    assert shapes == [(4, 6, 1), (8, 12, 1), (16, 24, 1), (16, 24, 1), (8, 12, 1), (4, 6, 1)]


def test_odd_number_of_classes_and_channels():
    model = tk.build("cs_agnet", **SMALL | {"image_shape": (16, 16, 3)}, num_classes=5)
    assert leaves(model(ramp(1, 16, 16, 3)))["label"].shape == (1, 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_shape": (100, 96, 1)}, "multiples of 16"),
        ({"stage_filters": (8, 16)}, "five numbers"),
    ],
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        tk.build("cs_agnet", **arguments)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="cs_agnet"):
        tk.build("csagnet")
