"""The classifiers that FAN is held against: exact networks, weights from elsewhere, training."""

import contextlib
import functools
import json
import re
import socket
import time

import keras
import numpy as np
import pytest
from check import check_arch, fails, leaves, ramp, run_python
from tables import blobs, write_folder

import thyroid_keras as tk
from thyroid_keras import predict, train
from thyroid_keras.archs import pretrained
from thyroid_keras.archs.imagenet import MEAN, SD, begin
from thyroid_keras.archs.resnet import arrays_of_keras
from thyroid_keras.loading import ModelError
from thyroid_keras.recipes import RECIPES
from thyroid_keras.runs import Run, read_csv

TINY = {"image_shape": (32, 40, 3)}
COUNTS = {  # at 224x224x3, two classes
    "densenet40": 1_126_682,
    "resnet18": 11_003_714,
    "resnet34": 21_111_874,
    "resnet50": 38_083_650,
    "vgg19": 139_578_434,
}
ALL = (*COUNTS, "densenet161", "googlenet", "resattnet92", "resnet152", "vgg16", "vgg_att3")


@contextlib.contextmanager
def symbolic(name, **arguments):
    """Lends a network whose weights have shapes and no values, which takes no time."""
    with keras.StatelessScope():
        yield tk.build(name, **arguments)
        keras.backend.clear_session()  # forgets that there are values to come


def count(name, **arguments):
    with symbolic(name, **arguments) as model:
        return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(("name", "expected"), COUNTS.items())
def test_parameters_are_those_of_the_papers_table(name, expected):
    assert count(name, image_shape=(224, 224, 3), num_classes=2) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [("resnet18", {"shortcut": "standard"}, 11_689_512), ("densenet161", {}, 28_681_000),
     ("resnet34", {"shortcut": "B"}, 21_797_672), ("resnet152", {}, 60_192_808),
     ("resnet50", {"shortcut": "standard"}, 25_557_032), ("vgg16", {}, 138_357_544),
     ("vgg19", {}, 143_667_240)],
)  # fmt: skip
def test_parameters_are_those_of_torchvision(name, arguments, expected):
    assert count(name, image_shape=(224, 224, 3), num_classes=1000, **arguments) == expected


def test_vgg_counts_by_image_size_head_and_channels():
    convolutions = 14_714_688
    assert count("vgg16", **TINY, head="cam") == convolutions + 1026
    new = count("vgg16", image_shape=(64, 64, 3), num_classes=1, head="new_fc")
    assert new == convolutions + (4 * 512 + 1) * 256 + 257
    grey = count("vgg16", image_shape=(32, 32, 1), head="cam")
    assert grey == convolutions + 1026 - 2 * 9 * 64


def sizes(model, names):
    return [tuple(model.get_layer(name).output.shape[1:]) for name in names]


def test_stages_have_the_papers_sizes():
    names = ["conv1", *(f"stage{s}_block2_relu" for s in range(2, 6))]
    with symbolic("resnet18") as model:
        expected = [(112, 112, 64), (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512)]
        assert sizes(model, names) == expected
    with symbolic("resnet50") as model:
        expected = [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)]
        assert sizes(model, names[1:]) == expected
    for stem, sides in (("reduced", (56, 28, 14, 7)), ("full", (224, 112, 56, 28))):
        with symbolic("densenet40", stem=stem) as model:
            found = sizes(model, [f"block{b}" for b in range(1, 5)])
            assert found == [(s, s, c) for s, c in zip(sides, (132, 240, 348, 456), strict=True)]
    with symbolic("vgg16", image_shape=(64, 96, 3), head="cam") as model:
        assert model.get_layer("gap").input.shape[1:] == (4, 6, 512)


def slow_but(name, *others):
    return [name, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tolerance"), [("resnet18", 0.5), ("vgg16", 0.5), ("densenet40", 15.0)]
)  # untrained, the last puts out some 800
def test_contract(name, tolerance, tmp_path):
    arguments = {"image_shape": (33, 40, 1), "num_classes": 3, "normalization": "torch"}
    make = functools.partial(tk.build, name, head="cam", **arguments)
    check_arch(make, tmp_path, logits=True, precision_tolerance=tolerance)


@pytest.mark.parametrize("name", slow_but("resnet18", "resnet50", "densenet40", "vgg16"))
def test_one_step_moves_every_weight_by_a_finite_gradient(name):
    model = tk.build(name, image_shape=(64, 64, 3), normalization="torch")
    before = model.get_weights()
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    assert np.isfinite(model.train_on_batch(ramp(4, 64, 64, 3), np.eye(2)[[0, 1, 1, 0]]))
    for weight, old, variable in zip(model.get_weights(), before, model.weights, strict=True):
        assert np.isfinite(weight).all(), variable.path
        if variable.trainable or variable.name.startswith("moving"):
            assert not np.array_equal(weight, old), variable.path


def test_shortcut_a_skips_pixels_and_adds_channels_of_zeros():
    model = tk.build("resnet18", **TINY)
    added = model.get_layer("stage3_block1_add").input[0]
    probe = keras.Model(model.input, [model.get_layer("stage2_block2_relu").output, added])
    before, found = (np.asarray(y) for y in probe.predict_on_batch(ramp(2, 32, 40, 3)))
    expected = np.zeros((2, 4, 5, 128), np.float32)
    for i in range(4):
        for j in range(5):
            expected[:, i, j, :64] = before[:, 2 * i, 2 * j]
    assert expected.any()
    np.testing.assert_array_equal(found, expected)
    unchanged = model.get_layer("stage3_block2_add").input[0]
    assert unchanged is model.get_layer("stage3_block1_relu").output


def test_shortcuts_convolve_where_they_say_they_do():
    def convolved(shortcut):
        with symbolic("resnet18", **TINY, shortcut=shortcut) as model:
            named = [layer for layer in model.layers if layer.name.endswith("_shortcut")]
            return {layer.name for layer in named if isinstance(layer, keras.layers.Conv2D)}

    assert convolved("A") == set()
    assert convolved("B") == {f"stage{s}_block1_shortcut" for s in (3, 4, 5)}
    assert convolved("standard") == convolved("B")
    assert convolved("C") == {f"stage{s}_block{b}_shortcut" for s in (2, 3, 4, 5) for b in (1, 2)}


def test_normalizations_are_keras_own():
    images = ramp(2, 33, 32, 3)
    for mode, expected in (
        ("torch", (images - np.float32(MEAN)) / np.float32(SD)),
        ("caffe", keras.applications.vgg16.preprocess_input(images * 255)),
    ):
        front = keras.Model(*begin((33, 32, 3), mode))
        np.testing.assert_allclose(front.predict_on_batch(images), expected, atol=1e-4)
    grey = keras.Model(*begin((33, 32, 1), "caffe"))
    same = np.repeat(images[..., :1], 3, axis=-1)
    expected = keras.applications.vgg16.preprocess_input(same * 255)
    np.testing.assert_allclose(grey.predict_on_batch(images[..., :1]), expected, atol=1e-4)


def random_weights(model):
    """Biases, scales and statistics none of which is where it began."""
    rng = np.random.default_rng(0)
    moved = [w + rng.random(w.shape) * (0.1 if w.ndim == 1 else 0) for w in model.get_weights()]
    model.set_weights(moved)
    return model


@pytest.fixture
def download(monkeypatch, tmp_path):
    """Stands in for Keras's server: files of a network's weights, already here."""

    def provide(source):
        path = tmp_path / f"{source.name}.weights.h5"
        source.save_weights(path)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        kept = tmp_path / "models" / f"{source.name}_weights_tf_dim_ordering_tf_kernels.h5"
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
        module = keras.src.utils.file_utils
        monkeypatch.setattr(module, "get_file", lambda *a, **k: str(path))
        return source

    return provide


@pytest.mark.slow
def test_imagenets_resnet_is_keras_own(download, tmp_path):
    arguments = {"include_top": False, "weights": None}
    download(random_weights(keras.applications.ResNet50(**arguments)))
    shape = (64, 64, 3)
    model = tk.build("resnet50", image_shape=shape, shortcut="standard", weights="imagenet")
    source = keras.applications.ResNet50(include_top=False, input_shape=shape)
    features = keras.Model(model.input, model.get_layer("gap").input)
    expected = source.predict_on_batch(ramp(2, *shape))
    assert expected.std() > 0.1
    np.testing.assert_allclose(
        features.predict_on_batch(ramp(2, *shape)), expected, rtol=1e-3, atol=1e-3 * expected.max()
    )
    assert (
        sum(w.numpy().size for w in model.trainable_weights) == 23_512_130
    )  # its biases have gone into the means
    model.save(tmp_path / "begun.keras")  # with its strides, which no shape shows
    begun = {"shortcut": "standard", "weights": tmp_path / "begun.keras"}
    again = tk.build("resnet50", image_shape=shape, **begun)
    images = ramp(2, *shape)
    expected = model.predict_on_batch(images)
    np.testing.assert_allclose(again.predict_on_batch(images), expected, rtol=1e-5)


@pytest.mark.slow
def test_imagenets_vgg_is_keras_own(download):
    source = download(random_weights(keras.applications.VGG16(include_top=False, weights=None)))
    model = tk.build("vgg16", **TINY, weights="imagenet", head="cam")
    for layer in source.layers:
        for ours, theirs in zip(model.get_layer(layer.name).get_weights() if layer.weights else (),
                                layer.get_weights(), strict=True):  # fmt: skip
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ModelError, match=r"block1_conv1 .*\(3, 3, 3, 64\).*\(3, 3, 1, 64\)"):
        tk.build("vgg16", image_shape=(32, 32, 1), weights="imagenet", head="cam")


@pytest.mark.slow
def test_every_layer_of_keras_larger_resnet_has_one_of_ours():
    source = keras.applications.ResNet152(include_top=False, weights=None)
    ours = {x.name: [w.shape for w in x.weights] for x in tk.build("resnet152", **TINY).layers}
    arrays = arrays_of_keras(source)
    assert set(arrays) == {name for name, shapes in ours.items() if shapes} - {"logits"}
    assert all([a.shape for a in arrays[name]] == ours[name] for name in arrays)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A ResNet-18 for five classes, in both kinds of file; the folder and the network."""
    folder = tmp_path_factory.mktemp("saved")
    model = random_weights(tk.build("resnet18", **TINY, num_classes=5))
    model.save(folder / "saved.keras")
    model.save_weights(folder / "saved.weights.h5")
    return folder, model


def test_a_network_starts_from_another_runs_network(saved):
    folder, theirs = saved
    ours = tk.build("resnet18", **TINY, weights=folder / "saved.keras")
    for weight, other in zip(ours.get_weights()[:-2], theirs.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(weight, other)
    assert ours.output.shape == (None, 2)
    weights = str(folder / "saved.weights.h5")
    same = tk.build("resnet18", **TINY, num_classes=5, weights=weights)
    for weight, other in zip(same.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_weights_that_cannot_be_are_refused(saved, tmp_path):
    whole = saved[0] / "saved.keras"
    (tmp_path / "cut.keras").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "cut.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "old.h5").touch()
    other = {"weights": whole, "shortcut": "B"}
    for arguments, said in (
        (other, "stage3_block1_shortcut missing instead of"),
        ({"weights": tmp_path / "cut.keras"}, "not a model"),
        ({"weights": tmp_path / "cut.weights.h5"}, "not the weights of this resnet18"),
        ({"weights": saved[0] / "saved.weights.h5"}, "not the weights of this resnet18"),
        ({"weights": tmp_path / "old.h5"}, r"\.weights\.h5 file"),
        ({"weights": tmp_path / "none.keras"}, "no such file"),
    ):
        path = re.escape(arguments["weights"].name)
        with pytest.raises(ModelError, match=f"{said}(.|\n)*Received: .*{path}"):
            tk.build("resnet18", **TINY, **arguments)
    with pytest.raises(ModelError, match="no ImageNet weights for densenet40, only for resnet50"):
        tk.build("densenet40", **TINY, weights="imagenet")


@pytest.mark.parametrize(
    ("name", "arguments", "fault"),
    [("resnet18", {"shortcut": "D"}, "`shortcut`"), ("vgg16", {"head": "gap"}, "`head`"),
     ("vgg19", {"image_shape": (31, 64, 3)}, "`image_shape`"),
     ("densenet40", {"stem": "none"}, "`stem`"),
     ("resnet34", {"normalization": "keras"}, "`normalization`"),
     ("resnet50", {"weights": "imagenet"}, "`weights='imagenet'`.*shortcut"),
     ("densenet161", {"num_classes": 0}, "`num_classes`")],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(name, arguments, fault):
    with pytest.raises(ValueError, match=f"{fault}.*Received"):
        tk.build(name, **TINY | arguments)


@pytest.fixture
def silent_server(monkeypatch, tmp_path):
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(pretrained, "URL", f"http://127.0.0.1:{server.getsockname()[1]}/x.h5")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        yield


def test_without_a_network_the_way_out_is_said_within_five_seconds(silent_server, capsys):
    start = time.monotonic()
    words = ["--arch", "resnet50", "--set", "weights=imagenet", "patience=0", "head=gap"]
    said = fails(train.main, words[:-1], capsys)
    assert time.monotonic() - start < 5
    assert "--set weights: The ImageNet weights of resnet50 cannot be downloaded" in said
    assert "resnet50*.h5 from a machine with a network" in said
    assert "--set patience: out of range" in said and "--set shortcut: out of range" in said


def test_settings_that_do_not_go_together_are_refused(capsys):
    words = ["--arch", "densenet40", "--set", "l2=0.1", "optimizer=adam", "image_size=31",
             "weights=nowhere.keras"]  # fmt: skip
    said = fails(train.main, words, capsys)
    for fault in ("--set l2", "--set image_size", "nowhere.keras: no such file"):
        assert fault in said
    words = ["--arch", "vgg16", "--set", "weight_decay=0.1"]
    assert "--set weight_decay" in fails(train.main, words, capsys)
    words = ["--arch", "vgg16", "--set", "weights=theirs.pth", "normalization=caffe"]
    assert "--set normalization: these weights of vgg16 ask for torch" in fails(
        train.main, words, capsys
    )
    words = ["--arch", "inception_v3", "--set", "image_size=64"]
    assert "inception_v3 takes sides of at least 75" in fails(train.main, words, capsys)


SMALL = ["image_size=32", "batch_size=8", "epochs=1", "warm_up_epochs=0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(blobs(24, masks=False), tmp_path_factory.mktemp("data") / "blobs")


def check_training(name, data, folder, settings=()):
    words = ["--arch", name, "--data", str(data), "--out", str(folder)]
    train.main([*words, "--precision", "float32", "--set", *SMALL, *settings])
    model = tk.load(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0 <= metrics["roc_auc"]["value"] <= 1 and (folder / "report.html").exists()
    assert Run(folder).read_config()["image_shape"] == [32, 32, 3]
    return model


@pytest.mark.slow
def test_training_ends_in_a_run_that_predicts_pictures(data, tmp_path):
    folder = tmp_path / "run"
    more = ["normalization=torch", "optimizer=adam", "weight_decay=0.01", "l2=0"]
    model = check_training("resnet18", data, folder, more)
    assert model.get_layer("torch") is model.layers[1]
    rows = {row["image"]: row for row in read_csv(folder / "predictions.csv")}
    pictures = [str(next(data.rglob(f"{image.rpartition('/')[2]}*"))) for image in rows]
    predict.main([str(folder), *pictures, "--out", str(tmp_path / "again.csv")])
    for row, again in zip(rows.values(), read_csv(tmp_path / "again.csv"), strict=True):
        ours, theirs = (float(r["p_calcification"]) for r in (row, again))
        assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ALL if n != "resnet18"])
def test_every_classifier_trains(name, data, tmp_path):
    check_training(name, data, tmp_path / "run")


def test_recipes_are_fans_and_print_the_papers_figures():
    fan = RECIPES["fan"]["quick"]
    for name in COUNTS:
        paper, quick = RECIPES[name]["paper"], RECIPES[name]["quick"]
        assert paper.reported(paper)["accuracy"] > 0.8 and not quick.reported(quick)
        for field in ("epochs", "phantom_patients", "phantom_typicality", "learning_rate", "l2"):
            assert getattr(quick, field) == getattr(fan, field), field
        assert quick.image_size == (64 if name == "vgg19" else fan.image_size)


GOLDEN_CODE = """
import sys; sys.path.insert(0, "tests")
import json, keras
from test_baselines import golden
print(keras.backend.backend(), json.dumps({name: golden(name) for name in ("resnet18",)}))
"""


def golden(name):
    """A figure of a network whose weights need no random generator."""
    model = tk.build(name, image_shape=(32, 32, 1), normalization="caffe")
    model.set_weights([0.5 + ramp(*w.shape) if w.ndim == 1
                       else (ramp(*w.shape) - 0.5) * 3 / np.sqrt(np.prod(w.shape[:-1]))
                       for w in model.get_weights()])  # fmt: skip
    return [float(v) for v in leaves(model.predict_on_batch(ramp(1, 32, 32, 1)))["output"][0]]


@pytest.mark.slow
def test_jax_gives_the_same():
    backend, values = run_python(GOLDEN_CODE, KERAS_BACKEND="jax").split(" ", 1)
    assert backend == "jax"
    for name, value in json.loads(values).items():
        assert value == pytest.approx(golden(name), rel=1e-3)
