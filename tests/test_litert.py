"""LiteRT files: they answer as the model does, and those of strangers are refused."""

import json
import os
import shutil
import signal

import flatbuffers
import keras
import numpy as np
import pytest
from litert_runs import write_run
from tables import blobs, write_folder

import thyroid_keras as tk
from thyroid_keras import export, litert
from thyroid_keras.litert.interpreter import LiteRT
from thyroid_keras.litert.structure import IDENTIFIER, OPERATORS, read_structure, schema
from thyroid_keras.loading import ModelError, load
from thyroid_keras.prediction import class_probabilities
from thyroid_keras.runs import RunError

FILES = ["README.rst", "model_card.json", "model_float16.tflite", "model_float32.tflite",
         "model_int8.tflite", "page.html"]  # fmt: skip
LIMITS = {"float32": 1e-4, "float16": 1e-2}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished run, from a data folder whose name must not travel."""
    return write_run(tmp_path_factory.mktemp("patient_mustermann"))


@pytest.fixture(scope="module")
def version(run_folder):
    """Its first exported version."""
    to = run_folder.parent / "saved_models" / "fan_litert"
    export.main([str(run_folder), "--format", "litert", "--to", str(to)])
    return to / "1"


def test_files_answer_as_the_model_does(run_folder, version):
    assert sorted(path.name for path in version.iterdir()) == FILES
    images = np.stack([s.image for s in blobs(40, seed=9).samples])[..., None] / np.float32(255)
    expected = class_probabilities(load(run_folder).predict_on_batch(images))
    assert np.ptp(expected[:, 1]) > 0.7, "images that all look alike"
    for kind, limit in LIMITS.items():
        found = LiteRT((version / f"model_{kind}.tflite").read_bytes()).predict(images)
        assert np.abs(found["probabilities"] - expected).max() <= limit
        assert found["class_maps"].shape == (40, 32, 32, 2)
    found = LiteRT((version / "model_int8.tflite").read_bytes()).predict(images)
    same = found["probabilities"].argmax(axis=1) == expected.argmax(axis=1)
    assert same.mean() >= 0.95


def test_eight_bits_are_eight_bits(version):
    model = read_structure((version / "model_int8.tflite").read_bytes())
    (graph,) = model.subgraphs
    conv = next(
        operator
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_2D
    )
    types = [graph.tensors[i].type for i in (*conv.inputs[:2], *conv.outputs)]
    assert types == [schema.TensorType.INT8] * 3
    assert len(graph.tensors[conv.inputs[1]].quantization.scale) == 3, "not per channel"


def test_the_card_is_true_and_nothing_says_who(run_folder, version):
    card = json.loads((version / "model_card.json").read_text())
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert card["input"] == {"name": "image", "shape": [1, 32, 32, 1], "range": [0, 1]}
    assert card["outputs"] == {"class_maps": [1, 32, 32, 2], "probabilities": [1, 2]}
    assert card["threshold"] == metrics["threshold"]
    for name, trial in card["files"].items():
        assert trial["converts"] and trial["passes"] and trial["latency_ms"] > 0
        assert trial["bytes"] == (version / name).stat().st_size
    assert card["files"]["model_float32.tflite"]["max_difference"] <= 1e-4
    assert "test images" in card["tried_on"] and "training images" in card["calibrated_with"]
    for path in version.iterdir():
        content = path.read_bytes()
        for planted in (b"mustermann", b"blob0", str(run_folder.parent).encode()):
            assert planted not in content, f"{planted} in {path}"


def without_data(run_folder, tmp_path):
    """A copy of the run whose data is somewhere else."""
    folder = shutil.copytree(run_folder, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["data"]["source"]["path"] = str(tmp_path / "gone")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_data_that_is_gone_is_said(run_folder, tmp_path, capsys):
    folder = without_data(run_folder, tmp_path)
    said = wrong([folder, "--format", "litert", "--to", tmp_path / "model"], capsys)
    assert "--calibration PATH" in said and "gone" in said
    assert not (tmp_path / "model").exists()


def test_a_run_without_its_split_is_refused_and_not_written_to(run_folder, tmp_path, capsys):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / "split.csv").unlink()
    said = wrong([folder, "--format", "litert", "--to", tmp_path / "model"], capsys)
    assert "split.csv missing" in said and not (folder / "split.csv").exists()


@pytest.mark.slow
def test_given_pictures_calibrate_instead(run_folder, tmp_path):
    folder = without_data(run_folder, tmp_path)
    pictures = write_folder(blobs(6, masks=False), tmp_path / "given") / "calcification"
    version = export.export(
        folder, to=tmp_path / "model", format="litert", calibration=pictures, say=lambda _: None
    )
    card = json.loads((version / "model_card.json").read_text())
    assert card["calibrated_with"] == "2 given pictures" == card["tried_on"]


def wrong(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        export.main([str(a) for a in arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.startswith("error: ") and "Traceback" not in said
    return said


def test_what_cannot_be_exported_is_said(run_folder, tmp_path, capsys):
    assert "litert alone" in wrong([run_folder, "--calibration", tmp_path], capsys)
    folder = shutil.copytree(run_folder, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"] |= {"borders": "classical", "views": "split"}
    (folder / "config.json").write_text(json.dumps(config))
    said = wrong([folder, "--format", "litert", "--to", tmp_path / "model"], capsys)
    assert "borders=classical, views=split" in said
    assert "not known" not in said and not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_network_that_does_not_convert_is_a_user_error(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    image = keras.Input((32, 32, 1), name="image")
    x = keras.layers.Flatten()(image)[:, :2]
    keras.Model(image, keras.ops.erfinv(x / 2), name="fan").save(folder / "model.keras")
    with pytest.raises(RunError, match="LiteRT has no form of this network.*Erfinv"):
        export.export(folder, to=tmp_path / "model", format="litert", say=lambda _: None)
    assert not (tmp_path / "model").exists()


def changed(content, change):
    """The file after a change of its parsed form."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def far_tensor(model):
    model.subgraphs[0].operators[0].inputs = [10**6]


def huge_tensor(model):
    model.subgraphs[0].tensors[0].shape = [2**30, 2**30, 4, 4]


def wrong_shape(model):
    constant = next(t for t in model.subgraphs[0].tensors
                    if model.buffers[t.buffer].data is not None)  # fmt: skip
    constant.shape = [int(side) + 1 for side in constant.shape]


def custom(model):
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = "FlexReadFile"


def control_flow(model):
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.WHILE


def outside(model):
    model.buffers[1].offset, model.buffers[1].size = 10**6, 100


def set_to(name, value):
    return lambda model: setattr(model, name, value)


CHANGES = {
    "tensor far away": (far_tensor, "tensor that is not there"),
    "huge tensor": (huge_tensor, "MB"),
    "bytes that do not fit": (wrong_shape, "bytes instead of"),
    "custom operation": (custom, "operation CUSTOM"),
    "control flow": (control_flow, "operation WHILE"),
    "bytes outside": (outside, "outside of itself"),
    "no graph": (set_to("subgraphs", []), "one network"),
    "no signature": (set_to("signatureDefs", []), "one network"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_is_more_than_a_network_is_refused(name, version):
    content = (version / "model_float32.tflite").read_bytes()
    change, reason = CHANGES[name]
    read_structure(changed(content, lambda model: None))
    with pytest.raises(ValueError, match=reason):
        read_structure(changed(content, change))


def test_damaged_files_are_refused_or_read_but_never_end_the_process(version):
    content = (version / "model_float32.tflite").read_bytes()
    files = [b"", b"TFL3", b"\0" * 8, b"<html>404</html>", b"\x1c\0\0\0TFL3" + b"\xff" * 100]
    files += [content[: len(content) * i // 20] for i in range(19)]
    for file in files:
        with pytest.raises(ValueError, match="LiteRT file|cut off|one network|bytes"):
            read_structure(file)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        spoilt = bytearray(content)
        at = int(rng.integers(8, len(content) - 4))
        spoilt[at : at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        try:
            read_structure(bytes(spoilt))
        except ValueError:
            refused += 1
    assert refused > 20, "no spoilt offset is found"


def test_a_runtime_that_hangs_or_crashes_is_said_and_nothing_else(version, monkeypatch):
    image = np.zeros((1, 32, 32, 1), np.float32)
    with litert.load(version / "model_float32.tflite") as network:
        os.kill(network._child.pid, signal.SIGSTOP)
        monkeypatch.setattr("thyroid_keras.litert.loading.ANSWER_S", 0.1)
        with pytest.raises(ModelError, match="no answer in 0.1 s"):
            network.predict(image)
    monkeypatch.undo()
    with litert.load(version / "model_float32.tflite") as network:
        os.kill(network._child.pid, signal.SIGSEGV)
        for _ in range(2):
            with pytest.raises(ModelError, match="ended with status -11. Take"):
                network.predict(image)


def test_load_of_keras_models_refuses_them(version):
    with pytest.raises(ModelError, match="not a .keras file"):
        tk.load(version / "model_float32.tflite")


def test_operations_are_named_as_the_format_names_them():
    assert OPERATORS <= set(vars(schema.BuiltinOperator))


@pytest.mark.slow
def test_files_of_others_are_asked_in_a_process_of_their_own(version, tmp_path):
    content = (version / "model_float32.tflite").read_bytes()
    images = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    expected = LiteRT(content).predict(images)
    with litert.load(version / "model_float32.tflite") as network:
        found = network.predict(images)
        assert network.image_shape == (32, 32, 1)
        with pytest.raises(ValueError, match="Received: shape="):
            network.predict(images[0])
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    # passes every look at its structure, and ends the runtime
    hostile = tmp_path / "hostile.tflite"

    def no_stride(model):
        for operator in model.subgraphs[0].operators:
            if isinstance(operator.builtinOptions, schema.Conv2DOptionsT):
                operator.builtinOptions.strideH = operator.builtinOptions.strideW = 0

    hostile.write_bytes(changed(content, no_stride))
    read_structure(hostile.read_bytes())
    with pytest.raises(ModelError, match="hostile.tflite: not a LiteRT file.*runtime"):
        litert.load(hostile)
    with pytest.raises(ModelError, match="No such file"):
        litert.load(tmp_path / "absent.tflite")
