"""Logistic regression and SVM on pixels: the network answers as scikit-learn does."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from check import fails
from sklearn.linear_model import LogisticRegression
from tables import blobs, write_folder

from thyroid_keras import evaluate, export, train
from thyroid_keras.benchmarking.rehearsal import rehearse
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.splits import make_splits
from thyroid_keras.data.store import PixelStore
from thyroid_keras.recipes import RECIPES, pixels
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.training import SettingError, Training, override

TINY = ["image_size=8", "channels=1", "penalties=0.1,1"]


def halves(num_classes, count=36):
    """Noise in which no half, the left or the right one is a little brighter."""
    table, samples = blobs(count, 16, masks=False, views=1), []
    for i, sample in enumerate(table.samples):
        image = np.random.default_rng(i).integers(0, 120, (8, 8), dtype=np.uint8)
        if label := i % num_classes:
            image[:, 4 * (label - 1) : 4 * label] += 60
        samples.append(dataclasses.replace(sample, image=image, label=label))
    names = ("none", "left", "right")[:num_classes]
    return dataclasses.replace(table, samples=tuple(samples), class_names=names)


def fit(tmp_path, table, *settings):
    splits, kept = make_splits(table, progress=False), {}
    recipe = override(RECIPES["pixel_classifier"]["quick"], [*TINY, *settings])
    training = Training(checkpoints=tmp_path, feed=feed, keep=kept.__setitem__)
    model = recipe.procedure(recipe, splits, training)
    return model, splits, json.loads(kept["protocol.json"])


def answers(model, table):
    store = PixelStore(table, (8, 8), 1)
    images = store.read(np.arange(len(table)))[0] * GREY_LEVEL
    return images, model.predict_on_batch(images)["logits"]


@pytest.mark.parametrize("kernel", ["", "linear", "rbf"])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_network_is_right_where_scikit_learn_is(kernel, num_classes, tmp_path):
    settings = ["classifier=svm", f"kernels={kernel}"] if kernel else ["classifier=lr"]
    model, splits, found = fit(tmp_path, halves(num_classes), *settings)
    _, logits = answers(model, splits.test)
    assert logits.shape == (len(splits.test), num_classes) and logits.dtype == np.float32
    right = (logits.argmax(-1) == splits.test.labels).astype(int)
    assert right.tolist() == found["repeat_0"]
    assert found["measured"] == [pytest.approx(right.mean())] and right.mean() > 1 / num_classes
    assert len(found["grid"]) == 2 and found["chosen"] in found["grid"]
    assert found["chosen"]["accuracy"] == max(one["accuracy"] for one in found["grid"])


def test_its_scores_are_those_of_a_fit_to_the_pixels(tmp_path):
    """Turning the axes changes nothing."""
    model, splits, found = fit(tmp_path, halves(3), "penalties=0.5")
    pool = dataclasses.replace(splits.train, samples=splits.train.samples + splits.val.samples)
    x = answers(model, pool)[0].reshape(len(pool), -1)
    plain = LogisticRegression(C=0.5, max_iter=10_000, tol=1e-8).fit(x, pool.labels)
    images, logits = answers(model, splits.test)
    expected = plain.decision_function(images.reshape(len(images), -1))
    np.testing.assert_allclose(logits, expected, atol=5e-3)
    assert found["chosen"]["settings"] == ["kernel=linear", "C=0.5"]


def test_a_radial_machine_has_the_same_scores_as_a_network():
    x, labels = np.random.default_rng(0).random((2, 24, 64), np.float32), np.arange(24) % 3
    recipe = override(RECIPES["pixel_classifier"]["quick"], ["classifier=svm"])
    turned, axes = pixels._rotate(x[0])
    fitted = pixels._fit(recipe, "rbf", 1.0, turned, labels, 0)
    model = pixels._as_network(fitted, axes, (8, 8, 1), 3)
    scores = model.predict_on_batch(x[1].reshape(-1, 8, 8, 1))["logits"]
    np.testing.assert_allclose(scores, fitted.decision_function(x[1] @ axes.T), atol=1e-4)


def test_settings_are_chosen_by_patients_that_were_not_learned_from(tmp_path):
    table, samples = blobs(90, 16, masks=False, views=3), []
    for i, sample in enumerate(table.samples):  # all that is to be learned is who it is
        image = np.random.default_rng([7, i // 3]).integers(0, 250, (8, 8), dtype=np.uint8)
        image += np.random.default_rng([1, i]).integers(0, 5, (8, 8), dtype=np.uint8)
        samples.append(dataclasses.replace(sample, image=image))
    table = dataclasses.replace(table, samples=tuple(samples))
    *_, found = fit(tmp_path, table)
    assert found["chosen"]["accuracy"] < 0.65
    alone = [dataclasses.replace(s, group=s.name) for s in samples]
    *_, found = fit(tmp_path, dataclasses.replace(table, samples=tuple(alone)))
    assert found["chosen"]["accuracy"] > 0.8, "what the other views of a patient give away"


@pytest.mark.slow
def test_a_run_of_it_is_exported_and_answers_alike(tmp_path):
    data, run = write_folder(blobs(24, masks=False), tmp_path / "data"), tmp_path / "run"
    words = ["--arch", "pixel_classifier", "--data", str(data), "--out", str(run), "--set", *TINY]
    train.main([*words, "--precision", "float32"])
    export.main([str(run), "--to", str(tmp_path / "saved")])
    model = tf.saved_model.load(tmp_path / "saved" / "1")
    row = read_csv(Run(run).predictions)[0]
    (path,) = data.rglob(row["image"].rpartition("/")[2])
    found = model.signatures["serving_default"](image_bytes=tf.constant([path.read_bytes()]))
    columns = [name for name in row if name.startswith("p_")]
    expected = [float(row[name]) for name in columns]
    np.testing.assert_allclose(found["probabilities"][0], expected, atol=1e-5)


def test_there_are_no_steps_to_be_timed():
    with pytest.raises(SettingError, match="no training steps.*Received: arch='pixel_classifier'"):
        rehearse(override(RECIPES["pixel_classifier"]["quick"], [*TINY, "batch_size=2"]))


def test_wrong_settings_are_named():
    recipe = RECIPES["pixel_classifier"]["paper"]
    with pytest.raises(SettingError) as caught:
        override(recipe, ["kernels=poly", "penalties=0,1", "cv_folds=1", "classifier=tree"])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].removeprefix("--set ") for line in lines] == [
        "classifier", "kernels", "penalties", "cv_folds"
    ]  # fmt: skip


def test_folds_that_cannot_be_dealt_are_refused_before_anything_is_written(tmp_path, capsys):
    data, out = write_folder(halves(2), tmp_path / "data"), tmp_path / "run"
    words = ["--arch", "pixel_classifier", "--data", data, "--out", out, "--set", *TINY]
    said = fails(train.main, [*words, "cv_folds=60"], capsys)
    assert "make " in said and "folds at most. Received: cv_folds=60" in said
    assert not (out / "split.csv").exists()


def test_nothing_that_it_learned_from_chooses_or_is_shown(tmp_path, monkeypatch, capsys):
    """And a run knows where its data lie, from wherever it was trained."""
    write_folder(halves(2), tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    train.main(["--arch", "pixel_classifier", "--data", "data", "--out", "run", "--set", *TINY])
    said = capsys.readouterr().out
    run = Run(tmp_path / "run")
    assert {row["split"] for row in read_csv(run.split)} == {"train", "test"}
    found = run.read_metrics()
    assert found["threshold"] == 0.5 and "validation" not in found
    last = run.read_config()["data"]["class_names"][-1]
    assert f"the positive one is {last}" in said and f"sensitivity (of {last})" in said
    monkeypatch.chdir(tmp_path / "elsewhere")
    evaluate.main([str(run.folder)])
    assert run.read_metrics() == found
