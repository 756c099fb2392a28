"""Models and run folders made by somebody who means harm: refused, with nothing executed."""

import base64
import io
import json
import marshal
import os
import pickle
import shutil
import stat
import zipfile

import h5py
import keras
import numpy as np
import pytest
from check import fails
from PIL import Image
from tables import blobs, write_folder

import thyroid_keras as tk
from thyroid_keras import evaluate, export, predict
from thyroid_keras.loading import ModelError, _inspect, float32_twin
from thyroid_keras.runs import Run, RunError, write_csv, write_json

SMALL = {"image_shape": (32, 32, 1), "stage_filters": (2, 3, 4, 5, 6)}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    tk.build("cs_agnet", **SMALL).save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def planted(model_file, entry, place="layer"):
    """The members of a good model with one entry of its configuration replaced."""
    contents = members(model_file)
    config = json.loads(contents["config.json"])
    layers = config["config"]["layers"]
    number = next(i for i, layer in enumerate(layers) if layer["class_name"] == "Conv2D")
    if place == "layer":
        layers[number] |= entry
    elif place == "initializer":
        layers[number]["config"]["kernel_initializer"] = entry
    else:
        config |= entry
    return contents | {"config.json": json.dumps(config).encode()}


def touching(marker):
    """Python that leaves a file behind where it runs."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def lambda_layer(marker):
    function = eval(f"lambda x: ({touching(marker)}, x)[1]")
    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    body = {"code": code, "defaults": None, "closure": None}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "registered_name": None,
        "config": {
            "name": "stage1_conv1",
            "function": {"class_name": "__lambda__", "config": body},
        },
    }


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return eval, (touching(self.marker),)


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


CONFIGS = {
    "Lambda": lambda m: (lambda_layer(m), "layer"),
    "function of os": lambda m: (
        {"module": "os", "class_name": "system", "config": {"command": f"touch {m}"}},
        "initializer",
    ),
    "class of subprocess": lambda m: (
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", str(m)]}},
        "initializer",
    ),
    "eval": lambda m: (function("builtins", "eval"), "initializer"),
    "download": lambda m: (
        {
            "module": "keras.utils",
            "class_name": "get_file",
            "config": {"fname": str(m), "origin": f"file://{__file__}"},
        },
        "initializer",
    ),
    "safe mode off": lambda m: (
        {
            "module": "keras.config",
            "class_name": "enable_unsafe_deserialization",
            "config": {},
        },
        "initializer",
    ),
    "model in a model": lambda m: (
        {"module": "keras.models", "class_name": "load_model", "config": {"filepath": str(m)}},
        "layer",
    ),
    "SavedModel": lambda m: (
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": str(m)}},
        "layer",
    ),
    "pickled torch module": lambda m: (
        {
            "module": "keras.layers",
            "class_name": "TorchModuleWrapper",
            "config": {"module": base64.b64encode(pickle.dumps(Payload(m))).decode()},
        },
        "layer",
    ),
    "vocabulary from a file": lambda m: (
        {
            "module": "keras.layers",
            "class_name": "StringLookup",
            "config": {"vocabulary": "/etc/passwd"},
        },
        "layer",
    ),
    "a module of ours": lambda m: (
        {"module": "thyroid_keras.data.decode", "class_name": "Image", "config": {}},
        "initializer",
    ),
    "somebody's package": lambda m: (
        {"module": "antigravity", "class_name": "Layer", "config": {}, "registered_name": "x>y"},
        "layer",
    ),
    "type spec": lambda m: (
        {
            "module": "os",
            "class_name": "__typespec__",
            "spec_name": "system",
            "registered_name": None,
            "config": [f"touch {m}"],
        },
        "initializer",
    ),
    "compile": lambda m: ({"module": "posix", "class_name": "system"}, "model"),
    "no class": lambda m: ({"class_name": ["Conv2D"]}, "layer"),
}


BY_OURS_ALONE = {"compile"}


@pytest.mark.parametrize("attack", CONFIGS)
def test_a_configuration_that_does_more_than_compute_is_refused(attack, model_file, tmp_path):
    marker = tmp_path / "marker"
    path = pack(tmp_path / "model.keras", planted(model_file, *CONFIGS[attack](marker)))
    with pytest.raises(ModelError, match="model.keras: not a model"):
        tk.load(path)
    # either wall stands without the other
    with pytest.raises((ValueError, TypeError), match="a part of it|unhashable"):
        _inspect(path)
    if attack not in BY_OURS_ALONE:
        with pytest.raises((ValueError, TypeError, ImportError)):
            keras.saving.load_model(path, compile=False)
    assert not marker.exists()


def test_the_attacks_would_work_without_the_walls(tmp_path):
    """Else the tests above test nothing: the payloads are run here, by Keras or by hand."""
    marker = tmp_path / "marker"
    layer = lambda_layer(marker)
    keras.saving.deserialize_keras_object(layer, safe_mode=False)(np.zeros((1, 1)))
    assert marker.exists()
    marker.unlink()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()


def link(contents, path, target):
    """A model whose weights are a symbolic link to another file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, contents[name])
        member = zipfile.ZipInfo("model.weights.h5")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, str(target))
    return path


def twice(contents, path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for name, content in [*contents.items(), ("config.json", b"{}")]:
            archive.writestr(name, content)
    return path


ARCHIVES = {
    "zip slip": lambda c, p: pack(p, c | {"../marker": b"x"}),
    "absolute member": lambda c, p: pack(p, c | {str(p.with_name("marker")): b"x"}),
    "assets": lambda c, p: pack(p, c | {"assets/../../marker": b"x"}),
    "link": lambda c, p: link(c, p, "/etc/passwd"),
    "bomb": lambda c, p: pack(p, c | {"model.weights.h5": bytes(3 * 10**8)}, zipfile.ZIP_DEFLATED),
    "nested configuration": lambda c, p: pack(
        p, c | {"config.json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000}
    ),
    "two configurations": twice,
    "no weights": lambda c, p: pack(p, {n: c[n] for n in c if n != "model.weights.h5"}),
    "HTML": lambda c, p: p.write_text("<html>404</html>") and p,
    "pickle": lambda c, p: p.write_bytes(pickle.dumps(Payload(p.with_name("marker")))) and p,
    "pickle as weights": lambda c, p: pack(
        p, c | {"model.weights.h5": pickle.dumps(Payload(p.with_name("marker")))}
    ),
    "empty": lambda c, p: p.write_bytes(b"") or p,
    "cut": lambda c, p: p.write_bytes(pack(p, c).read_bytes()[:-100]) and p,
}


BY_KERAS_ALONE = {"no weights", "pickle as weights"}


@pytest.mark.parametrize("attack", ARCHIVES)
def test_an_archive_that_is_more_than_a_model_is_refused(attack, model_file, tmp_path):
    path = tmp_path / "inside" / "model.keras"
    path.parent.mkdir()
    ARCHIVES[attack](members(model_file), path)
    with pytest.raises(ModelError, match="model.keras: not a model"):
        tk.load(path)
    if attack not in BY_KERAS_ALONE:
        with pytest.raises((ValueError, zipfile.BadZipFile, RecursionError)):
            _inspect(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "model.keras"]


def test_legacy_hdf5_is_refused_under_any_name(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)])
    for name in ("model.h5", "model.keras"):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["model_config"] = model.to_json()
        with pytest.raises(ModelError, match=name):
            tk.load(tmp_path / name)


@pytest.mark.parametrize("kind", ["external storage", "external link", "virtual", "huge"])
def test_weights_that_lie_in_other_files_are_not_read(kind, model_file, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.full(1000, 7, np.float32).tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.full(1000, 7, np.float32)
    contents = members(model_file)
    stream = io.BytesIO(contents["model.weights.h5"])
    with h5py.File(stream, "r+") as file:
        found = []
        file.visititems(lambda n, item: found.append(n) if hasattr(item, "dtype") else None)
        name = found[0]
        shape = file[name].shape
        size = int(np.prod(shape)) * 4
        del file[name]
        if kind == "external storage":
            file.create_dataset(name, shape, "f4", external=[(str(secret), 0, size)])
        elif kind == "external link":
            file[name] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "secret")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(tmp_path / "secret.h5", "secret", shape)
            file.create_virtual_dataset(name, layout)
        else:
            file.create_dataset(name, (2**31, 2**10), "f4", chunks=(1024, 1024))
    with pytest.raises(ModelError, match="not a model"):
        tk.load(pack(tmp_path / "model.keras", contents | {"model.weights.h5": stream.getvalue()}))


def test_what_is_good_still_loads(model_file, tmp_path):
    assert tk.load(model_file).name == "cs_agnet"
    contents = members(model_file)
    tk.load(pack(tmp_path / "model.keras", contents, zipfile.ZIP_DEFLATED))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, model_file):
    """A run as `train` leaves it, by hand; and a picture to ask it about."""
    root = tmp_path_factory.mktemp("run")
    data = write_folder(blobs(32), root / "data")
    from thyroid_keras.data.readers import read
    from thyroid_keras.data.split_file import write_split
    from thyroid_keras.data.splits import make_splits
    from thyroid_keras.experiment import _config
    from thyroid_keras.preparation import choose_recipe

    recipe = choose_recipe("cs_agnet", "quick", ["image_size=32", "stage_filters=2,3,4,5,6"])
    splits = make_splits(read(data), progress=False)
    source = {"path": str(data), "format": None, "target": None, "seed": 0}
    source |= {"on_bad": "fail", "folds": None, "fold": None}
    with Run.create(root / "run") as run:
        config = _config(run, recipe, splits, source, 0, "float32")
        write_json(run.config, config | {"seconds": 1.0, "parameters": 1})
        write_split(run.split, splits)
        write_json(run.metrics, {"threshold": 0.5, "segmentation": {"threshold": 0.5}})
        write_csv(run.history, [{"phase": "segmentation", "epoch": 1, "loss": 1.0}])
        float32_twin(keras.saving.load_model(model_file)).save(run.model)
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(root / "picture.png")
    return root / "run"


def changed(path, *names, value):
    """Changes an entry of a JSON file; `None` removes it."""
    content = json.loads(path.read_text())
    inner = content
    for name in names[:-1]:
        inner = inner[name]
    if value is None:
        del inner[names[-1]]
    else:
        inner[names[-1]] = value
    path.write_text(json.dumps(content))


DEEP = "[" * 100_000
HOSTILE = {
    "deep nesting": lambda r: r.config.write_text(DEEP),
    "a bomb of text": lambda r: r.config.write_text(" " * (65 * 2**20)),
    "a device": lambda r: (r.config.unlink(), r.config.symlink_to("/dev/zero")),
    "a pipe": lambda r: (r.config.unlink(), os.mkfifo(r.config)),
    "no object": lambda r: r.config.write_text("[1]"),
    "arch of another type": lambda r: changed(r.config, "arch", value=["cs_agnet"]),
    "arch unknown": lambda r: changed(r.config, "arch", value="os.system"),
    "no arch": lambda r: changed(r.config, "arch", value=None),
    "scale unknown": lambda r: changed(r.config, "scale", value="../.."),
    "seed of text": lambda r: changed(r.config, "seed", value="0"),
    "recipe a list": lambda r: changed(r.config, "recipe", value=[1]),
    "patients of text": lambda r: changed(r.config, "recipe", "phantom_patients", value="9"),
    "no data": lambda r: changed(r.config, "data", value=None),
    "data a text": lambda r: changed(r.config, "data", value="x"),
    "classes of numbers": lambda r: changed(r.config, "data", "class_names", value=[1, 2]),
    "no source": lambda r: changed(r.config, "data", "source", value=None),
    "source a list": lambda r: changed(r.config, "data", "source", value=["x"]),
    "path a number": lambda r: changed(r.config, "data", "source", "path", value=5),
    "classes of one name": lambda r: changed(r.config, "data", "class_names", value=["a", "a"]),
    "class of half a letter": lambda r: changed(
        r.config, "data", "class_names", value=["a", "\ud800"]
    ),
    "a class too many": lambda r: changed(r.config, "data", "class_names", value=["a", "b", "c"]),
    "borders a number": lambda r: changed(r.config, "recipe", "borders", value=5),
    "borders of a long name": lambda r: changed(r.config, "recipe", "borders", value="x" * 500),
    "views unknown": lambda r: changed(r.config, "recipe", "views", value=5),
    "shape of two": lambda r: changed(r.config, "image_shape", value=[1, 2]),
    "seed below 0": lambda r: changed(r.config, "seed", value=-1),
    "seed of the split below 0": lambda r: changed(r.config, "data", "source", "seed", value=-1),
    "format unknown": lambda r: changed(r.config, "data", "source", "format", value="zzz"),
    "on_bad unknown": lambda r: changed(r.config, "data", "source", "on_bad", value="zzz"),
    "no patients": lambda r: changed(r.config, "recipe", "phantom_patients", value=0),
    "leak of text": lambda r: changed(r.config, "recipe", "phantom_text_leak", value="x"),
    "versions a list": lambda r: changed(r.config, "environment", "versions", value=["x"]),
    "split a web page": lambda r: r.split.write_text("<html>"),
    "split of NUL": lambda r: r.split.write_bytes(bytes(1000)),
    "plots elsewhere": lambda r: r.plots.symlink_to(r.folder.parent),
    "log elsewhere": lambda r: r.log_file.symlink_to(r.folder.with_name("marker")),
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_run_folder_is_refused_by_evaluate(attack, run_folder, tmp_path, capsys):
    run = Run(shutil.copytree(run_folder, tmp_path / "run"))
    HOSTILE[attack](run)
    said = fails(evaluate.main, [run.folder], capsys)
    assert len(said) < 5000
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


ANSWERS = {
    "threshold of text": lambda r: changed(r.metrics, "threshold", value="0.5"),
    "threshold no number": lambda r: r.metrics.write_text('{"threshold": NaN}'),
    "no threshold": lambda r: changed(r.metrics, "threshold", value=None),
    "threshold null": lambda r: r.metrics.write_text('{"threshold": null}'),
    "interval of text": lambda r: changed(r.metrics, "dice", value={"value": 1, "ci95": "ab"}),
    "a class too many": lambda r: changed(r.config, "data", "class_names", value=["a", "b", "c"]),
    "a class too few": lambda r: changed(r.config, "data", "class_names", value=["a"]),
    "classes of one name": lambda r: changed(r.config, "data", "class_names", value=["a", "a"]),
    "class of half a letter": lambda r: changed(
        r.config, "data", "class_names", value=["a", "\ud800"]
    ),
    "borders a number": lambda r: changed(r.config, "recipe", "borders", value=5),
    "views unknown": lambda r: changed(r.config, "recipe", "views", value=5),
    "segmentation a list": lambda r: changed(r.metrics, "segmentation", value=[0.5]),
    "deep nesting": lambda r: r.metrics.write_text(DEEP),
    "a model with a Lambda": lambda r: pack(
        r.model, planted(r.model, lambda_layer(r.folder / "marker"))
    ),
}


@pytest.mark.parametrize("attack", ANSWERS)
def test_a_hostile_run_folder_is_refused_by_predict(attack, run_folder, tmp_path, capsys):
    run = Run(shutil.copytree(run_folder, tmp_path / "run"))
    ANSWERS[attack](run)
    out = tmp_path / "out.csv"
    fails(predict.main, [run.folder, run_folder.parent / "picture.png", "--out", out], capsys)
    assert not out.exists() and not (run.folder / "marker").exists()


def test_a_class_that_the_model_does_not_tell_apart_leaves_nothing(run_folder, tmp_path, capsys):
    run = Run(shutil.copytree(run_folder, tmp_path / "run"))
    ANSWERS["a class too many"](run)
    said = fails(export.main, [run.folder, "--to", tmp_path / "versions"], capsys)
    assert "config.json: names 3 classes" in said and not (tmp_path / "versions").exists()
    other = write_folder(blobs(8, seed=5), tmp_path / "other")
    said = fails(evaluate.main, [run.folder, "--data", other], capsys)
    assert "config.json: names 3 classes" in said and not list(run.folder.glob("evaluation-*"))


def test_the_run_folder_is_good_before_it_is_spoilt(run_folder, tmp_path):
    run = shutil.copytree(run_folder, tmp_path / "run")
    evaluate.main([str(run)])
    picture = run_folder.parent / "picture.png"
    predict.main([str(run), str(picture), "--out", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").exists()


def test_a_file_of_a_run_is_read_with_limits(tmp_path):
    (tmp_path / "config.json").write_text('{"a": {"b": 1}}')
    config = Run(tmp_path).read_config()
    with pytest.raises(RunError, match="config.json: has no entry 'c'"):
        config["a"]["c"]
    assert config.get("c") is None and config == {"a": {"b": 1}}
