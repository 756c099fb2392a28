"""Exported models: they answer bytes as `predict` answers files, with TensorFlow alone."""

import contextlib
import filecmp
import io
import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from looking import images_of
from PIL import Image
from tables import blobs, write_folder
from tensorflow.python.tools import saved_model_cli

from thyroid_keras import cli, export, train
from thyroid_keras.explain import attention_maps, unit_maps
from thyroid_keras.inspection import predict
from thyroid_keras.litert.card import _with_interval
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.prediction import class_probabilities
from thyroid_keras.runs import RunError
from thyroid_keras.serving.page import _rounded
from thyroid_keras.serving.signatures import answer, write_signatures
from thyroid_keras.serving.versions import publish

DDTI = Path(__file__).parents[2] / "shared" / "data" / "ddti" / "images"
SMALL = [
    "--set", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8",
    "segmentation_epochs=1", "epochs=1", "pixel_label_percent=50",
]  # fmt: skip
TOLERANCE = 1e-5
ANSWERS = ("probabilities", "label_name")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished run, from a data folder whose name must not travel."""
    root = tmp_path_factory.mktemp("patient_mustermann")
    data = write_folder(blobs(32), root / "data")
    arguments = ["--arch", "cs_agnet", "--data", data, "--out", root / "run", *SMALL]
    train.main([str(a) for a in arguments])
    return root / "run"


@pytest.fixture(scope="module")
def version(run_folder):
    """Its first exported version."""
    to = run_folder.parent / "saved_models" / "cs_agnet"
    export.main([str(run_folder), "--to", str(to)])
    return to / "1"


@pytest.fixture(scope="module")
def signatures(version):
    """What it answers with, loaded once."""
    return tf.saved_model.load(str(version)).signatures


@pytest.fixture(scope="module")
def class_names(run_folder):
    return json.loads((run_folder / "config.json").read_text())["data"]["class_names"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of every kind and size that the graph reads."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 500), (3000, 20), (32, 32), (31, 40), (200, 97)]
    for height, width in shapes:
        color = rng.integers(0, 256, (height, width, 3), np.uint8)
        deep = rng.integers(0, 65536, (height, width), np.uint16)
        stem = folder / f"{height}x{width}"
        Image.fromarray(color).save(f"{stem}.png")
        Image.fromarray(color).save(f"{stem}.jpg")
        Image.fromarray(color).save(f"{stem}.bmp")
        Image.fromarray(color[..., 0]).save(f"{stem}_grey.png")
        Image.fromarray(color[..., 0]).save(f"{stem}_grey.jpg")
        Image.fromarray(color[..., 0]).save(f"{stem}_grey.bmp")
        Image.fromarray(np.dstack([color, color[..., 0]])).save(f"{stem}_alpha.png")
        Image.fromarray(color).quantize(9).save(f"{stem}_palette.png")
        Image.fromarray(deep).save(f"{stem}_deep.png")
    return sorted(str(path) for path in folder.iterdir())


def pixels_of(file):
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.array(image).astype(int)


def ask(signatures, pictures):
    """What is answered to encoded pictures, or to the bytes of files, in one request."""
    data = [x if isinstance(x, bytes) else Path(x).read_bytes() for x in pictures]
    found = signatures["serving_default"](image_bytes=tf.constant(data))
    return {name: value.numpy() for name, value in found.items()}


def agree(found, rows, class_names):
    expected = np.array([[float(row[f"p_{name}"]) for name in class_names] for row in rows])
    assert np.abs(found["probabilities"] - expected).max() <= TOLERANCE
    assert [name.decode() for name in found["label_name"]] == [row["predicted"] for row in rows]


def test_bytes_are_answered_as_predict_answers_files(
    run_folder, signatures, class_names, pictures, tmp_path
):
    rows = predict(run_folder, pictures, out=tmp_path / "predictions.csv")
    assert len(rows) == len(pictures) == 54
    found = ask(signatures, pictures)
    agree(found, rows, class_names)
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert found["probabilities"].dtype == np.float32
    assert found["probabilities"].std(axis=0).max() > 0, "pictures that all look alike"


@pytest.mark.skipif(not DDTI.is_dir(), reason="DDTI is not on this machine")
def test_ddti_is_answered_as_predict_answers_it(run_folder, signatures, class_names, tmp_path):
    paths = sorted(str(path) for path in DDTI.glob("*.jpg"))[::5]
    rows = predict(run_folder, paths, out=tmp_path / "p.csv")
    agree(ask(signatures, paths), rows, class_names)


def test_decoded_images_are_answered_too(run_folder, signatures, class_names):
    images = np.random.default_rng(0).random((5, 32, 32, 1), np.float32)
    found = signatures["serve_tensor"](image=images)
    expected = class_probabilities(load(run_folder).predict_on_batch(images))
    np.testing.assert_allclose(found["probabilities"], expected, atol=TOLERANCE)
    threshold = json.loads((run_folder / "metrics.json").read_text())["threshold"]
    names = [class_names[k].encode() for k in decide(expected, threshold)]
    assert found["label_name"].numpy().tolist() == names


def test_maps_and_masks_are_those_of_the_commands(run_folder, signatures, pictures, tmp_path):
    chosen = pictures[::9]
    rows = predict(run_folder, chosen, out=tmp_path / "p.csv")
    data = [Path(path).read_bytes() for path in chosen]
    found = signatures["explain"](image_bytes=tf.constant(data))
    for row, png in zip(rows, found["mask_bytes"].numpy(), strict=True):
        drawn = pixels_of(tmp_path / "p_masks" / row["mask"])
        assert np.mean(pixels_of(io.BytesIO(png)) != drawn) < 0.01  # where rounding decides
    maps = attention_maps(load(run_folder), images_of(load(run_folder), data))
    assert {f"{name}_bytes" for name in maps} < set(found)
    for name, values in maps.items():
        drawn = [pixels_of(io.BytesIO(png)) for png in found[f"{name}_bytes"].numpy()]
        assert np.abs(drawn - 255 * unit_maps(values, (32, 32))).max() <= 1, name


INTERFACE = {
    "serving_default": "inputs['image_bytes'] tensor_info: dtype: DT_STRING shape: (-1)",
    "explain": "inputs['image_bytes'] tensor_info: dtype: DT_STRING shape: (-1)",
    "serve_tensor": "inputs['image'] tensor_info: dtype: DT_FLOAT shape: (-1, 32, 32, 1)",
}


def test_saved_model_cli_shows_and_runs_it(
    run_folder, version, class_names, pictures, tmp_path, monkeypatch, capsys
):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["saved_model_cli", *arguments])
        with pytest.raises(SystemExit) as done:
            saved_model_cli.main()
        assert not done.value.code
        return " ".join(capsys.readouterr().out.split())

    said = call("show", "--dir", str(version), "--all")
    for name, given in INTERFACE.items():
        start = f"signature_def['{name}']: The given SavedModel SignatureDef contains the following"
        assert f"{start} input(s): {given}" in said
    for name, shape in (("probabilities", "FLOAT shape: (-1, 2)"), ("label_name", "STRING")):
        assert said.count(f"outputs['{name}'] tensor_info: dtype: DT_{shape}") == 3
    chosen = [path for path in pictures if path.endswith(".png")][::4]  # no zero ends them
    np.save(tmp_path / "bytes.npy", np.array([Path(path).read_bytes() for path in chosen]))
    call(
        *("run", "--dir", str(version), "--tag_set", "serve", "--signature_def", "serving_default"),
        *("--inputs", f"image_bytes={tmp_path / 'bytes.npy'}", "--outdir", str(tmp_path)),
    )
    found = {name: np.load(tmp_path / f"{name}.npy", allow_pickle=True) for name in ANSWERS}
    agree(found, predict(run_folder, chosen, out=tmp_path / "p.csv"), class_names)


def test_one_bad_picture_fails_its_batch_by_number(signatures, pictures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[2\]: is no PNG"):
        ask(signatures, [*pictures[:2], b"GIF89a", pictures[2]])
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("L", (9, 7)).save(stream, "JPEG", exif=exif)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[0\]: .*upright"):
        ask(signatures, [stream.getvalue()])


def test_the_card_says_what_it_is_and_nothing_says_who(run_folder, version, class_names):
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert card["class_names"] == class_names and card["image_shape"] == [32, 32, 1]
    assert card["threshold"] == metrics["threshold"] and card["threshold_origin"]
    assert card["test"]["roc_auc"] == metrics["roc_auc"]
    assert "not a medical device" in card["limits"][0]
    assert card["versions"]["keras"] == keras.version()
    assert card["signatures"]["explain"][0] == "label_gate1_bytes"
    _, header, page = (version / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["model_name"] == "cs_agnet" and header["class_names"] == class_names
    assert header["use"].startswith("Research use only") and header["limits"] == card["limits"]
    assert header["split_unit"] == metrics["group_unit"] and header["test"]["n"] == metrics["n"]
    for name, figure in header["figures"].items():
        found = metrics[name]
        if found["value"] is None:
            assert figure["reason"] == found["reason"]
            continue
        intervals = [found[key] for key in ("ci95", "ci95_groups") if found.get(key)]
        interval = max(intervals, key=np.ptp)
        assert figure["value"] == round(found["value"], 3)
        assert figure["ci95"] == [round(end, 3) for end in interval]
        assert f"| {name} | {figure['value']:.3f} | {interval[0]:.3f}–{interval[1]:.3f} |" in page
    assert {"accuracy", "sensitivity", "roc_auc", "dice"} <= set(header["figures"])
    assert "`mask` is 0 and 255" in page and "Research use only" in page
    for path in version.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for planted in (b"mustermann", b"blob0", str(Path.cwd()).encode(), b"site-packages"):
                assert planted not in content, f"{planted} in {path}"


def test_cards_quote_the_wider_interval():
    right = {"value": 1.0, "ci95": [0.8, 1.0], "ci95_groups": [1.0, 1.0]}
    assert _rounded(right)["ci95"] == [0.8, 1.0]
    assert _with_interval(right | {"ci95_groups": [0.7, 1.0]}).endswith("0.700 to 1.000)")


def test_commands_that_an_export_advises_can_be_pasted(run_folder, tmp_path):
    said = []
    version = export.export(run_folder, to=tmp_path / "my model", say=said.append)
    (command,) = (line for line in said if "saved_model_cli" in line)
    assert shlex.split(command)[-2:] == [str(version), "--all"]
    assert any("/v1/models/my%20model:predict" in line for line in said)


def dtypes(version):
    graph = tf.saved_model.load(str(version)).signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {value.type for node in nodes for value in node.attr.values()}


def test_mixed_precision_is_exported_in_float32(run_folder, tmp_path):
    mixed = shutil.copytree(run_folder, tmp_path / "mixed")
    models = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        image = keras.Input((32, 32, 1), name="image")
        x = keras.layers.Conv2D(4, 5, activation="relu")(image)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
        models[policy] = keras.Model(image, keras.layers.Dense(2, dtype="float32")(x))
    models["mixed_bfloat16"].set_weights(models["float32"].get_weights())
    models["mixed_bfloat16"].save(mixed / "model.keras")
    keras.config.set_dtype_policy("float32")
    version = export.export(mixed, to=tmp_path / "mixed_model")
    assert tf.bfloat16.as_datatype_enum not in dtypes(version)
    images = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)
    found = tf.saved_model.load(str(version)).signatures["serve_tensor"](image=images)
    expected = class_probabilities(models["float32"].predict_on_batch(images))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    rounded = class_probabilities(models["mixed_bfloat16"].predict_on_batch(images))
    assert np.abs(rounded - expected).max() > 1e-6, "the two precisions cannot be told apart"


@contextlib.contextmanager
def limited_files(num_bytes):
    """No file may grow beyond so many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def votes():
    image = keras.Input((16, 24, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    outputs = {f"scale{i}": keras.layers.Dense(3, name=f"scale{i}")(pooled) for i in range(2)}
    return keras.Model(image, outputs)


def test_votes_of_three_classes_on_colour_and_a_full_disk(tmp_path):
    model, classes = votes(), ["a", "b", "c"]
    with limited_files(10_000), pytest.raises(OSError):
        write_signatures(tmp_path / "cut", model, classes, None)
    write_signatures(tmp_path / "model", model, classes, None)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3), np.uint8)
    found = answer(tmp_path / "model", [tf.io.encode_png(image).numpy() for image in pixels])
    expected = class_probabilities(model.predict_on_batch(pixels * np.float32(1 / 255)))
    np.testing.assert_allclose(found["probabilities"], expected, atol=TOLERANCE)
    assert [n.decode() for n in found["label_name"]] == [classes[k] for k in decide(expected)]


def test_versions_count_on_from_the_highest_number(tmp_path):
    for name in ("2", "0007", "junk", ".unfinished-dead", "3.bak"):
        (tmp_path / name).mkdir()
    found = publish(tmp_path, lambda path: (path / "file").write_text("x"))
    assert found == tmp_path / "8" and (found / "file").read_text() == "x"
    assert not list(tmp_path.glob(".unfinished*"))
    assert os.stat(found).st_mode & 0o055, "a server that is another user must read it"


def test_exports_at_once_get_a_version_each(tmp_path):
    def write(path):
        time.sleep(random.uniform(0, 0.02))
        (path / "file").write_text(path.name)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: publish(tmp_path, write), range(24)))
    assert sorted(int(path.name) for path in found) == list(range(1, 25))
    assert len({(path / "file").read_text() for path in found}) == 24


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def fail(path):
        (path / "file").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left.*Received: to="):
        publish(tmp_path / "model", fail)
    assert [path.name for path in (tmp_path / "model").iterdir()] == [".lock"]


def test_a_link_in_place_of_the_lock_is_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("years of work")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match="no version can be written there"):
        publish(tmp_path / "model", lambda path: None)
    assert (tmp_path / "victim").read_text() == "years of work"


KILLED = """
import os, random, shutil, signal, sys, time
from thyroid_keras.serving.versions import publish
source, target = sys.argv[1:]
random.seed(0)
for _ in range(20):
    child = os.fork()
    if not child:
        while True:
            publish(target, lambda path: shutil.copytree(source, path, dirs_exist_ok=True))
    time.sleep(random.uniform(0.005, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def whole(version, source):
    """Whether two folders hold the same files."""
    names = [p.relative_to(source) for p in source.rglob("*") if p.is_file()]
    found = [p.relative_to(version) for p in version.rglob("*") if p.is_file()]
    same = filecmp.cmpfiles(version, source, names, shallow=False)[0]
    return len(names) > 4 and len(same) == len(names) == len(found)


def test_kills_leave_whole_versions_only(version, tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, version, tmp_path], check=True)
    published = [p for p in tmp_path.iterdir() if not p.name.startswith(".")]
    assert len(published) > 5
    assert all(whole(path, version) for path in published)
    assert len(list(tmp_path.glob(".unfinished-*"))) <= 1
    publish(tmp_path, lambda path: None)
    assert not list(tmp_path.glob(".unfinished-*"))


@pytest.mark.slow
def test_killed_exports_leave_whole_versions_only(run_folder, tmp_path):
    random.seed(0)
    to = tmp_path / "model"
    command = [sys.executable, "-m", "thyroid_keras.export", str(run_folder), "--to", str(to)]
    start = time.monotonic()
    subprocess.run(command, check=True)
    duration = time.monotonic() - start
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.3, 1.0) * duration)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for path in to.iterdir():
        if path.name.isdecimal():
            assert answer(path, [tf.io.encode_png(np.zeros((9, 9, 1), np.uint8)).numpy()])
    subprocess.run(command, check=True)
    assert not list(to.glob(".unfinished-*"))


def fails(arguments, capsys):
    """Runs a command that must fail; returns what it says on stderr."""
    with pytest.raises(SystemExit) as caught:
        export.main([str(a) for a in arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and "Traceback" not in said
    return said


def test_wrong_input_is_named_and_nothing_is_left(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such folder" in fails(["nowhere"], capsys)
    (tmp_path / "half").mkdir()
    assert "missing" in fails(["half"], capsys)
    copy = shutil.copytree(run_folder, tmp_path / "copy")
    (copy / "model.keras").unlink()
    assert "model.keras" in fails([copy], capsys)
    (copy / "model.keras").write_bytes(b"PK\x03\x04")
    assert "model.keras" in fails([copy], capsys)
    (tmp_path / "file").touch()
    for to in ("file", "file/model"):
        assert "is not a folder" in fails([run_folder, "--to", to], capsys)
    assert "no version can be written" in fails([run_folder, "--to", "/proc/model"], capsys)
    assert not (tmp_path / "saved_models").exists()


def test_another_backend_is_refused_with_the_way_out(run_folder, tmp_path):
    command = [sys.executable, "-m", "thyroid_keras.export", str(run_folder)]
    done = subprocess.run(
        command,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "KERAS_BACKEND=tensorflow" in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_answers(capsys):
    with pytest.raises(SystemExit) as caught:
        export.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0 and cli.DISCLAIMER in said and "store them upright" in said
