"""Table 2 of CS-AGnet: regimes, tests against the reference, and its pictures."""

import dataclasses

import numpy as np
import pytest
from tables import blobs, write_folder
from test_tables import OPTIONS

from thyroid_keras import metrics
from thyroid_keras import table as command
from thyroid_keras.recipes import GRAD_CAM, TABLES
from thyroid_keras.report.results import Answers
from thyroid_keras.runs import read_csv
from thyroid_keras.tables.cells import choose_recipes
from thyroid_keras.tables.figures import _caption
from thyroid_keras.tables.paired import paired_table, paired_tests
from thyroid_keras.tables.results import Result
from thyroid_keras.tables.runner import _target

TABLE = TABLES["cs_agnet_2"]
ROWS = {row.name: row for row in TABLE.rows}
PIXEL_LABELS = {"cs_agnet": 30, "vgg_unet": 100, "alexnet_seg": 100}
MASKLESS = ("ag_sononet", "vgg16", "resnet50")
TINY = [
    "phantom_patients=30", "batch_size=8", "stage_filters=2,3,4,5,6", "segmentation_epochs=1",
    "epochs=1", "warm_start_epochs=1", "scale_epochs=1", "units=4",
]  # fmt: skip


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_every_method_has_the_papers_pixel_labels_and_the_same_images(scale):
    options = dataclasses.replace(OPTIONS, scale=scale)
    chosen = choose_recipes(TABLE, TABLE.rows, options)
    recipes = {row.name: recipe for row, (recipe, _) in zip(TABLE.rows, chosen, strict=True)}
    for name, recipe in recipes.items():
        assert getattr(recipe, "pixel_label_percent", None) == PIXEL_LABELS.get(name)
        if name in MASKLESS:
            assert (recipe.flip_horizontal, recipe.flip_vertical) == (0.5, 0.5)
            assert not (recipe.rotation_deg or recipe.shift) and recipe.zoom == (1, 1)
    assert len({(r.phantom_patients, r.phantom_views) for r in recipes.values()}) == 1
    assert TABLE.target == "calcification"
    assert recipes["ag_sononet"].aggregation == "ft" and recipes["ag_sononet"].filters == 8
    assert {recipes[name].head for name in ("vgg16", "resnet50")} == {"cam"}
    if scale == "paper":
        assert {recipe.size for recipe in recipes.values()} == {(192, 192)}


def test_the_paper_prints_only_what_its_prose_says():
    assert {(r.name, k): v for r in TABLE.rows for k, v in r.reported.items()} == {
        ("cs_agnet", "accuracy"): 0.921
    }
    named = {(claim.row, claim.other) for claim in TABLE.claims}
    assert {("cs_agnet", other) for other in ROWS if other != "cs_agnet"} <= named
    notes = " ".join(TABLE.notes)
    assert "no reproductions" in notes and "not at hand" in notes


def test_the_labels_are_asked_for_where_the_data_has_several(tmp_path):
    assert _target(TABLE, None, None) == "calcification"
    one = write_folder(blobs(4), tmp_path / "one")
    assert _target(TABLE, str(one), None) is None
    (tmp_path / "1.xml").touch()  # as in DDTI
    assert _target(TABLE, str(tmp_path), None) == "calcification"
    assert _target(TABLES["cs_agnet_1"], str(tmp_path), None) is None


def answered(name, scores, labels):
    answers = Answers(
        images=np.arange(len(labels)).astype(str),
        groups=np.arange(len(labels)).astype(str),
        labels=labels,
        predicted=(scores > 0.5).astype(int),
        probabilities=np.stack([1 - scores, scores], axis=1),
        class_names=("no calcification", "calcification"),
    )
    return Result(
        row=ROWS[name],
        recipe=None,
        folder=None,
        config={"data": {"group_unit": "patient"}},
        found={"n": len(labels)},
        answers=answers,
    )


def test_each_row_is_tested_against_the_reference_and_p_corrected_for_their_number():
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    good = np.clip(0.5 + 0.4 * (labels - 0.5) + 0.15 * rng.standard_normal(60), 0, 1)
    bad, fair = rng.random(60), 0.7 * good + 0.3 * rng.random(60)
    results = [answered(n, s, labels) for n, s in (("cs_agnet", good), ("otsu", bad))]
    results.append(answered("vgg16", fair, labels))
    found = {row["row"]: row for row in paired_tests(TABLE, results)}
    assert list(found) == ["otsu", "vgg16"]
    plain = metrics.delong(labels == 1, good, bad)
    assert found["otsu"]["delong"] == plain and plain["value"] > 0.2
    known = found["vgg16"]["delong"]["p_value"]
    assert 0 < 2 * plain["p_value"] < known
    assert found["otsu"]["delong_p_holm"] == 2 * plain["p_value"]  # the least of two
    assert found["vgg16"]["delong_p_holm"] == known
    right = [(s > 0.5) == (labels == 1) for s in (good, bad)]
    assert found["otsu"]["mcnemar"]["only_a"] == (right[0] & ~right[1]).sum()
    header, rows, said = paired_table(TABLE, results)
    assert len(rows) == 2 and {len(row) for row in rows} == {len(header)}
    assert rows[0][0] == "Otsu-style" and "Holm" in said and "patient" in said
    assert paired_table(TABLE, results[1:]) is None, "no reference"
    assert paired_table(dataclasses.replace(TABLE, tested=False), results) is None


def test_the_caption_says_which_map_is_which():
    (comparison,) = TABLE.comparisons
    labels = np.arange(4) % 2
    results = [answered(name, labels * 1.0, labels) for name in comparison.rows]
    columns = {r.row.label: (r, comparison.gate_of(r.row.name)) for r in results}
    said = _caption(comparison, columns, results[0])
    for part in ("CS-AGnet (30 %): mask_gate3", "VGG_U-net (100 %): Grad-CAM",
                 "AG-SonoNet-FT-8 (0 %): gate3", "VGG-16 with CAM (0 %): class map"):  # fmt: skip
        assert part in said
    assert comparison.gate_of("vgg_unet") == GRAD_CAM
    (one,) = TABLES["cs_agnet_1"].comparisons
    assert "Grad-CAM" not in _caption(one, {"30 %": (results[0], one.gate)}, results[0])


@pytest.mark.slow
def test_the_whole_table_is_made_and_made_again_alike(tmp_path, monkeypatch):
    small = {"alexnet_seg": "image_size=32", "cs_agnet": "image_size=32", "vgg_unet":
             "image_size=32", "classical": "image_size=32", "ag_sononet": "image_size=32,32",
             "vgg16": "image_size=32", "resnet50": "image_size=32"}  # fmt: skip
    rows = tuple(dataclasses.replace(r, quick=(*r.quick, small[r.arch])) for r in TABLE.rows)
    monkeypatch.setitem(TABLES, "cs_agnet_2", dataclasses.replace(TABLE, rows=rows))
    folder = tmp_path / "t"
    for _ in range(2):
        command.main(["cs_agnet_2", "--out", str(folder), "--jobs", "2", "--set", *TINY])
    rows = read_csv(folder / "table.csv")
    assert {r["row"] for r in rows} == set(ROWS)
    done = {(r["row"], r["figure"]) for r in rows if r["value"]}
    assert {(name, "roc_auc") for name in ROWS} <= done
    assert {r["n"] for r in rows if r["figure"] == "accuracy"} == {"12"}
    text = (folder / "table.md").read_text()
    assert "Tests of the difference" in text and "figure_10.png" in text
    assert {p.stem for p in (folder / "plots").iterdir()} == {"roc", "figure_10"}
