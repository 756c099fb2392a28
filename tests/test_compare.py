"""Comparing two runs: what decides, what is refused, and what is said."""

import json

import numpy as np
import pytest
import sklearn.metrics
from check import fails
from scipy import stats

from thyroid_keras import compare, metrics
from thyroid_keras.comparison import compare as compare_runs
from thyroid_keras.runs import read_csv, read_json, write_csv, write_json

NAMES = ("benign", "malignant")


def scores_of(gain, labels, seed=0):
    """Probabilities of a made-up classifier."""
    rng = np.random.default_rng(seed)
    logits = gain * np.eye(labels.max() + 1)[labels]
    logits += rng.normal(size=logits.shape)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def write_run(folder, probabilities, labels, groups, *, names=NAMES, dice=None, **recipe):
    """Writes the files that `compare` reads, as `evaluate` leaves them."""
    predicted = metrics.decide(probabilities)
    rows = []
    for i, label in enumerate(labels):
        row = {"image": f"{i}.png", "group": f"p{groups[i]}", "label": names[label]}
        row |= {"predicted": names[predicted[i]], "split": "test", "fold": None}
        row |= {f"p_{n}": p for n, p in zip(names, probabilities[i], strict=True)}
        if dice is not None:
            row |= {"dice": dice[i], "mask_px": 50, "true_mask_px": 50 * np.isfinite(dice[i])}
        rows.append(row)
    # runs need not list their images in the same order
    order = np.random.default_rng(len(folder.name) + ord(folder.name[0])).permutation(len(rows))
    write_csv(folder / "predictions.csv", [rows[i] for i in order])
    split = [row | {"sha256": f"{i:064d}"} for i, row in enumerate(rows)]
    columns = ("image", "group", "label", "split", "sha256")
    write_csv(folder / "split.csv", [{c: row[c] for c in columns} for row in split])
    found = metrics.classification_metrics(labels, probabilities, groups, class_names=names)
    if dice is not None:
        found["dice"] = {"value": float(np.nanmean(dice))}
    write_json(folder / "metrics.json", found | {"split": "test"})
    data = {"name": "made up", "class_names": names, "group_unit": "patient"}
    config = {"arch": "cs_agnet", "data": data, "seed": 0, "recipe": recipe}
    write_json(folder / "config.json", config)
    return folder


@pytest.fixture
def pair(tmp_path):
    """Two runs on 120 images of 40 patients, the first better, with Dice."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), 3)
    labels = (groups % 2).astype(int)
    dice = np.where(labels, rng.integers([[25], [15]], [[50], [40]], (2, 120)) / 50, np.nan)
    return [
        write_run(
            tmp_path / name,
            scores_of(gain, labels, seed=i),
            labels,
            groups,
            dice=dice[i],
            filters=i,
        )
        for i, (name, gain) in enumerate((("a", 3.0), ("b", 1.0)))
    ]


def columns(folder):
    rows = sorted(read_csv(folder / "predictions.csv"), key=lambda row: row["image"])
    truth = np.array([row["label"] == "malignant" for row in rows])
    scores = np.array([float(row["p_malignant"]) for row in rows])
    called = np.array([row["predicted"] == "malignant" for row in rows])
    return truth, scores, called, [row["group"] for row in rows]


def test_differences_are_those_of_scikit_learns_figures(pair):
    found = compare_runs(*pair, say=str)
    (truth, scores_a, called_a, _), (_, scores_b, called_b, _) = map(columns, pair)
    judged = {
        "roc_auc": (sklearn.metrics.roc_auc_score, scores_a, scores_b),
        "accuracy": (sklearn.metrics.accuracy_score, called_a, called_b),
        "sensitivity": (sklearn.metrics.recall_score, called_a, called_b),
        "f1": (sklearn.metrics.f1_score, called_a, called_b),
        "specificity": (lambda t, c: sklearn.metrics.recall_score(~t, ~c), called_a, called_b),
    }
    for name, (judge, of_a, of_b) in judged.items():
        figure = found["differences"][name]
        assert figure["value"] == pytest.approx(judge(truth, of_a) - judge(truth, of_b)), name
        assert figure["ci95"][0] < figure["value"] < figure["ci95"][1]
        assert figure["groups"] == 40
    right_a, right_b = called_a == truth, called_b == truth
    test = found["mcnemar"]
    assert (test["only_a"], test["only_b"]) == (sum(right_a & ~right_b), sum(~right_a & right_b))
    tosses = test["only_a"] + test["only_b"]
    assert test["p_value"] == pytest.approx(stats.binomtest(test["only_a"], tosses).pvalue)
    assert found["delong"]["value"] == pytest.approx(found["differences"]["roc_auc"]["value"])
    assert found["settings"] == ["filters: 0 against 1"]
    assert "the first run tells the classes better" in found["conclusion"]


def test_dice_is_compared_where_both_have_it(pair):
    a, b = (
        {row["image"]: float(row["dice"]) for row in read_csv(p / "predictions.csv") if row["dice"]}
        for p in pair
    )
    figure = compare_runs(*pair, say=str)["differences"]["dice"]
    assert figure["n"] == len(a) == 60
    assert figure["value"] == pytest.approx(np.mean([a[image] - b[image] for image in a]))
    rows = read_csv(pair[1] / "predictions.csv")
    bare = [{k: v for k, v in row.items() if not k.endswith("px") and k != "dice"} for row in rows]
    write_csv(pair[1] / "predictions.csv", bare)
    assert "once more" in compare_runs(*pair, say=str)["differences"]["dice"]["reason"]


def test_a_run_is_no_better_than_itself_and_the_order_is_the_sign(pair):
    same = compare_runs(pair[0], pair[0], say=str)
    assert same["differences"]["roc_auc"]["ci95"] == [0.0, 0.0]
    assert same["mcnemar"]["p_value"] == 1.0 and same["settings"] == []
    assert "neither run" in same["conclusion"]
    one, other = compare_runs(*pair, say=str), compare_runs(*pair[::-1], say=str)
    for name, figure in one["differences"].items():
        assert figure["value"] == pytest.approx(-other["differences"][name]["value"])
    assert "the second run tells the classes better" in other["conclusion"]


def test_patients_decide_where_images_would_be_too_sure(tmp_path):
    # ten equal images of each patient: they count ten times what they say
    patients = np.arange(24)
    labels = patients % 2
    runs = []
    for name, gain, seed in (("a", 1.6, 0), ("b", 1.0, 1)):
        answers = np.repeat(scores_of(gain, labels, seed=seed), 10, axis=0)
        runs.append(
            write_run(tmp_path / name, answers, np.repeat(labels, 10), np.repeat(patients, 10))
        )
    found = compare_runs(*runs, say=str)
    low, high = found["differences"]["roc_auc"]["ci95"]
    assert low < 0 < high and found["delong"]["p_value"] < 0.01
    assert "neither run is reliably better" in found["conclusion"]
    assert "this interval decides" in found["conclusion"]


def test_more_than_two_classes_have_no_delong(tmp_path):
    names, groups = ("a", "b", "c"), np.arange(60)
    labels = groups % 3
    runs = [
        write_run(
            tmp_path / f"{seed}", scores_of(2.0, labels, seed=seed), labels, groups, names=names
        )
        for seed in (0, 1)
    ]
    found = compare_runs(*runs, say=str, out=tmp_path / "out")
    assert found["delong"]["value"] is None and "macro AUC" in found["delong"]["reason"]
    macro = []
    for run in runs:
        rows = sorted(read_csv(run / "predictions.csv"), key=lambda row: row["image"])
        scores = np.array([[float(row[f"p_{n}"]) for n in names] for row in rows])
        truth = np.array([row["label"] for row in rows])
        macro.append(
            np.mean(
                [
                    sklearn.metrics.roc_auc_score(truth == n, scores[:, k])
                    for k, n in enumerate(names)
                ]
            )
        )
    assert found["differences"]["roc_auc"]["value"] == pytest.approx(macro[0] - macro[1])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["comparison.json"]


def change(folder, name, **cells):
    """Changes cells of the first row of a table."""
    rows = read_csv(folder / name)
    write_csv(folder / name, [rows[0] | cells, *rows[1:]])
    return rows[0]["image"]


def test_other_images_are_refused_all_at_once(pair, capsys):
    moved = change(pair[1], "predictions.csv", image="new.png")
    rows = read_csv(pair[1] / "predictions.csv")
    rows[1] |= {"label": "malignant" if rows[1]["label"] == "benign" else "benign"}
    rows[2] |= {"group": "p99"}
    write_csv(pair[1] / "predictions.csv", rows)
    redrawn = change(pair[1], "split.csv", sha256="f" * 64)
    said = fails(compare.main, pair, capsys)
    for words in (
        f"1 image only in {pair[0]}: {moved!r}",
        f"1 image only in {pair[1]}: 'new.png'",
        f"1 image with another label in {pair[1]}: {rows[1]['image']!r}",
        f"1 image with another group in {pair[1]}: {rows[2]['image']!r}",
        f"1 image with another picture in {pair[1]}: {redrawn!r}",
    ):
        assert words in said, said
    assert "same --data" in said


def test_other_classes_are_refused(pair, capsys):
    config = read_json(pair[1] / "config.json")
    write_json(
        pair[1] / "config.json", config | {"data": config["data"] | {"class_names": NAMES[::-1]}}
    )
    assert "other classes" in fails(compare.main, pair, capsys)


def test_unfinished_and_stale_runs_are_refused(pair, tmp_path, capsys):
    assert "no such folder" in fails(compare.main, [pair[0], tmp_path / "none"], capsys)
    rows = read_csv(pair[0] / "predictions.csv")
    write_csv(pair[0] / "predictions.csv", rows[1:])
    assert "different images" in fails(compare.main, pair, capsys)
    (pair[1] / "metrics.json").unlink()
    assert "metrics.json missing" in fails(compare.main, pair[::-1], capsys)


def test_runs_without_hashes_can_be_compared(pair):
    (pair[0] / "split.csv").unlink()
    assert compare_runs(*pair, say=str)["n"] == 120


def test_the_command_prints_and_writes(pair, tmp_path, capsys):
    out = tmp_path / "out"
    compare.main([*map(str, pair), "--json", str(tmp_path / "r.json"), "--out", str(out)])
    said = capsys.readouterr().out
    for words in ("120 images of 40 patients", "DeLong", "McNemar", "filters: 0 against 1", "Dice"):
        assert words in said, said
    written = json.loads((tmp_path / "r.json").read_text())
    assert written == json.loads((out / "comparison.json").read_text())
    assert written["conclusion"] in said
    assert (out / "roc.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        compare.main(["--help"])
    assert "Research use only" in capsys.readouterr().out


def test_a_run_whose_network_names_no_class_is_refused(pair, capsys):
    write_csv(pair[1] / "predictions.csv", [{"image": "0.png", "group": "p0", "split": "test"}])
    with pytest.raises(SystemExit) as left:
        compare.main([str(folder) for folder in pair])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert str(pair[1]) in said and "names no class" in said and "choose a run" in said
