"""What CS-AGnet is compared with: Alexnet-Seg, and brightness in the place of a network."""

import dataclasses
import json

import cv2
import keras
import numpy as np
import pytest
from check import check_arch, check_layer, leaves, ramp, run_python
from tables import blobs
from test_archs import settled

import thyroid_keras as tk
from thyroid_keras.archs.alexnet_seg import KERNEL_SIZES, STAGE_FILTERS
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits
from thyroid_keras.layers import BrightnessMap
from thyroid_keras.layers.brightness import METHODS
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import Training, override
from thyroid_keras.training.checkpoints import Checkpoints

SMALL = {"image_shape": (32, 64, 1), "stage_filters": (3, 4, 5, 6, 4), "units": 8}
TINY = ["image_size=32", "stage_filters=3,4,5,6,4", "units=8", "batch_size=8",
        "segmentation_epochs=1", "epochs=1"]  # fmt: skip


def train(arch, settings, table, folder):
    recipe = override(RECIPES[arch]["quick"], settings)
    training = Training(checkpoints=folder, feed=feed)
    return recipe.procedure(recipe, make_splits(table, seed=0), training), training


def test_alexnet_seg_at_the_papers_size():
    model = tk.build("alexnet_seg")
    assert model.get_layer("pool5").output.shape[1:] == (6, 6, 256)  # as AlexNet's of 227
    widths = (1, *STAGE_FILTERS)
    convs = [k * k * a * b for k, a, b in zip(KERNEL_SIZES, widths, widths[1:], strict=False)]
    norms = [3 * f for f in STAGE_FILTERS]  # a bias, a scale and a shift each
    encoder, decoder = sum(convs) + sum(norms), sum(convs) + 1 + sum(norms[:-1])
    dense = 9216 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 2 + 2
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert count == encoder + decoder + dense == 61_995_011


def test_alexnet_seg_contract(tmp_path):
    check_arch(lambda: tk.build("alexnet_seg", **SMALL), tmp_path)


@pytest.mark.parametrize(
    ("arch", "arguments", "said"),
    [
        ("alexnet_seg", {"image_shape": (48, 64, 1)}, "multiples of 32"),
        ("alexnet_seg", {"stage_filters": (1, 2)}, "five ints"),
        ("alexnet_seg", {"num_classes": 1}, "num_classes=1"),
        ("cs_agnet", {"num_classes": 1}, "num_classes=1"),
        ("vgg_unet", {"num_classes": 0}, "num_classes=0"),
        ("alexnet_seg", {"units": 0}, "`units` must be at least 1"),
        ("classical", {"num_classes": 3}, "num_classes=3"),
        ("classical", {"method": "ci"}, "method='ci'"),
    ],
)
def test_wrong_arguments_are_named(arch, arguments, said):
    with pytest.raises(ValueError, match=said):
        tk.build(arch, **arguments)


def test_what_draws_masks_stays_as_it_is_while_the_classifier_learns(tmp_path):
    model, training = train("alexnet_seg", [*TINY, "epochs=2"], blobs(40), tmp_path)
    assert [(name, len(rows)) for name, rows in training.history.items()] == [
        ("segmentation", 1),
        ("classification", 2),
    ]
    states = [Checkpoints(tmp_path / "classification").load(epoch)[1] for epoch in (1, 2)]
    part = keras.Model(model.input, model.output["label"])
    moved = {
        variable.path.split("/")[0]
        for i, variable in enumerate(part.variables)
        if not np.array_equal(*(state[f"weights/{i}"] for state in states))
    }
    assert {name for name in moved if not name.startswith("seed")} == {"fc1", "fc2", "label"}
    assert set(leaves(model(ramp(2, 32, 32, 1)))) == {"mask", "label"}


@pytest.mark.parametrize("method", METHODS)
def test_brightness_contract(method):
    check_layer(lambda **kwargs: BrightnessMap(method, **kwargs), (13, 10, 3))


def images():
    """Speckle with a bright square, a bright single pixel and a grey field."""
    x = 0.3 + 0.1 * ramp(2, 24, 20)
    x[:, 4:8, 5:9] = 0.9
    x[0, 15, 15] = 1.0
    x[1, 12:, :] += 0.25
    return x.astype("float32")


def test_the_index_is_its_equation():
    x = images()
    z = (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)
    found = np.asarray(BrightnessMap()(x[..., None]))[..., 0]
    np.testing.assert_allclose(found, np.maximum(z - 2, 0), atol=1e-5)
    assert (found[0] > 0).sum() == 17


def otsu_numpy(image):
    """All pairs of thresholds tried, one after the other."""
    level = np.floor(image * 64)
    best, upper = -1, None
    for low in range(64):
        for high in range(low + 1, 64):
            classes = [level <= low, (level > low) & (level <= high), level > high]
            means = [level[c].mean() if c.any() else 0 for c in classes]
            value = sum(c.mean() * (m - level.mean()) ** 2
                        for c, m in zip(classes, means, strict=True))  # fmt: skip
            if value > best + 1e-9:
                best, upper = value, high
    mask = cv2.morphologyEx((level > upper).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    mask = mask > 0
    return mask * (image[mask].mean() - image[~mask].mean()) / image.std()


def test_otsu_is_all_pairs_of_thresholds_tried():
    x = images()
    found = np.asarray(BrightnessMap("otsu")(x[..., None]))[..., 0]
    for one, image in zip(found, x, strict=True):
        np.testing.assert_allclose(one, otsu_numpy(image), atol=1e-4)
    assert (found[0] > 0).sum() == 16, "the opening removes the single pixel"


@pytest.mark.parametrize("spread", [0, 3])
def test_otsu_finds_nothing_in_flat_images(spread):
    """Rounding noise is not divided by nothing, at whichever grey level it lies."""
    levels = np.arange(256 - spread, dtype="float32")[:, None, None, None]
    noise = np.random.default_rng(0).integers(0, spread + 1, (len(levels), 12, 12, 1))
    found = np.asarray(BrightnessMap("otsu")(((levels + noise) / 255).astype("float32")))
    assert found.max() < 5 and (spread or not found.any())


def test_a_method_tells_bright_blobs_and_draws_them(tmp_path):
    table = blobs(40)
    settings = ["image_size=32", "batch_size=8", "epochs=4", "method=otsu"]
    model, training = train("classical", settings, table, tmp_path)
    x = np.stack([s.image for s in table.samples])[..., None] / 255
    outputs = leaves(model(x))
    positive = outputs["label"][:, 1]
    assert positive[table.labels == 1].min() > positive[table.labels == 0].max()
    truth = np.stack([s.mask for s in table.samples])[..., None] > 0
    calcified = table.labels == 1
    np.testing.assert_array_equal((outputs["mask"] > 0.5)[calcified], truth[calcified])
    assert list(training.history) == ["calibration"]


def test_a_method_wants_two_classes(tmp_path):
    table = blobs(36)
    samples = [dataclasses.replace(s, label=i // 2 % 3) for i, s in enumerate(table.samples)]
    three = dataclasses.replace(table, samples=tuple(samples), class_names=("a", "b", "c"))
    with pytest.raises(DataError, match="two classes"):
        train("classical", [], three, tmp_path)


def values():
    keras.utils.set_random_seed(1)
    model = tk.build("alexnet_seg", **SMALL)
    model.set_weights([settled(w.shape) for w in model.get_weights()])
    outputs = leaves(model.predict_on_batch(ramp(2, 32, 64, 1)))
    found = [float((v * ramp(*v.shape)).mean()) for _, v in sorted(outputs.items())]
    for method in METHODS:
        found.append(float(np.asarray(BrightnessMap(method)(images()[..., None])).mean()))
    return found


@pytest.mark.slow
def test_jax_gives_the_same():
    code = """
import sys; sys.path.insert(0, "tests")
import json, keras
from test_comparators import values
print(keras.backend.backend(), json.dumps(values()))
"""
    backend, found = run_python(code, KERAS_BACKEND="jax").split(" ", 1)
    assert backend == "jax"
    np.testing.assert_allclose(json.loads(found), values(), rtol=1e-4)
