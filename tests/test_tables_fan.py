"""The tables of FAN: the paper's figures, what is trained for them, and the files."""

import dataclasses

import nbformat
import numpy as np
import pytest
from test_baselines import COUNTS
from test_notebooks import NOTEBOOKS, code_cells, execute, pictures
from test_tables_sononet import OPTIONS, answers, kinds, result

from thyroid_keras import table as command
from thyroid_keras.recipes import TABLES
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.tables import runner
from thyroid_keras.tables.cells import choose_recipes, plan
from thyroid_keras.tables.contents import contents
from thyroid_keras.tables.maps import FIGURES, maps_table

NAMES = ("fan_2", "fan_3")
ROWS = ("fan_14_1", "fan_14_2", "densenet40")
SMALL = [
    "phantom_patients=20", "batch_size=8", "epochs=1", "warm_up_epochs=0",
]  # fmt: skip


def by_name(table):
    return {row.name: row for row in TABLES[table].rows}


def test_the_papers_rows_judge_the_same_images_but_for_those_of_the_notes():
    shares = {}
    for row in (*TABLES["fan_2"].rows, *TABLES["fan_3"].rows):
        if "f1" in row.reported:
            accuracy, specificity, recall, precision, f1 = (
                row.reported[n]
                for n in ("accuracy", "specificity", "sensitivity", "precision", "f1")
            )
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=2e-3)
            shares[row.name] = (accuracy - specificity) / (recall - specificity)
    odd = {"fan_7_1": 0.671, "resnet34": 0.836, "vgg19": 0.646, "fan_56_1_none": 0.479}
    for name, share in shares.items():
        assert share == pytest.approx(odd.get(name, 0.624), abs=2.5e-3), name
    notes = " ".join((*TABLES["fan_2"].notes, *TABLES["fan_3"].notes))
    assert all(f"{share:.3f}".removeprefix("0") in notes for share in odd.values())


def test_the_papers_parameters_are_those_of_our_networks():
    counts = COUNTS | {"fan": 765_962}  # test_fan.py counts every eta and kappa
    for row in TABLES["fan_2"].rows:
        assert round(counts[row.arch], -4) == row.reported["parameters"], row.label


def test_tables_of_one_folder_mean_the_same_rows(tmp_path):
    for scale in ("quick", "paper"):
        options = dataclasses.replace(OPTIONS, scale=scale)
        commands = {}
        for name in NAMES:
            assert TABLES[name].shared == "fan"
            for cell in plan(TABLES[name], TABLES[name].rows, options, tmp_path):
                assert commands.setdefault(cell.folder, cell.command) == cell.command


def test_every_row_learns_from_as_many_images_as_often_at_the_quick_scale():
    for name in NAMES:
        table = TABLES[name]
        recipes = [recipe for recipe, _ in choose_recipes(table, table.rows, OPTIONS)]
        assert len({(r.epochs, r.phantom_patients, r.batch_size, r.schedule) for r in recipes}) == 1


def test_every_row_halves_the_image_as_often_as_the_papers_at_either_scale():
    table = TABLES["fan_2"]
    rows = [row for row in table.rows if row.arch == "fan"]
    for scale in ("quick", "paper"):
        options = dataclasses.replace(OPTIONS, scale=scale)
        for row, (recipe, _) in zip(rows, choose_recipes(table, rows, options), strict=True):
            _, eta, kappa = row.name.split("_")
            assert recipe.image_size * int(eta) == 224 * recipe.eta, row.name
            assert recipe.kappa == int(kappa) and recipe.feedback == "recurrent"


def test_what_the_quick_scale_leaves_out_is_a_dash_beside_the_papers_figure():
    table = TABLES["fan_2"]
    quick = [row.name for row in runner._choose("fan_2", None, "quick")[1]]
    assert {row.name for row in table.rows} - set(quick) == {"fan_112_1", "fan_112_7", "vgg19"}
    labels = np.arange(40) % 2
    rows = by_name("fan_2")
    said = {"fan_7_1": labels, "fan_56_2": np.roll(labels, 1), "resnet18": labels}
    results = [result(rows[n], answers(labels, p, 2)) for n, p in said.items()]
    found = contents(table, results, 0)
    assert [line[0] for line in found.rows] == [row.label for row in table.rows]
    told = [dataclasses.replace(r, reported={}) for r in table.rows]
    rest = contents(dataclasses.replace(table, rows=tuple(told)), results, 0)
    assert [line[0] for line in rest.rows] == [r.label for r in table.rows if r.name in said]
    lines = {line[0]: line for line in found.rows}
    assert lines["VGG-19"][1:3] == ["0.897", "–"] and lines["VGG-19"][-1] == "–"
    assert lines["FAN, η 112, κ 7"][1:5] == ["0.894", "–", "–", "–"]
    assert found.header[1:4] == ["accuracy: paper", "accuracy: ours (95 %)", "precision: paper"]
    assert "recall: paper" in found.header and "F1: paper" in found.header
    assert {row["row"] for row in found.csv} == set(said)


def test_the_papers_claims_are_judged_where_both_rows_are_there():
    table, rows = TABLES["fan_3"], by_name("fan_3")
    labels = np.arange(240) % 2
    worse = labels.copy()
    worse[::5] = 1 - worse[::5]
    said = {"fan_56_1": labels, "fan_56_1_none": worse, "fan_56_2": worse, "fan_56_2_none": worse}
    results = [result(rows[n], answers(labels, p, 2)) for n, p in said.items()]
    found = contents(table, results, 0)
    first, by_epoch, second, _ = found.claims
    assert first.startswith("Is FAN, η 56, κ 1 better than FAN, η 56, κ 1, no feedback? Yes")
    assert "accuracy +0.200" in first and "p < 0.001" in first
    assert "Not judged" in by_epoch and "Not decided" in second
    lines = {line[0]: line[-1] for line in found.rows}
    assert lines["FAN, η 56, κ 1"].startswith("0.200") and lines[rows["fan_56_1_none"].label] == "–"


def judged(row, hits, pointing):
    """A row whose maps hit the nodule or not, image by image."""
    labels = np.arange(len(hits)) % 2
    figure = {"value": pointing, "ci95": [pointing - 0.1, pointing + 0.1]}
    figures = dict.fromkeys(FIGURES, figure)
    maps = figures | {"centre": figures, "random": {"pointing": figure}, "n": len(hits)}
    maps |= {"over": "images", "truth": "drawn", "rule": {"tolerance_px": 7.5, "followed": 32}}
    of = answers(labels, labels, 2)
    of = dataclasses.replace(of, maps={"map_hit": np.array(hits, float)})
    return dataclasses.replace(result(row, of), found={"n": len(hits), "maps": maps})


def test_maps_are_compared_on_the_images_that_both_have_masks_of():
    rows = by_name("fan_2")
    one, several = [1, 1, np.nan, 0] * 30, [1, np.nan, 1, 1] * 30
    results = [judged(rows["fan_14_1"], one, 0.7), judged(rows["fan_14_2"], several, 0.8)]
    header, lines, said = maps_table(TABLES["fan_2"], results, 0)
    assert [line[0] for line in lines] == [
        "FAN, η 14, κ 1", "FAN, η 14, κ 2", "a Gaussian about the centre", "a random pixel"
    ]  # fmt: skip
    assert lines[1][1] == "0.80 (0.70 to 0.90)" and lines[0][-1] == "–"
    assert lines[1][-1].startswith("+0.50 (+0.3") and lines[1][-1].endswith(", FAN, η 14, κ 1")
    assert lines[2][header.index("deletion (95 %)")] == "–" and lines[3][2] == "–"
    assert said.startswith("120 images; drawn. A point hits within 7.5 px")
    assert (
        maps_table(TABLES["fan_2"], [result(rows["fan_14_1"], answers([0, 1], [0, 1], 2))], 0)
        is None
    )


def test_claims_rows_and_pictures_are_known():
    for name in NAMES:
        table, names = TABLES[name], set(by_name(name))
        assert {n for claim in table.claims for n in (claim.row, claim.other)} <= names
        assert {row.against for row in table.rows} <= names | {None}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The first table in its folder, of three trainings; it also lies where a notebook looks."""
    folder = tmp_path_factory.mktemp("fan") / "tables/fan-quick"
    command.main(["fan_2", "--out", str(folder), "--rows", *ROWS, "--jobs", "2", "--set", *SMALL])
    return folder


@pytest.mark.slow
def test_the_table_holds_the_runs_figures_and_maps(made):
    rows = {(r["row"], r["figure"]): r for r in read_csv(made / "fan_2/table.csv")}
    for name in ROWS:
        found = Run(made / "rows" / name).read_metrics()
        for figure in ("accuracy", "precision", "specificity", "sensitivity", "f1", "roc_auc"):
            value = rows[name, figure]["value"]
            assert value == ("" if found[figure]["value"] is None else str(found[figure]["value"]))
        assert float(rows[name, "accuracy"]["paper"]) == by_name("fan_2")[name].reported["accuracy"]
    for name in ("figure_3", "figure_4", "roc"):
        assert (made / f"fan_2/plots/{name}.png").stat().st_size > 10_000
    text = (made / "fan_2/table.md").read_text()
    assert "Warm: speaks for malignant" in text and "| VGG-19 | 0.897 | – |" in text


@pytest.mark.slow
def test_the_notebook_runs_over_the_tables(made):
    path = next(path for path in NOTEBOOKS if path.stem == "fan")
    settings = f"DATA, SCALE, ROWS = None, 'quick', {[*ROWS]!r}\n"
    settings += "ATTENDED = ['fan_56_1', 'fan_56_1_none']\n"
    settings += f"OPTIONS = {{'settings': {SMALL!r}, 'jobs': 2}}"
    done = execute(path, settings, made.parents[1])
    assert len(pictures(done)) == 3
    said = [o.data["text/markdown"] for c in code_cells(done) for o in c.outputs
            if "text/markdown" in o.get("data", {})]  # fmt: skip
    assert "| VGG-19 | 0.897 | – |" in said[0]
    committed = nbformat.read(path, as_version=4)
    for ours, theirs in zip(code_cells(done), code_cells(committed), strict=True):
        assert {kinds(o) for o in ours.outputs} == {kinds(o) for o in theirs.outputs}
