"""Bottleneck runs as exported networks: the FC layer's, and a linear machine's, as `predict`."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_bottleneck import cloud, theirs, twins  # noqa: F401, a fixture
from test_commands import fails

import thyroid_keras as tk
from thyroid_keras import bottleneck as command
from thyroid_keras import export, predict
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.phantom import NOTE
from thyroid_keras.explain import __main__ as explain
from thyroid_keras.litert.interpreter import LiteRT
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.serving.card import model_card
from thyroid_keras.transfer import fit_svm
from thyroid_keras.transfer.svm_network import is_linear, join_svm


def flat(width=8):
    image = keras.Input((1, width, 1), name="image")
    return keras.Model(image, keras.layers.Flatten(name="features")(image))


@pytest.mark.parametrize("scale", [False, True])
def test_a_linear_machine_is_one_network_with_the_features(scale, tmp_path):
    features, labels, _ = cloud(apart=1.0)
    fitted = fit_svm(features * 3 + 1, labels, np.arange(24), ("a", "b"), scale=scale)
    assert is_linear(fitted)
    join_svm(flat(), fitted).save(tmp_path / "model.keras")
    values = np.random.default_rng(1).normal(1, 4, (50, 8)).astype(np.float32)
    found = tk.load(tmp_path / "model.keras").predict_on_batch(values.reshape(50, 1, 8, 1))
    expected = fitted.probabilities(values)
    assert expected[:, 1].std() > 0.1, "answers that are all alike"
    np.testing.assert_allclose(found["label"], expected, atol=1e-6)
    np.testing.assert_allclose(found["label"].sum(axis=1), 1, atol=1e-6)


def test_what_is_no_line_is_no_network():
    features, labels, _ = cloud()
    assert not is_linear(fit_svm(features, labels, np.arange(24), ("a", "b"), kernel="rbf"))
    features, labels, _ = cloud(classes=3)
    assert not is_linear(fit_svm(features, labels, np.arange(24), ("a", "b", "c")))


def test_a_card_names_no_folder():
    config = {"arch": "x", "data": {"class_names": ["a", "b"]}}
    config["recipe"] = {"weights": "/home/mustermann/w.npz", "kernel": "linear", "copies": 3}
    recipe = model_card(config, {}, flat())["recipe"]
    assert recipe == {"weights": "w.npz", "kernel": "linear", "copies": 3}


def test_a_card_says_that_images_were_simulated():
    config = {"arch": "x", "data": {"class_names": ["a", "b"], "notes": [NOTE, "Text."]}}
    assert NOTE in model_card(config, {}, flat())["limits"]
    config["data"]["notes"] = ["Text."]
    limits = model_card(config, {}, flat())["limits"]
    assert limits and not {NOTE, "Text."} & set(limits)


def run_of(folder, weights, *words):
    data = folder / "mustermann" / "twins.npz"
    data.parent.mkdir(parents=True)
    write_pack(data, twins(), (32, 32))
    words = ["--data", data, "--features", "mobilenet", "--weights", weights, *words]
    words += ["--image-size", 64, "--copies", 1, "--folds", 2]
    command.main([str(w) for w in [*words, "--out", folder / "run", "--cache", folder / "cache"]])
    return folder / "run"


@pytest.mark.slow
def test_a_machine_that_is_no_network_is_refused_with_the_way_out(theirs, capsys, tmp_path):  # noqa: F811
    folder = run_of(tmp_path, theirs[1], "--kernel", "rbf")
    for kind in export.FORMATS:
        said = fails(export.main, [folder, "--format", kind, "--to", tmp_path / kind], capsys)
        assert "not linear" in said and "bottleneck --classifier fc" in said
        assert not (tmp_path / kind).exists()


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["fc", "svm"])
def test_exports_answer_as_predict_does(classifier, theirs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    folder = run_of(tmp_path, theirs[1], "--classifier", classifier)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, sample in enumerate(twins(seed=3).samples[:6]):
        Image.fromarray(sample.image).resize((70, 90)).save(pictures / f"{i}.png")
    predict.main([str(folder), str(pictures), "--out", str(tmp_path / "found.csv")])
    rows = read_csv(tmp_path / "found.csv")
    expected = np.array([float(row["p_malignant"]) for row in rows])
    assert np.ptp(expected) > 1e-4, "pictures that all look alike"
    metrics = Run(folder).read_metrics()

    export.main([str(folder)])
    version = Path("saved_models") / f"mobilenet_features_{classifier}" / "1"
    data = [Path(row["image"]).read_bytes() for row in rows]
    answer = tf.saved_model.load(str(version)).signatures["serving_default"]
    found = answer(image_bytes=tf.constant(data))
    np.testing.assert_allclose(found["probabilities"][:, 1], expected, atol=1e-5)
    assert [n.decode() for n in found["label_name"].numpy()] == [r["predicted"] for r in rows]
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert card["test"]["split"] == "out-of-fold" and card["threshold"] == metrics["threshold"]
    assert card["test"]["roc_auc"] == metrics["roc_auc"]

    keras.utils.clear_session()  # names are given out anew, as in another process
    explain.main([str(folder), str(pictures / "0.png"), "--out", "seen", "--method", "gradcam"])
    assert list(Path("seen").glob("*.png"))

    export.main([str(folder), "--format", "litert"])
    version = Path("saved_models") / f"mobilenet_features_{classifier}_litert" / "1"
    card = json.loads((version / "model_card.json").read_text())
    assert card["calibrated_with"] == "16 of its images"
    assert card["tried_on"] == "16 others of its images"
    assert all(trial["converts"] for trial in card["files"].values())
    images = [np.array(Image.open(row["image"]).resize((64, 64))) for row in rows]
    images = np.stack(images)[..., None].repeat(3, -1) * GREY_LEVEL
    content = (version / "model_float32.tflite").read_bytes()
    same = tk.load(folder).predict_on_batch(images)
    same = same["label"] if "label" in same else keras.ops.softmax(same["logits"])
    found = LiteRT(content).predict(images)["probabilities"]
    np.testing.assert_allclose(found, same, atol=1e-4)
    for path in [*version.parents[1].rglob("*.json"), *version.parents[1].rglob("README*")]:
        assert "mustermann" not in path.read_text(), path
