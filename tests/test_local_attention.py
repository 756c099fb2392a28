"""The networks whose attention is each image's own, and GoogLeNet: what they are, in NumPy."""

import dataclasses
import importlib
import json

import keras
import numpy as np
import pytest
from check import check_arch, check_layer, leaves, ramp, run_python
from scipy import ndimage
from tables import blobs
from test_baselines import count, symbolic

import thyroid_keras as tk
from thyroid_keras.archs import residual_attention, vgg_attention
from thyroid_keras.data.splits import make_splits
from thyroid_keras.explain import attention_maps, has_attention, has_class_map
from thyroid_keras.layers import LocalAttention
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import Training, override

googlenet = importlib.import_module("thyroid_keras.archs.googlenet")  # not the function
SHAPE = {"image_shape": (48, 40, 3), "num_classes": 3}
NARROW = {  # filters, with every block of the networks
    "googlenet": (googlenet, "INCEPTIONS", {b: (4, 2, 3, 2, 3, 2) for b in googlenet.INCEPTIONS}),
    "resattnet92": (residual_attention, "STAGES", ((8, 1), (12, 2), (16, 3), (20, 0))),
    "vgg_att3": (vgg_attention, "STAGES", ((2, 2), (3, 2), (4, 3), (5, 3), (5, 3), (5, 2))),
}


def narrow(patch, name, **arguments):
    """A network of few filters, built as the large one is."""
    patch.setattr(*NARROW[name])
    patch.setattr(vgg_attention, "WIDTH", 5)
    return tk.build(name, **SHAPE | arguments)


@pytest.mark.parametrize(
    ("name", "side", "num_classes", "expected"),
    [
        ("googlenet", 224, 1000, 6_624_904),
        ("resattnet92", 224, 1000, 52_466_344),
        pytest.param("resattnet92", 64, 3, 50_423_491, marks=pytest.mark.slow),
        ("vgg_att3", 32, 5, 19_847_749),
        ("vgg_att3", 224, 5, 32_430_661),
    ],
)
def test_parameters_are_those_of_the_public_networks(name, side, num_classes, expected):
    assert count(name, image_shape=(side, side, 3), num_classes=num_classes) == expected


@pytest.mark.slow
def test_features_have_the_papers_sizes():
    with symbolic("googlenet") as model:
        ends = {"pool2": 28, "inception3b": 28, "inception4e": 14, "inception5b": 7}
        assert {n: model.get_layer(n).output.shape[1] for n in ends} == ends
        assert model.get_layer("inception5b").output.shape[-1] == 1024
    with symbolic("resattnet92") as model:
        for s, (side, filters) in enumerate(((56, 256), (28, 512), (14, 1024)), 1):
            masks = [x for x in model.layers if x.name.startswith(f"stage{s}") and
                     x.name.endswith("_mask")]  # fmt: skip
            assert [m.output.shape[1:] for m in masks] == [(side, side, filters)] * s
            halvings = {x.name for x in model.layers if x.name.startswith(f"stage{s}_unit2_pool")}
            assert halvings == {f"stage{s}_unit2_pool{d}" for d in range(1, 5 - s)}
    with symbolic("vgg_att3", image_shape=(64, 96, 3)) as model:
        sizes = [model.get_layer(f"attention{s}").output.shape[1:] for s in (3, 4, 5)]
        assert sizes == [(64, 96, 1), (32, 48, 1), (16, 24, 1)]
        assert model.get_layer("global").kernel_size == (2, 3)


# GoogLeNet


def pool_numpy(x, size, start, stop):
    """Maxima of windows two apart; `x` is surrounded by `start` and `stop` of what never wins."""
    edges = ((0, 0), (start, stop), (start, stop), (0, 0))
    x = np.pad(x, edges, constant_values=-np.inf)
    rows, columns = (range(0, side - size + 1, 2) for side in x.shape[1:3])
    return np.stack(
        [
            np.stack([x[:, i : i + size, j : j + size].max((1, 2)) for j in columns], 1)
            for i in rows
        ],
        1,
    )


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("sides", [(5, 8), (7, 6), (4, 9), (2, 3)])
def test_windows_reach_over_the_edge(size, sides):
    x = ramp(2, *sides, 3)
    image = keras.Input(x.shape[1:])
    found = keras.Model(image, googlenet._pool(image, size, name="pool"))(x)
    height, width = (-(-(side - size) // 2) + 1 for side in sides)  # rounded up
    assert found.shape == (2, height, width, 3)
    np.testing.assert_array_equal(found, pool_numpy(x, size, 0, 2)[:, :height, :width])


@pytest.mark.slow
def test_images_are_brought_from_imagenets_scale_to_that_of_the_weights(monkeypatch):
    arguments = {"transform_input": True, "normalization": "torch"}
    model = narrow(monkeypatch, "googlenet", **arguments)
    front = keras.Model(model.input, model.get_layer("transform_input").output)
    images = ramp(2, 48, 40, 3)
    np.testing.assert_allclose(front(images), 2 * images - 1, atol=1e-5)


@pytest.mark.slow
def test_who_starts_from_a_file_sees_images_as_its_network_does(monkeypatch, tmp_path):
    begun = narrow(monkeypatch, "googlenet", transform_input=True, normalization="tf")
    begun.save(tmp_path / "begun.keras")
    weights = f"weights={tmp_path / 'begun.keras'}"
    alone = override(RECIPES["googlenet"]["quick"], [weights])
    assert alone.arguments()["normalization"] == "tf"
    assert override(alone, ["weights=none"]).arguments()["normalization"] is None
    found = {"weights": tmp_path / "begun.keras", "normalization": "tf"}
    again = narrow(monkeypatch, "googlenet", **found)
    images = ramp(2, 48, 40, 3)
    expected = begun.predict_on_batch(images)
    np.testing.assert_allclose(again.predict_on_batch(images), expected, atol=1e-6)
    settings = ["backbone=googlenet", "backbone_arguments=", "image_size=32", "epochs=2",
                "cutoff_epochs=1", "batch_size=8", "pixel_channels=2",
                weights]  # fmt: skip
    recipe = override(RECIPES["global_attention"]["quick"], settings)
    splits = make_splits(blobs(24), progress=False)
    model = recipe.procedure(recipe, splits, Training(checkpoints=None, feed=feed))
    names = [layer.name for layer in model.layers]
    assert "transform_input" in names and "tf" in names, "another network than the one that learned"


@pytest.mark.slow
def test_googlenets_dropout_hides_no_class_map(monkeypatch):
    model = narrow(monkeypatch, "googlenet")
    assert model.get_layer("drop").rate == 0.2 and has_class_map(model)
    images = ramp(2, 48, 40, 3)
    maps = np.stack([tk.explain.class_activation_map(model, images, k) for k in range(3)], -1)
    biased = maps.mean((1, 2)) + model.get_layer("logits").bias.numpy()
    np.testing.assert_allclose(biased, model.predict_on_batch(images), atol=1e-4)


# VGG-att3


ATTENTIONS = ["softmax", pytest.param("sigmoid", marks=pytest.mark.slow)]


@pytest.mark.parametrize("normalization", ATTENTIONS)
def test_local_attention_contract(normalization):
    check_layer(lambda **kwargs: LocalAttention(normalization, **kwargs), (7, 5, 3), (1, 1, 3))


@pytest.mark.parametrize("normalization", ["softmax", "sigmoid"])
def test_local_attention_is_the_equation(normalization):
    x, g = ramp(2, 7, 5, 3), ramp(2, 1, 1, 3) - 0.5
    layer = LocalAttention(normalization)
    alpha = leaves(layer(x, g))["output"]
    (u,) = layer.get_weights()
    c = (x + g).astype(float) @ u[0, 0].astype(float)
    p = np.exp(c - c.max((1, 2), keepdims=True))
    expected = (
        p / p.sum((1, 2), keepdims=True) if normalization == "softmax" else 1 / (1 + np.exp(-c))
    )
    np.testing.assert_allclose(alpha, expected, atol=1e-6)
    same = np.allclose(leaves(layer(x, g + 1))["output"], alpha, atol=1e-6)
    assert same == (normalization == "softmax")
    with pytest.raises(ValueError, match="Received: normalization='range'"):
        LocalAttention("range")


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_vgg_att3_classifies_what_its_maps_weigh(attention, monkeypatch):
    model = narrow(monkeypatch, "vgg_att3", attention=attention)
    images = ramp(2, 48, 40, 3)
    maps = attention_maps(model, images)
    assert has_attention(model) and list(maps) == ["attention3", "attention4", "attention5"]
    names = ("project3", "stage4_conv3_relu", "stage5_conv3_relu", "attended")
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    *features, attended = (np.asarray(y, float) for y in probe(images))
    weighed = [(a[..., None] * x) for a, x in zip(maps.values(), features, strict=True)]
    pool = np.sum if attention == "softmax" else np.mean
    expected = np.concatenate([pool(w, (1, 2)) for w in weighed], axis=1)
    np.testing.assert_allclose(attended, expected, rtol=1e-3, atol=1e-5)
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(model(images), attended @ kernel + bias, atol=1e-4)


@pytest.mark.slow
def test_kernels_of_equal_shape_start_apart(monkeypatch):
    model = narrow(monkeypatch, "vgg_att3")
    first, second = (model.get_layer(f"stage6_conv{c}").kernel.numpy() for c in (1, 2))
    assert first.shape == second.shape and not np.array_equal(first, second)
    gammas = np.concatenate([model.get_layer(f"stage{s}_conv2_bn").gamma for s in range(1, 7)])
    assert len(np.unique(gammas)) == len(gammas) and 0 <= gammas.min() and gammas.max() <= 1


# ResAttNet-92


@pytest.mark.parametrize("sides", [(5, 8), (7, 6), (2, 1)])
def test_halving_takes_maxima_of_negative_values_too(sides):
    x = ramp(2, *sides, 3) - 2
    image = keras.Input(x.shape[1:])
    model = keras.Model(image, residual_attention._halve(image, name="pool"))
    np.testing.assert_array_equal(model(x), pool_numpy(x, 3, 1, 1))


class Unit:
    """An attention unit in NumPy, with the weights of ours."""

    def __init__(self, model):
        self.layers = {x.name: [w.astype(float) for w in x.get_weights()] for x in model.layers}

    def norm(self, x, name):
        gamma, beta, mean, variance = self.layers[f"{name}_bn"]
        return np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)

    def conv(self, x, name):
        (kernel,) = self.layers[name]
        reach = len(kernel) // 2
        padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        height, width = x.shape[1:3]
        return sum(
            padded[:, i : i + height, j : j + width] @ kernel[i, j]
            for i, j in np.ndindex(*kernel.shape[:2])
        )

    def bottleneck(self, x, name):
        y = x
        for c in (1, 2, 3):
            y = self.conv(self.norm(y, f"{name}_conv{c}"), f"{name}_conv{c}")
        return x + y

    def enlarge(self, x, size):
        grid = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, x.shape[1:3], strict=True)]
        places = np.stack(np.meshgrid(*grid, indexing="ij"))
        planes = [[ndimage.map_coordinates(plane, places, order=1, mode="nearest")
                   for plane in np.moveaxis(one, -1, 0)] for one in x]  # fmt: skip
        return np.moveaxis(np.array(planes), 1, -1)

    def __call__(self, x):
        """With three halvings, one after the other."""
        x = trunk = self.bottleneck(x, "u_first")
        trunk = self.bottleneck(self.bottleneck(trunk, "u_trunk1"), "u_trunk2")
        at = [x]
        for depth in (3, 2, 1):
            at.append(self.bottleneck(pool_numpy(at[-1], 3, 1, 1), f"u_down{depth}"))
        y = self.enlarge(self.bottleneck(at[3], "u_up1"), at[2].shape[1:3])
        y = y + at[2] + self.bottleneck(at[2], "u_side2")
        y = self.enlarge(self.bottleneck(y, "u_up2"), at[1].shape[1:3])
        y = y + at[1] + self.bottleneck(at[1], "u_side3")
        y = self.enlarge(self.bottleneck(y, "u_up3"), x.shape[1:3]) + trunk
        for i in (1, 2):
            y = self.conv(self.norm(y, f"u_mask{i}"), f"u_mask{i}")
        return self.bottleneck(trunk * (1 + 1 / (1 + np.exp(-y))), "u_last")


def test_attention_unit_is_that_of_the_paper():
    image = keras.Input((9, 12, 8))
    model = keras.Model(image, residual_attention._attend(image, 3, name="u"))
    model.set_weights([w + 0.3 * ramp(*w.shape) * (w.ndim == 1) for w in model.get_weights()])
    x = ramp(2, 9, 12, 8) - 0.5
    expected = Unit(model)(x.astype(float))
    np.testing.assert_allclose(model(x), expected, atol=1e-4 * np.abs(expected).max())


# all three


def calm(model):
    """Keeps an untrained network's residual sums, which nothing normalises yet, small."""
    for layer in model.layers:
        if "_unit" in layer.name and layer.name.endswith("_conv3"):
            layer.kernel.assign(0.1 * layer.kernel)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_contract(name, monkeypatch, tmp_path):
    check_arch(
        lambda: calm(narrow(monkeypatch, name, normalization="torch")),
        tmp_path,
        logits=True,
        precision_tolerance=0.5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", NARROW)
def test_one_step_moves_every_weight_by_a_finite_gradient(name, jit, monkeypatch):
    model = narrow(monkeypatch, name, **{"attention": "sigmoid"} if name == "vgg_att3" else {})
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, jit_compile=jit)
    assert np.isfinite(model.train_on_batch(ramp(4, 48, 40, 3), np.array([0, 1, 2, 1])))
    for variable, old in zip(model.weights, before, strict=True):
        new = variable.numpy()
        assert np.isfinite(new).all(), variable.path
        # a bias before a normalisation cancels
        if variable.name != "bias" or variable.path.startswith(("global", "logits")):
            assert not np.array_equal(new, old), variable.path


def golden(patch, name):
    """Logits of a narrow network whose weights need no random generator."""
    model = narrow(patch, name)
    model.set_weights([0.5 + ramp(*w.shape) if w.ndim == 1
                       else (ramp(*w.shape) - 0.5) * 3 / np.sqrt(np.prod(w.shape[:-1]))
                       for w in model.get_weights()])  # fmt: skip
    return leaves(model(ramp(1, 48, 40, 3)))["output"][0].tolist()


@pytest.mark.slow
def test_jax_gives_the_same(monkeypatch):
    code = """
import sys; sys.path.insert(0, "tests")
import json, keras, pytest
from test_local_attention import NARROW, golden
values = {name: golden(pytest.MonkeyPatch(), name) for name in NARROW}
print(keras.backend.backend(), json.dumps(values))
"""
    backend, values = run_python(code, KERAS_BACKEND="jax").split(" ", 1)
    assert backend == "jax"
    for name, value in json.loads(values).items():
        assert value == pytest.approx(golden(monkeypatch, name), rel=1e-3, abs=1e-4)


def test_settings_reach_the_networks():
    recipe = RECIPES["vgg_att3"]["quick"]
    assert recipe.arguments() == {"weights": None, "normalization": None, "attention": "softmax"}
    said = dataclasses.replace(recipe, head="cam").problems()
    assert len(said) == 1 and "--set head" in said[0]
    with pytest.raises(ValueError, match="`attention`.*Received: attention='range'"):
        tk.build("vgg_att3", **SHAPE, attention="range")
