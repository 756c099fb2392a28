"""Cross-validation: every image tested once by a model that has not seen it; the ensemble."""

import json
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import sklearn.metrics
from check import fails
from tables import blobs

import thyroid_keras as tk
from thyroid_keras import crossval, evaluate, explain, predict
from thyroid_keras.data.pack import write_pack
from thyroid_keras.ensemble import ensemble
from thyroid_keras.explain import __main__ as explain_command
from thyroid_keras.layers import GridAttention
from thyroid_keras.pooling import _out_of_fold, _pooled_figures, pool
from thyroid_keras.prediction import class_probabilities
from thyroid_keras.runs import Run, RunError, read_csv, read_json, write_csv, write_json

FOLDS = 2
SMALL = [
    "--set", "image_size=32", "stage_filters=8,8,8,8,8", "batch_size=8",
    "segmentation_epochs=2", "epochs=1", "pixel_label_percent=100",
]  # fmt: skip
FILES = {
    "config.json", "fold_0", "fold_1", "folds.csv", "log.txt", "metrics.json", "model.keras",
    "plots", "predictions.csv", "report.html", "split.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 images of 12 patients, with masks."""
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    write_pack(path, blobs(24), (32, 32))
    return path


def command(data, folder, *more):
    words = ["--arch", "ds_agnet", "--folds", FOLDS, "--data", data, "--out", folder, *more, *SMALL]
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """A finished cross-validation."""
    folder = tmp_path_factory.mktemp("crossval") / "cv"
    crossval.main(command(data, folder))
    return folder


def test_every_image_is_answered_once_by_a_model_that_has_not_seen_it(folder):
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == FILES
    rows = read_csv(folder / "predictions.csv")
    assert len(rows) == len({row["image"] for row in rows}) == 24
    for fold in range(FOLDS):
        split = read_csv(folder / f"fold_{fold}" / "split.csv")
        learned = [row for row in split if row["split"] != "test"]
        answered = [row for row in rows if row["fold"] == str(fold)]
        assert answered and learned
        for key in ("image", "group"):
            assert not {row[key] for row in learned} & {row[key] for row in answered}
    recorded = {row["image"]: row["split"] for row in read_csv(folder / "split.csv")}
    assert recorded == {row["image"]: f"fold_{row['fold']}" for row in rows}


def test_pooled_figures_are_those_of_all_answers(folder):
    rows, found = read_csv(folder / "predictions.csv"), read_json(folder / "metrics.json")
    truth = np.array([row["label"] == "calcification" for row in rows])
    scores = np.array([float(row["p_calcification"]) for row in rows])
    called = np.array([row["predicted"] == "calcification" for row in rows])
    assert (found["split"], found["n"], found["groups"]) == ("out-of-fold", 24, 12)
    assert found["accuracy"]["value"] == pytest.approx((truth == called).mean())
    assert found["f1"]["value"] == pytest.approx(sklearn.metrics.f1_score(truth, called))
    auc = sklearn.metrics.roc_auc_score(truth, scores)
    assert found["roc_auc"]["value"] == pytest.approx(auc)
    assert "2 models" in found["roc_auc"]["note"]
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert len(dice) == truth.sum() == found["segmentation"]["n"]
    assert found["dice"]["value"] == pytest.approx(np.mean(dice))


def test_each_fold_decides_by_its_own_threshold(folder):
    each = [read_json(folder / f"fold_{i}" / "metrics.json") for i in range(FOLDS)]
    for row in read_csv(folder / "predictions.csv"):
        called = float(row["p_calcification"]) >= each[int(row["fold"])]["threshold"]
        assert (row["predicted"] == "calcification") == called
    found = read_json(folder / "metrics.json")
    assert found["threshold"] == pytest.approx(np.mean([m["threshold"] for m in each]))
    counts = np.array(found["confusion"])
    assert counts.tolist() == np.sum([m["confusion"] for m in each], axis=0).tolist()
    for name in ("roc_auc", "accuracy", "dice"):
        values = [m[name]["value"] for m in each]
        spread = found["mean_sd"][name]
        assert spread["mean"] == pytest.approx(np.mean(values))
        assert spread["sd"] == pytest.approx(np.std(values, ddof=1))
        assert [fold[name]["value"] for fold in found["folds"]] == values
    assert "not a confidence interval" in found["mean_sd"]["note"]
    table = read_csv(folder / "folds.csv")
    assert [float(row["roc_auc"]) for row in table] == [m["roc_auc"]["value"] for m in each]


def test_pooled_figures_are_cut_at_each_folds_own_threshold(folder, tmp_path):
    runs, whole = [], Run(tmp_path)
    for fold, cut in enumerate((0.2, 0.8)):  # each fold is right at its own, and at no other
        trained, one = Run(folder / f"fold_{fold}"), Run(tmp_path / f"fold_{fold}")
        one.folder.mkdir()
        write_json(one.metrics, trained.read_metrics() | {"threshold": cut})
        rows = read_csv(trained.predictions)
        for row in rows:
            p = cut + (0.1 if row["label"] == "calcification" else -0.1)
            row |= {"p_calcification": p, "p_no calcification": 1 - p}
        write_csv(one.predictions, rows)
        runs.append(one)
    write_csv(whole.predictions, _out_of_fold(runs))
    found = _pooled_figures(whole, runs, Run(folder).read_config())
    assert found["threshold"] == pytest.approx(0.5) and found["accuracy"]["value"] == 1


def test_the_page_names_both_kinds_of_figures(folder):
    page = (folder / "report.html").read_text()
    assert 'href="fold_0/report.html"' in page and (folder / "fold_0/report.html").exists()
    assert "not a confidence interval" in page and "each by the model that had not seen it" in page
    assert "ranks the scores of 2 models together" in page
    assert str(folder.parent) not in page and "<script" not in page


def test_the_ensemble_answers_with_the_mean(folder):
    images = np.stack([s.image[..., None] / np.float32(255) for s in blobs(4).samples])
    joined = tk.load(folder).predict_on_batch(images)
    each = [tk.load(folder / f"fold_{i}").predict_on_batch(images) for i in range(FOLDS)]
    labels = [class_probabilities(answer) for answer in each]
    np.testing.assert_allclose(joined["label"], np.mean(labels, axis=0), atol=1e-6)
    np.testing.assert_allclose(joined["label_sd"], np.std(labels, axis=0, ddof=1), atol=1e-6)
    mask = np.mean([answer["mask"] for answer in each], axis=0)
    np.testing.assert_allclose(joined["mask"], mask, atol=1e-6)
    assert np.ptp(labels, axis=0).max() > 1e-4, "two models, not one twice"


@pytest.mark.slow
def test_commands_take_the_folder_like_a_run(folder, tmp_path):
    other = tmp_path / "other.npz"
    write_pack(other, blobs(8, seed=5), (32, 32))
    evaluate.main([str(folder), "--data", str(other)])
    below = folder / "evaluation-other.npz"
    found = read_json(below / "metrics.json")
    assert found["n"] == 8 and found["split"] == "test"
    assert found["threshold"] == read_json(folder / "metrics.json")["threshold"]
    picture = tmp_path / "picture.png"
    keras.utils.save_img(picture, blobs(3).samples[2].image[..., None], scale=False)
    predict.main([str(folder), str(picture), "--out", str(tmp_path / "p.csv")])
    (row,) = read_csv(tmp_path / "p.csv")
    assert float(row["sd_calcification"]) > 0 and 0 <= float(row["mask_share"]) <= 1
    explain_command.main([str(folder), str(picture), "--out", str(tmp_path / "maps")])
    boxes = json.loads((tmp_path / "maps" / "boxes.json").read_text())
    assert sorted(boxes[str(picture)]) == ["mask_gate1", "mask_gate2", "mask_gate3"]
    shutil.rmtree(below)


def test_the_ensemble_is_not_judged_on_what_a_member_has_seen(folder, data, capsys):
    said = fails(evaluate.main, [folder, "--data", data], capsys)
    assert said.count("learned from") == 24
    assert not (folder / f"evaluation-{data.name}").exists()


def test_evaluate_pools_the_same_again(folder, capsys):
    before = read_json(folder / "metrics.json")
    evaluate.main([str(folder)])
    assert read_json(folder / "metrics.json") == before
    assert "Out-of-fold, 24 images of 12 patients" in capsys.readouterr().out


def cut_short(folder, path):
    """A copy as a kill leaves it after the first fold."""
    cut = shutil.copytree(folder, path)
    for path in cut.iterdir():
        if path.name not in ("config.json", "log.txt", "fold_0", "fold_1"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return cut


def the_same(cut, folder):
    for name in ("metrics.json", "predictions.csv", "split.csv", "folds.csv"):
        assert (cut / name).read_bytes() == (folder / name).read_bytes(), name
    ours, theirs = (tk.load(path).get_weights() for path in (cut, folder))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_resume_redoes_what_is_missing_and_nothing_else(folder, data, tmp_path):
    cut = cut_short(folder, tmp_path / "cut")
    for name in ("model.keras", "metrics.json", "predictions.csv", "report.html"):
        (cut / "fold_1" / name).unlink()
    kept = (cut / "fold_0" / "model.keras").stat().st_mtime_ns
    crossval.main(command(data, cut, "--resume"))
    assert (cut / "fold_0" / "model.keras").stat().st_mtime_ns == kept
    the_same(cut, folder)


@pytest.mark.slow
def test_a_terminated_crossval_goes_on_to_the_same_end(folder, data, tmp_path):
    cut = cut_short(folder, tmp_path / "cut")
    shutil.rmtree(cut / "fold_1")
    words = [sys.executable, "-m", "thyroid_keras.crossval", *command(data, cut, "--resume")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 900
        while not list(cut.glob("fold_1/checkpoints/*/epoch_0001")):
            late = time.monotonic() > deadline
            if late:
                process.kill()
            assert not late and process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=900)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "thyroid_keras.crossval" in said and "--resume" in said and "Traceback" not in said
    assert not (cut / "metrics.json").exists()
    crossval.main(command(data, cut, "--resume"))
    the_same(cut, folder)


def test_folds_of_other_data_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "fold_1" / "split.csv"
    whole = read_csv(path)
    write_csv(path, [whole[0] | {"sha256": "0" * 64}, *whole[1:]])
    with pytest.raises(RunError, match=f"fold_1.*{whole[0]['image']}"):
        pool(Run(copy))
    untested = next(row for row in whole if row["split"] == "test")
    write_csv(path, [row | {"split": "val"} if row is untested else row for row in whole])
    with pytest.raises(RunError, match=f"no fold's test set.*{untested['image']}"):
        pool(Run(copy))
    (copy / "fold_0" / "model.keras").unlink()
    with pytest.raises(RunError, match="model.keras missing"):
        pool(Run(copy))


def test_wrong_input_ends_with_status_2(folder, data, tmp_path, capsys):
    once = ["--arch", "ds_agnet", "--data", data, "--out", tmp_path / "new"]
    assert "at least 2" in fails(crossval.main, [*once, "--folds", 1], capsys)
    assert "cannot be in all of 13 parts" in fails(crossval.main, [*once, "--folds", 13], capsys)
    assert "--out" in fails(crossval.main, [*once[:-2], "--folds", 2, "--resume"], capsys)
    assert "not empty" in fails(crossval.main, command(data, folder), capsys)
    changed = command(data, folder, "--resume", "--seed", "1")
    assert "seed" in fails(crossval.main, changed, capsys)
    with Run.create(folder, resume=True):
        said = fails(crossval.main, command(data, folder, "--resume"), capsys)
    assert "another run" in said


def test_help_answers(capsys):
    for words in (["--help"], []):
        with pytest.raises(SystemExit):
            crossval.main(words)
    said = capsys.readouterr()
    assert "at least 2" in said.out and "Research use only" in said.out
    assert "--folds" in said.err


def gated_model():
    image = keras.Input((8, 8, 1), name="image")
    features = keras.layers.Conv2D(4, 3, padding="same")(image)
    alpha = GridAttention(2, name="gate")(features, keras.layers.MaxPooling2D()(features))
    pooled = keras.layers.GlobalAveragePooling2D()(features * alpha)
    return keras.Model(image, {"label": keras.layers.Dense(2, activation="softmax")(pooled)})


def test_the_ensemble_of_a_classifier_averages_maps_and_survives_saving(tmp_path):
    models = [gated_model() for _ in range(3)]
    images = np.random.default_rng(1).random((2, 8, 8, 1), dtype=np.float32)
    labels = [model.predict_on_batch(images)["label"] for model in models]
    maps = [explain.attention_maps(model, images)["gate"] for model in models]
    ensemble(models).save(tmp_path / "ensemble.keras")
    joined = tk.load(tmp_path / "ensemble.keras")
    answer = joined.predict_on_batch(images)
    np.testing.assert_allclose(answer["label"], np.mean(labels, axis=0), atol=1e-6)
    assert explain.gates(joined) == ["gate"]
    found = explain.attention_maps(joined, images)["gate"]
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-6)
    assert np.std(maps, axis=0).max() > 1e-3
    with pytest.raises(ValueError, match="at least two"):
        ensemble(models[:1])


def logits_model(outputs):
    image = keras.Input((4, 4, 1), name="image")
    flat = keras.layers.Flatten()(image)
    heads = {name: keras.layers.Dense(3, name=name)(flat) for name in outputs}
    return keras.Model(image, heads if len(heads) > 1 else heads[outputs[0]])


@pytest.mark.parametrize("outputs", [["logits"], ["vote1", "vote2"]])
def test_the_ensemble_averages_probabilities_not_logits(outputs):
    models = [logits_model(outputs) for _ in range(2)]
    images = 3 * np.random.default_rng(2).random((5, 4, 4, 1), dtype=np.float32)
    each = [class_probabilities(model.predict_on_batch(images)) for model in models]
    found = class_probabilities(ensemble(models).predict_on_batch(images))
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
