"""The shortcut audit: what can be read off the pictures without looking at the nodule."""

import dataclasses
import json

import numpy as np
import pytest
from check import fails
from PIL import Image

from thyroid_keras import check_data
from thyroid_keras.data.audit import audit
from thyroid_keras.data.borders import remove_classical
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.splits import make_splits
from thyroid_keras.metrics import bootstrap, roc_auc
from thyroid_keras.preparation import read_table
from thyroid_keras.recipes import RECIPES
from thyroid_keras.report.figures import summary, tiles
from thyroid_keras.report.shortcuts import against_shortcuts, shortcuts
from thyroid_keras.shortcuts import MEANINGS, audit_shortcuts, read_features
from thyroid_keras.training import override


def figures(found):
    return {entry["name"]: entry["roc_auc"] for entry in found["features"]}


def table_of(images, labels, groups, *, masks=None, classes=("benign", "malignant")):
    samples = tuple(
        Sample(
            name=f"s{i}",
            image=image,
            label=int(label),
            group=str(group),
            mask=None if masks is None else masks[i],
        )
        for i, (image, label, group) in enumerate(zip(images, labels, groups, strict=True))
    )
    return SampleTable(name="t", samples=samples, class_names=classes)


def speckle(rng, size=48):
    return rng.integers(30, 120, (size, size), dtype=np.uint8)


@pytest.fixture(scope="module")
def leaking():
    """Simulated pictures with the answer burned into their border."""
    return phantom(
        100, views=1, image_size=144, target="malignancy", border=True, text=True, text_leak=1.0,
        seed=3, progress=False,
    )  # fmt: skip


def test_words_that_give_the_class_away_are_found_and_their_removal_too(leaking):
    before = audit_shortcuts(leaking, progress=False)
    assert figures(before)["outside the sector"]["value"] >= 0.95
    assert before["largest"]["name"] == "outside the sector"
    assert before["largest"]["roc_auc"]["ci95"][0] > 0.9
    after = audit_shortcuts(dataclasses.replace(leaking, clean=remove_classical), progress=False)
    low, high = after["largest"]["roc_auc"]["ci95"]
    assert low <= 0.5 <= high
    own = figures(after)[after["largest"]["name"]]["ci95"]
    assert low < own[0] < own[1] < high, "the largest of several has the wider interval"
    for name in ("outside the sector", "border strip", "text"):
        low, high = figures(after)[name]["ci95"]
        assert low <= 0.5 <= high, name


def test_what_only_the_group_tells_is_no_shortcut():
    """Pictures of a group are alike; its label is a coin's toss."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    labels = np.repeat(rng.permutation(40) % 2, 3)
    own = [speckle(rng) for _ in range(40)]
    found = audit_shortcuts(table_of([own[g] for g in groups], labels, groups), progress=False)
    assert max(f["value"] for f in figures(found).values() if f["value"]) < 0.75
    low, high = found["largest"]["roc_auc"]["ci95"]
    assert low <= 0.5 <= high


def test_pictures_that_say_nothing_have_an_auc_of_one_half():
    """Folds differ in their shares of a class, which must not look like knowledge."""
    rng = np.random.default_rng(1)
    labels = np.array([0] * 13 + [1] * 24)
    same = speckle(rng)
    found = audit_shortcuts(table_of([same] * 37, labels, range(37)), progress=False)
    assert {f["value"] for n, f in figures(found).items() if n != "outside the nodule"} == {0.5}


@pytest.mark.parametrize("stored_again", [False, True])
def test_copies_in_several_groups_are_on_one_side(stored_again):
    """Labels are a coin's toss; the audit of files and the run know the copies."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.permutation(40) % 2, 4)
    table = table_of(np.repeat([speckle(rng) for _ in range(40)], 4, axis=0), labels, range(160))
    names = [s.name for s in table.samples]
    hashes = {name: str(i if stored_again else i // 4) for i, name in enumerate(names)}
    copies = [(names[i - i % 4], name) for i, name in enumerate(names)] if stored_again else []
    splits = make_splits(table, hashes=hashes, copies=copies)
    found = audit_shortcuts(splits.joined().whole(), progress=False)
    assert (found["n"], found["groups"]) == (160, 40)
    low, high = figures(found)["border strip"]["ci95"]
    assert low <= 0.5 <= high
    assert len(set(audit(table, progress=False).joined_table().groups)) == 40


def nodules(bright_outside):
    """Nodules of random place and size, brighter in one class, or the tissue around them."""
    rng = np.random.default_rng(2)
    images, masks, labels = [], [], np.arange(80) % 2
    for label in labels:
        image, mask = speckle(rng), np.zeros((48, 48), np.uint8)
        side = rng.integers(6, 12)
        left, top = rng.integers(4, 44 - side, 2)
        inside = np.s_[top : top + side, left : left + side]
        mask[inside] = 255
        if label and bright_outside:
            image += 20
        elif label:
            image[inside] = 230
        images.append(image)
        masks.append(mask)
    return table_of(images, labels, range(80), masks=masks)


def test_the_nodule_is_blanked_and_the_rest_is_not():
    hidden = figures(audit_shortcuts(nodules(False), progress=False))["outside the nodule"]
    seen = figures(audit_shortcuts(nodules(True), progress=False))["outside the nodule"]
    assert hidden["ci95"][0] <= 0.55 and hidden["value"] < 0.7
    assert seen["value"] > 0.95


def test_a_mask_in_one_class_alone_is_not_blanked():
    """It would tell the class by being there."""
    table = nodules(False)
    samples = tuple(s if s.label else dataclasses.replace(s, mask=None) for s in table.samples)
    figure = figures(audit_shortcuts(dataclasses.replace(table, samples=samples), progress=False))
    assert figure["outside the nodule"]["value"] is None
    assert "nodule is marked" in figure["outside the nodule"]["reason"]


def test_few_groups_tell_nothing_and_few_are_drawn_where_there_are_many():
    rng = np.random.default_rng(3)
    labels = np.arange(36) % 2
    few = table_of([speckle(rng)] * 36, labels, labels * 9 + np.arange(36) // 4 % 9)
    assert "9 groups" in audit_shortcuts(few, progress=False)["reason"]
    images = [speckle(rng, 24) for _ in range(100)]
    many = table_of(images, np.repeat(np.arange(50) % 2, 2), np.repeat(range(50), 2))
    found = audit_shortcuts(many, limit=61, progress=False)
    assert (found["n"], found["groups"]) == (60, 30)
    again = audit_shortcuts(many, limit=61, progress=False)
    assert json.dumps(again) == json.dumps(found)


def test_more_than_two_classes():
    rng = np.random.default_rng(4)
    labels = np.arange(60) % 3
    images = [speckle(rng, 40 + 8 * label) for label in labels]
    table = table_of(images, labels, range(60), classes=("a", "b", "c"))
    assert figures(audit_shortcuts(table, progress=False))["size"]["value"] > 0.8


def test_features_are_read_as_the_run_reads_them(leaking):
    few = leaking.select(range(6))
    black = dataclasses.replace(few, clean=np.zeros_like)
    for values in read_features(black, progress=False).values():
        assert np.ptp(values, axis=0).max() == 0
    features = read_features(few, progress=False)
    assert set(features) == set(MEANINGS) and {len(v) for v in features.values()} == {6}
    broken = dataclasses.replace(few.samples[0], image=b"", name="broken")
    with pytest.raises(DataError, match="broken"):
        read_features(dataclasses.replace(few, samples=(broken,)), progress=False)


def test_the_interval_allows_for_the_choice():
    rng = np.random.default_rng(5)
    truth, scores = rng.random(80) > 0.5, rng.random(80)

    def auc(weights):
        return {"auc": roc_auc(truth, scores, weights)}

    one, six = (bootstrap(auc, range(80), level=v)["auc"]["ci95"] for v in (0.95, 1 - 0.05 / 6))
    assert six[0] < one[0] < one[1] < six[1]


@pytest.mark.parametrize(
    ("own", "least", "begins"),
    [
        (0.85, 0.8, "A shortcut does"),
        (0.95, 0.8, "A shortcut may do"),
        (0.95, 0.91, "No shortcut does"),
    ],
)
def test_a_report_holds_the_shortcut_against_the_model(own, least, begins):
    largest = {"name": "text", "roc_auc": {"value": 0.8, "ci95": [0.7, 0.9], "note": "of 6"}}
    unknown = {"value": None, "reason": "why"}
    features = [
        {"name": "text", "what": "burned-in text", "roc_auc": largest["roc_auc"]},
        {"name": "size", "what": "width", "roc_auc": unknown},
    ]
    found = {"n": 40, "groups": 20, "group_unit": "patient", "features": features}
    metrics = {"roc_auc": {"value": own, "ci95": [least, 0.99]}}
    metrics["shortcuts"] = found | {"largest": largest}
    sentence, page = against_shortcuts(metrics), shortcuts(metrics)
    assert sentence.startswith(begins) and "0.80 (0.70–0.90)" in sentence
    assert begins in page and "burned-in text" in page and "why" in page
    assert ('class="warn"' in page) == (least < 0.9)
    assert against_shortcuts({}) == shortcuts({}) == ""


def test_few_groups_and_chance_tell_nothing_of_a_shortcut():
    def said(own, shortcut):
        largest = {"name": "size", "roc_auc": shortcut}
        found = {"n": 40, "groups": 20, "group_unit": "patient", "features": [], "largest": largest}
        metrics = {"roc_auc": own, "n": 4, "group_unit": "patient", "shortcuts": found}
        data = {"group_unit": "patient"}
        return against_shortcuts(metrics), summary({"data": data}, metrics, []), tiles(metrics)

    constant = {"value": 0.5, "ci95": [0.5, 0.5], "draws": 9, "groups": 40}
    better = {"value": 0.6, "ci95": [0.5, 0.7], "draws": 9, "groups": 40}
    perfect = {"value": 1.0, "ci95": [1.0, 1.0], "draws": 9, "groups": 4}
    sentence, lead, tile = said(perfect, better)
    assert sentence.startswith("It cannot be told") and "4 patients are too few" in sentence
    assert "rough: 4 patients" in lead and "rough: 4 patients" in tile
    sentence, lead, tile = said(perfect | {"groups": 40}, better)
    assert sentence.startswith("No shortcut does as well as the model")
    assert "rough: every resampled set" in lead and "rough: every resampled set" in tile
    known = {"value": 0.48, "ci95": [0.4, 0.6], "draws": 9, "groups": 40}
    sentence, lead, tile = said(known, constant)
    assert sentence.startswith("No shortcut is better than chance") and "rough" not in lead + tile


def test_check_data_prints_and_writes_it(tmp_path, capsys, leaking):
    for sample in leaking.samples:
        folder = tmp_path / "data" / leaking.class_names[sample.label]
        folder.mkdir(parents=True, exist_ok=True)
        name = sample.name.replace("/", "_")
        Image.fromarray(sample.image).save(folder / f"{name}.png")
    out = tmp_path / "found.json"
    check_data.main([str(tmp_path / "data"), "--shortcuts", "--json", str(out)])
    said = capsys.readouterr().out
    assert "outside the sector" in said and "largest: outside the sector, 1.000" in said
    assert json.loads(out.read_text())["shortcuts"]["n"] == 100
    options = ["--shortcuts", "--borders", "classical", "--json", str(out)]
    check_data.main([str(tmp_path / "data"), *options])
    found = figures(json.loads(out.read_text())["shortcuts"])
    assert found["outside the sector"]["value"] < 0.7
    wrong = [tmp_path / "data", "--shortcuts", "--borders", "nowhere"]
    assert "nowhere: no such file" in fails(check_data.main, wrong, capsys)


def test_the_phantom_of_a_run_may_give_the_class_away():
    source = {"path": None, "format": None, "target": "malignancy", "seed": 0}
    small = ["phantom_patients=2", "phantom_views=1", "phantom_text_leak=1"]
    recipe = override(RECIPES["fan"]["quick"], small)
    table = read_table(source, recipe)
    assert "give the label away" in " ".join(table.notes)
    assert all(sample.image[-40:, :40].max() > 200 for sample in table.samples)
    with pytest.raises(DataError, match="no words can be burned"):
        read_table(source | {"target": "plane"}, recipe)
