"""The tables of global attention: the paper's figures, what is trained for them, the cells."""

import dataclasses
import json

import nbformat
import numpy as np
import pytest
from test_notebooks import NOTEBOOKS, code_cells, execute, pictures
from test_tables_sononet import OPTIONS, answers, kinds, result

from thyroid_keras.data.phantom import PHANTOMS, phantom_site
from thyroid_keras.recipes import RECIPES, TABLES
from thyroid_keras.recipes.global_attention_tables import BACKBONES, REPORTED, TASKS
from thyroid_keras.runs import Run
from thyroid_keras.tables.cells import choose_recipes, plan
from thyroid_keras.tables.contents import contents
from thyroid_keras.tables.curves import curve_points, write_curves
from thyroid_keras.tables.pages import judged
from thyroid_keras.tables.results import check_comparable
from thyroid_keras.tables.tasks import by_task, read_measured

TABLE, CURVES = TABLES["global_attention_2"], TABLES["global_attention_fig7"]
QUICK = [row for row in TABLE.rows if not row.paper_only]


def test_the_papers_figures_are_whole_and_as_its_text_says():
    assert len(REPORTED) == 16 and all(len(row) == 4 for row in REPORTED.values())
    assert set(REPORTED) == {row.name for row in TABLE.rows if "(not in" not in row.label}
    for name in BACKBONES:  # "consistently outperformed"
        plain, attended = REPORTED[name], REPORTED[f"{name}_attention"]
        assert all(a[0] > b[0] for a, b in zip(attended, plain, strict=True))
    row = next(row for row in TABLE.rows if row.name == "vgg16_attention")
    assert row.reported["retinopathy"] == 0.6641 and row.reported["retinopathy_sd"] == 0.0136
    assert row.reported["jaffe"] == 0.8426 and row.against == "vgg16"


def test_rows_are_trained_for_the_labels_that_the_data_has(tmp_path):
    options = dataclasses.replace(OPTIONS, target="macular_edema")
    rows = by_task(TABLE, QUICK, options)
    assert [row.name for row in rows][:2] == ["lr_macular_edema", "svm_macular_edema"]
    assert rows[-1].against == "sononet_macular_edema" and len(rows) == len(QUICK)
    cells = plan(TABLE, rows, options, tmp_path)
    assert all(c.command[c.command.index("--target") + 1] == "macular_edema" for c in cells)
    assert by_task(TABLE, QUICK, OPTIONS) == QUICK
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text(
        "image,official_split,original,retinopathy_grade,macular_edema\n"
    )
    options = dataclasses.replace(OPTIONS, data=str(tmp_path))
    both = by_task(TABLE, QUICK, options)
    for cell in plan(TABLE, both, options, tmp_path):
        assert cell.command[cell.command.index("--target") + 1] == cell.row.target
    assert {row.target for row in both} == {"retinopathy", "macular_edema"}
    assert len({row.name for row in both}) == 2 * len(QUICK)


def test_every_network_learns_alike_at_the_quick_scale():
    recipes = [r for r, _ in choose_recipes(TABLE, QUICK, OPTIONS) if r.arch == "global_attention"]
    assert {r.mode for r in recipes} == {"none", "l1", "pixel_cnn"}
    assert len({(r.epochs, r.backbone, r.cv_folds, r.kept_epochs, r.repeats) for r in recipes}) == 1
    recipes += [r for r, _ in choose_recipes(CURVES, CURVES.rows, OPTIONS)]
    own = RECIPES["global_attention"]["quick"].learning_rate
    assert {r.learning_rate for r in recipes} == {own}


def test_the_papers_scale_is_the_papers():
    options = dataclasses.replace(OPTIONS, scale="paper")
    rows = {row.name: row for row in TABLE.rows}
    names = ["densenet161", "densenet161_l1", "densenet161_attention"]
    recipes = dict(
        zip(names, choose_recipes(TABLE, [rows[n] for n in names], options), strict=True)
    )
    for recipe, _ in recipes.values():
        assert (recipe.epochs, recipe.cutoff_epochs, recipe.cv_folds) == (250, 60, 5)
        assert (recipe.kept_epochs, recipe.backbone, recipe.image_size) == (30, "densenet161", 224)
    grid = recipes["densenet161_attention"][0].grid
    assert grid[:2] == ("pixel_channels=32|64|128|256", "penalty=0.1|0.01|0.001|0.0001")
    assert recipes["densenet161"][0].grid == ("l2=1e-3|1e-4|1e-5",)


def measured(tmp_path, row, right, epochs=(), trainings=2):
    """A row in a folder whose file says what its trainings are right about."""
    labels = np.arange(len(right)) % 3
    of = answers(labels, np.where(right, labels, (labels + 1) % 3), per_group=1)
    folder = tmp_path / row.name
    folder.mkdir(exist_ok=True)
    found = {f"repeat_{i}": np.asarray(right, int).tolist() for i in range(trainings)}
    found |= {"measured": list(epochs), "chosen": {"settings": ["penalty=0.1"]}}
    (folder / "protocol.json").write_text(json.dumps(found))
    config = {"data": {"group_unit": "image", "mask_source": None}, "recipe": {}}
    done = dataclasses.replace(result(row, of), folder=folder, config=config)
    return dataclasses.replace(done, found=done.found | {"groups": len(labels), "split": "test"})


@pytest.fixture
def results(tmp_path):
    rows = {row.name: row for row in by_task(TABLE, QUICK, _options("retinopathy"))}
    good, bad = np.arange(90) % 10 != 0, np.arange(90) % 2 == 0
    return [
        measured(tmp_path, rows["sononet_retinopathy"], bad, (0.4, 0.5, 0.6)),
        measured(tmp_path, rows["sononet_attention_retinopathy"], good, (0.6, 0.8, 1.0)),
    ]


@pytest.mark.parametrize("table", [TABLE, CURVES], ids=lambda table: table.name)
def test_without_data_all_rows_see_the_same_aligned_images(table):
    chosen = choose_recipes(table, table.rows, OPTIONS)
    assert PHANTOMS[table.target] is phantom_site
    assert len({(one.phantom_patients, one.phantom_views) for one, _ in chosen}) == 1


def _options(target):
    return dataclasses.replace(OPTIONS, target=target)


def test_the_paper_and_ours_in_both_ways_stand_side_by_side(results):
    found = contents(TABLE, results, 0)
    assert len(found.rows) == len(TABLE.rows) and len(found.header) == 1 + 2 + 3 + 2 + 2
    lines = {line[0]: dict(zip(found.header, line, strict=True)) for line in found.rows}
    vgg = lines["VGG-16 with global attention"]
    assert vgg["Glaucoma: paper"] == "0.8422 ± 0.0126" and vgg["Glaucoma: ours"] == "–"
    assert vgg["IDRiD, retinopathy: paper"] == "0.6641 ± 0.0136"
    assert vgg["IDRiD, retinopathy: ours, measured likewise"] == "–"
    ours = lines["SonoNet-8 (not in the paper) with global attention"]
    assert ours["IDRiD, retinopathy: ours, measured likewise"] == "0.800 ± 0.200"
    repeated = ours["IDRiD, retinopathy: ours, repeated trainings (95 %)"]
    assert repeated.startswith("0.900 (0.8") and repeated.endswith("SD over 2: 0.000")
    rows = {row["row"]: row for row in found.csv}
    assert rows["sononet_attention"]["value"] == 0.9 and rows["sononet"]["epochs_mean"] == 0.5
    assert rows["sononet"]["settings"] == "penalty=0.1" and rows["sononet"]["n"] == 90
    said = " ".join(found.judged)
    assert "Always the commonest class, retinopathy: 0.333 of 90 test images" in said


def test_other_data_have_columns_of_their_own(tmp_path):
    row = next(row for row in QUICK if row.name == "sononet")
    found = contents(TABLE, [measured(tmp_path, row, np.ones(9, bool), (0.4, 0.6))], 0)
    assert found.header[-2:] == [
        "These data: ours, measured likewise", "These data: ours, repeated trainings (95 %)"
    ]  # fmt: skip
    line = next(line for line in found.rows if line[0] == row.label)
    assert len(line) == len(found.header) == 1 + 4 * 2 + 2 and line[-2] == "0.500 ± 0.141"
    assert found.csv[0]["task"] == "other" and found.csv[0]["paper"] is None


def test_claims_are_judged_by_pairs_and_the_papers_t_test_is_named(results):
    (claim,) = contents(TABLE, results, 0).claims
    assert claim.startswith("Is SonoNet-8 (not in the paper) with global attention, IDRiD, ret")
    assert "Yes, here it is: +0.400 (+0." in claim
    # Welch's t = (.8 - .5) / sqrt(.01 / 3 + .04 / 3) = 2.324 with 2.94 degrees of freedom
    assert claim.endswith("by the paper's t-test over epochs p = 0.104.")


def test_tasks_may_have_different_images_and_rows_of_one_may_not(results, tmp_path):
    edema = {row.name: row for row in by_task(TABLE, QUICK, _options("macular_edema"))}
    other = measured(tmp_path, edema["sononet_macular_edema"], np.ones(30, bool))
    check_comparable([*results, other])
    said = judged(TABLE, [*results, other], [])
    assert any("90 images" in line and "retinopathy row" in line for line in said)
    assert any("30 images" in line and "macular_edema row" in line for line in said)
    wrong = dataclasses.replace(other, row=results[0].row)
    with pytest.raises(ValueError, match="judged on other images"):
        check_comparable([*results, wrong])


def test_sensitivity_is_drawn_against_what_was_set(tmp_path):
    rows = {row.name: row for row in CURVES.rows}
    trained = []
    for name, k in (("k_256", 256), ("base", 128), ("k_32", 32)):
        one = measured(tmp_path, rows[name], np.arange(40) % 4 < k % 5, trainings=1)
        one.config["recipe"] = {"pixel_channels": k, "penalty": 1e-3, "cutoff_epochs": 6}
        trained.append(one)
    whole = {one.row.name: one for one in trained}
    points = curve_points(CURVES.curves[0], whole, 0)
    assert [value for value, _, _ in points] == [32, 128, 256]
    assert [f["value"] for _, f, _ in points] == [0.5, 0.75, 0.25]
    captions = write_curves(Run(tmp_path), CURVES, trained)
    assert set(captions) == {"sensitivity"}
    assert (tmp_path / "plots/sensitivity.png").stat().st_size > 5000
    assert write_curves(Run(tmp_path), TABLE, trained) == {}


def test_curves_name_rows_of_their_table_and_share_the_base():
    names = {row.name for row in CURVES.rows}
    for curve in CURVES.curves:
        assert set(curve.rows) <= names and curve.rows[0] == "base"
    assert {name for curve in CURVES.curves for name in curve.rows} == names
    for scale in ("quick", "paper"):
        options = dataclasses.replace(OPTIONS, scale=scale)
        recipes = choose_recipes(CURVES, CURVES.rows, options)
        by_name = {row.name: recipe for row, (recipe, _) in zip(CURVES.rows, recipes, strict=True)}
        for curve in CURVES.curves:
            for name in curve.rows[1:]:
                differ = {
                    field
                    for field, value in by_name[name].settings().items()
                    if value != by_name["base"].settings()[field]
                }
                assert differ == {curve.field}, (scale, name)
    assert [task.name for task in TASKS if task.target is None] == ["glaucoma"]


def test_a_run_without_the_protocol_is_its_one_training(tmp_path):
    row = CURVES.rows[0]
    labels = np.arange(6) % 3
    one = dataclasses.replace(result(row, answers(labels, labels)), folder=tmp_path)
    assert read_measured(one).right.tolist() == [[1.0] * 6] and not len(read_measured(one).epochs)


@pytest.mark.slow
def test_the_notebook_trains_and_shows_both_tables(tmp_path):
    path = next(path for path in NOTEBOOKS if path.stem == "global_attention")
    settings = "DATA, SCALE, CURVES = None, 'quick', ['base', 'k_32']\n"
    settings += "ROWS = ['lr', 'sononet', 'sononet_attention']\n"
    small = ["phantom_patients=16", "phantom_views=1", "image_size=32", "batch_size=8"]
    settings += f"OPTIONS = {{'settings': {[*small, 'epochs=12']!r}, 'jobs': 2}}"
    done = execute(path, settings, tmp_path)
    assert len(pictures(done)) == 3
    said = [o.data["text/markdown"] for c in code_cells(done) for o in c.outputs
            if "text/markdown" in o.get("data", {})]  # fmt: skip
    assert "| VGG-16 with global attention | 0.8422 ± 0.0126 | – |" in said[0]
    assert "paper's t-test over epochs" in said[0] and "| K 32 |" in said[2]
    rows = tmp_path / "tables/global_attention_2-quick/rows"
    found = json.loads((rows / "sononet_attention/protocol.json").read_text())
    assert len(found["measured"]) == 6 and "repeat_1" in found
    assert (rows / "lr/model.keras").is_file()
    committed = nbformat.read(path, as_version=4)
    if any(cell.outputs for cell in code_cells(committed)):
        for ours, theirs in zip(code_cells(done), code_cells(committed), strict=True):
            assert {kinds(o) for o in ours.outputs} == {kinds(o) for o in theirs.outputs}
