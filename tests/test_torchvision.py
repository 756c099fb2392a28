"""torchvision's weights in our networks: every name and shape, its logits, every fault named.

The names, shapes and logits are those of torchvision 0.28 and PyTorch 2.13, with the arrays of
`filled` as weights and the `IMAGES` as images.
"""

import dataclasses
import functools
import gzip
import json

import keras
import numpy as np
import parity
import pytest
from check import fails as command_fails
from check import ramp
from test_baselines import symbolic
from test_convert import zipped

import thyroid_keras as tk
from thyroid_keras.archs import torchvision
from thyroid_keras.archs.imagenet import MEAN, SD
from thyroid_keras.convert import ConvertError
from thyroid_keras.convert import __main__ as command
from thyroid_keras.loading import ModelError
from thyroid_keras.recipes import RECIPES

SHAPES = json.loads(gzip.decompress((parity.GOLDEN / "torchvision_shapes.json.gz").read_bytes()))
IMAGE_SHAPE = (64, 72, 3)
LARGE = ("densenet161", "resnet50", "resnet152", "vgg16")
KIN = [
    pytest.param(a, marks=pytest.mark.slow) for a in ("resnet18", "resnet34", "vgg19", *LARGE[1:])
]
JUDGED = [pytest.param(a, marks=pytest.mark.slow) for a in ("resnet18", *LARGE)]


fails = functools.partial(command_fails, command.main)


def own(arch):
    """The arguments with which a network of ours is torchvision's."""
    return {"shortcut": "standard"} if arch.startswith("resnet") else {}


def scattered(*shape):
    """Values in [0, 1) as if drawn, which no random generator can change."""
    with np.errstate(over="ignore"):
        x = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.uint32) * np.uint32(2654435761)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return (x / 2.0**32).reshape(shape).astype("float32")


def filled(name, shape):
    """Weights through which an image is still felt at the end of many layers."""
    u = scattered(*shape)
    if len(shape) > 1:
        return (u - 0.5) * np.float32(np.sqrt(24 / np.prod(shape[1:])))
    return 0.5 + u if name.endswith((".weight", "var")) else u - 0.5


def filled_arrays(arch):
    return {name: filled(name, shape) for name, shape in SHAPES[arch].items()}


IMAGES = scattered(2, 8, 9, 3).repeat(8, axis=1).repeat(8, axis=2)


def normalised(images):
    return (images - np.float32(MEAN)) / np.float32(SD)


def test_every_network_of_torchvisions_is_known():
    assert set(torchvision.MODULES) == set(SHAPES)


@pytest.mark.parametrize("arch", ["densenet161", "googlenet", *KIN])
def test_every_variable_has_torchvisions_name_and_shape(arch):
    with symbolic(arch, num_classes=1000, **own(arch)) as model:
        variables = torchvision.torch_variables(model)
        assert len(variables) == len(model.weights)
        shapes = {name: list(torchvision.torch_shape(v)) for name, v in variables.items()}
    if arch.startswith("vgg"):  # one row per feature of ours, one column of torchvision's
        assert shapes["classifier.0.weight"] == [4096, 512 * 7 * 7]
    plain = torchvision.plain_names(SHAPES[arch])
    assert shapes == plain and len(SHAPES[arch]) - len(plain) in (0, 18)


def check_logits(model, images, arch):
    with np.load(parity.GOLDEN / "torchvision.npz") as archive:
        said = archive[arch]
    found = np.asarray(model(images))[:, :64]  # traced it would take longer
    np.testing.assert_allclose(found, said, atol=1e-4 * np.abs(said).max())


@pytest.mark.parametrize("arch", JUDGED)
def test_logits_are_torchvisions(arch):
    arrays, more = filled_arrays(arch), {"num_classes": 1000} | own(arch)
    if arch.startswith("vgg"):  # a head of 4096 units is more than a test can hold
        arrays = {name: array for name, array in arrays.items() if name.startswith("features")}
        more = {"head": "cam"}
    model = tk.build(arch, image_shape=IMAGE_SHAPE, **more)
    torchvision.set_weights(model, arrays, new_head="head" in more)
    if "head" in more:
        model = keras.Model(model.input, model.get_layer("gap").output)
    check_logits(model, normalised(IMAGES), arch)


def test_flattened_features_are_put_in_our_order():
    features, weight = ramp(2, 3, 4, 5), ramp(6, 5 * 3 * 4) - 0.5
    theirs = features.transpose(0, 3, 1, 2).reshape(2, -1) @ weight.T
    ours = features.reshape(2, -1) @ torchvision.by_channel_last(weight, 3, 4, 5)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def saved(path, arrays):
    """A file as `torch.save` writes a state dictionary of tensors in C order."""

    def text(value):
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def ints(values):
        return b"(" + b"".join(b"J" + int(n).to_bytes(4, "little") for n in values) + b"t"

    pickled, files = [b"\x80\x02}("], {}
    for key, (name, array) in enumerate(arrays.items()):
        array = np.ascontiguousarray(array, "<f4")
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
        storage += ints([array.size])[1:-1] + b"tQ"
        view = b"J\0\0\0\0" + ints(array.shape) + ints(s // 4 for s in array.strides)
        pickled += [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, view, b"\x89NtR"]
        files[str(key)] = array.tobytes()
    path.write_bytes(zipped(b"".join([*pickled, b"u."]), **files))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """GoogLeNet's file, with the auxiliary classifiers."""
    path = tmp_path_factory.mktemp("theirs") / "googlenet.pth"
    return saved(path, filled_arrays("googlenet"))


def test_command_writes_a_model_that_takes_images_as_they_are(checkpoint, tmp_path, capsys):
    out = tmp_path / "model.keras"
    words = [checkpoint, "--arch", "googlenet", "--out", out, "--image-size", 64, 72]
    command.main([str(word) for word in words])
    said = capsys.readouterr().out
    assert "googlenet, 6,639,464 parameters" in said and "images in [0, 1], which it" in said
    check_logits(tk.load(out), IMAGES, "googlenet")


@pytest.mark.slow
def test_a_network_starts_from_torchvisions_file_or_says_why_not(checkpoint, capsys):
    whole = tk.build("googlenet", image_shape=IMAGE_SHAPE, num_classes=1000, weights=checkpoint)
    check_logits(whole, normalised(IMAGES), "googlenet")
    new = tk.build("googlenet", image_shape=IMAGE_SHAPE, num_classes=3, weights=checkpoint)
    assert new.output_shape == (None, 3)
    for theirs, ours in zip(whole.get_weights()[:-2], new.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    grey = {"image_shape": (32, 32, 1), "weights": checkpoint}
    with pytest.raises(
        ModelError, match=r"conv1\.conv\.weight: of shape \(64, 3, 7, 7\)(.|\n)*Received: weights="
    ):
        tk.build("googlenet", **grey)
    out = checkpoint.with_suffix(".keras")
    said = fails([checkpoint, "--arch", "resnet18", "--out", out], capsys)
    assert "The arrays are not those of torchvision's resnet18" in said and not out.exists()
    assert "conv1.weight: missing" in said and " more" in said


def test_old_names_and_those_of_parallel_training_are_read():
    old = {"module.features.denseblock1.denselayer2.norm.1.weight": 0,
           "features.denseblock1.denselayer2.conv.2.weight": 1,
           "features.norm0.num_batches_tracked": 2}  # fmt: skip
    assert torchvision.plain_names(old) == {
        "features.denseblock1.denselayer2.norm1.weight": 0,
        "features.denseblock1.denselayer2.conv2.weight": 1,
    }


def test_every_mismatch_is_listed_at_once():
    arrays = filled_arrays("resnet18")
    model = tk.build("resnet18", image_shape=(32, 32, 3), num_classes=1000, **own("resnet18"))
    before = model.get_weights()
    del arrays["bn1.bias"]
    arrays["layer1.0.conv2.weight"] = np.zeros((64, 64, 5, 5))
    arrays["layer4.1.bn2.running_var"] = np.full(512, np.nan)
    arrays["stem.weight"] = np.zeros(3)
    arrays["fc.bias"] = np.zeros(7)
    with pytest.raises(ConvertError) as caught:
        torchvision.set_weights(model, arrays)
    said = str(caught.value)
    for fault in (
        "bn1.bias: missing, (64,) expected",
        "layer1.0.conv2.weight: of shape (64, 64, 5, 5), (64, 64, 3, 3) expected",
        "fc.bias: of shape (7,), (1000,) expected",
        "layer4.1.bn2.running_var: holds values that are not finite",
        "stem.weight: unexpected, of shape (3,)",
    ):
        assert fault in said
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_wrong_input_is_named_and_ends_with_2(checkpoint, tmp_path, capsys):
    out = ["--out", tmp_path / "x.keras"]
    said = fails([checkpoint, "--arch", "vgg16", "--out", "x.h5"], capsys)
    assert "must end in .keras" in said
    said = fails([checkpoint, "--arch", "vgg16", *out], capsys)
    assert "not torchvision's vgg16: classifier.6.bias is missing. Received: conv1.conv" in said
    said = fails([checkpoint, "--arch", "googlenet", *out, "--aggregation", "ft"], capsys)
    assert "only of --arch ag_sononet" in said
    assert not (tmp_path / "x.keras").exists()
    with pytest.raises(
        ModelError, match="torchvision's files are known of .*googlenet.*not of densenet40"
    ):
        tk.build("densenet40", weights=checkpoint)
    with pytest.raises(ValueError, match="shortcut='standard'.*Received: shortcut='C'"):
        tk.build("resnet50", weights=checkpoint)


def test_recipes_normalise_as_the_weights_ask(checkpoint):
    recipe = dataclasses.replace(RECIPES["googlenet"]["quick"], weights=str(checkpoint))
    assert recipe.problems() == [] and recipe.arguments()["normalization"] == "torch"
    recipe = dataclasses.replace(RECIPES["resnet50"]["quick"], weights=str(checkpoint))
    assert any("--set shortcut" in problem for problem in recipe.problems())
