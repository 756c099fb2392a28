"""The transfer paper's table: bottleneck rows beside trained ones, and what a leak is worth."""

import dataclasses

import nbformat
import numpy as np
import pytest
from test_notebooks import NOTEBOOKS, code_cells, execute, pictures
from test_tables_sononet import OPTIONS, answers, kinds, result

from thyroid_keras import bottleneck as bottleneck_command
from thyroid_keras import table as command
from thyroid_keras.recipes import TABLES
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.tables import runner
from thyroid_keras.tables.cells import choose_recipes, plan
from thyroid_keras.tables.contents import contents
from thyroid_keras.training import SettingError
from thyroid_keras.transfer import Settings

TABLE = TABLES["transfer_1"]
ROWS = {row.name: row for row in TABLE.rows}
MOBILE = {"small_cnn", "mobilenet_svm", "mobilenet_fc", "mobilenet_fine_tuned"}
SMALL = [
    "phantom_patients=24", "image_size=32", "epochs=1", "alpha=0.25", "copies=1", "kernel=rbf",
]  # fmt: skip


def test_the_papers_figures_stand_at_their_rows():
    printed = {row.label: tuple(row.reported.values()) for row in TABLE.rows if row.reported}
    assert printed == {  # as in its Table 1
        "CNN from scratch": (0.82, 0.89, 0.82),
        "VGG-16 + SVM": (0.99, 1.0, 0.985),
        "Inception-v3 + SVM": (0.967, 0.985, 0.95),
        "VGG-16 + new FC": (0.94, 0.96, 0.92),
        "Inception-v3 + new FC": (0.98, 0.99, 0.97),
        "VGG-16, fine-tuned": (0.76, 0.84, 0.68),
        "Inception-v3, fine-tuned": (0.79, 0.80, 0.77),
    }
    quick = {row.name for row in runner._choose("transfer_1", None, "quick")[1]}
    assert quick == {"small_cnn", "mobilenet_fine_tuned"}  # without weights nothing else can be
    assert {n for claim in TABLE.claims for n in (claim.row, claim.other)} <= set(ROWS)


def test_features_are_cross_validated_once_and_networks_fold_by_fold(tmp_path):
    options = dataclasses.replace(OPTIONS, settings=("alpha=0.5",), seed=3)
    rows = [ROWS[name] for name in sorted(MOBILE)]
    cells = plan(TABLE, rows, options, tmp_path)
    found = {name: [c for c in cells if c.row.name == name] for name in MOBILE}
    assert {name: len(of) for name, of in found.items()} == {
        "small_cnn": 3, "mobilenet_fine_tuned": 3, "mobilenet_svm": 1, "mobilenet_fc": 1
    }  # fmt: skip
    (cell,) = found["mobilenet_fc"]
    assert cell.command[:2] == ("bottleneck", "--out") and "--resume" in cell.command
    # what the command line says is what the table means
    seen = []
    parse = bottleneck_command.cli.run
    bottleneck_command.cli.run = lambda function, **chosen: seen.append(chosen)
    try:
        bottleneck_command.main(list(cell.command[1:]))
    finally:
        bottleneck_command.cli.run = parse
    (chosen,) = seen
    said = {f.name: chosen[f.name] for f in dataclasses.fields(Settings)}
    assert Settings(**said) == cell.recipe
    assert (cell.recipe.alpha, cell.recipe.weights, cell.recipe.seed) == (0.5, "imagenet", 3)
    assert cell.recipe.augment_before_split and cell.recipe.folds == 3
    other = found["mobilenet_fine_tuned"][0]
    assert (other.recipe.alpha, other.recipe.weights) == (0.5, None)
    assert found["small_cnn"][0].recipe.phantom_patients == cell.recipe.phantom_patients == 200


def test_the_papers_scale_asks_for_imagenet_and_takes_other_weights(tmp_path):
    weights = tmp_path / "x.keras"
    weights.touch()
    options = dataclasses.replace(OPTIONS, scale="paper", settings=(f"weights={weights}",))
    recipes = {row.name: recipe for row, (recipe, _) in zip(
        TABLE.rows, choose_recipes(TABLE, TABLE.rows, options), strict=True)}  # fmt: skip
    assert {str(getattr(r, "weights", weights)) for r in recipes.values()} == {str(weights)}
    vgg = recipes["vgg16_fine_tuned"]
    assert (vgg.fine_tune, vgg.head, vgg.normalization) == ("block5_conv2", "new_fc", "caffe")
    assert (vgg.learning_rate, vgg.momentum, vgg.epochs) == (1e-4, 0.9, 50)
    assert ROWS["vgg16_fine_tuned"].usual[0] == "weights=imagenet"
    assert recipes["vgg16_svm"].image_size is None and recipes["mobilenet_fine_tuned"].alpha is None
    with pytest.raises(SettingError, match="--set classifier"):
        choose_recipes(TABLE, TABLE.rows, dataclasses.replace(options, settings=("classifier=fc",)))


def test_the_leak_stands_beside_the_right_figure_and_is_called_wrong():
    labels = np.arange(40) % 2
    right, leaked = (
        {n: {"value": v, "ci95": [v - 0.1, v + 0.1]} for n in TABLE.figures} for v in (0.6, 0.9)
    )
    rows = [result(ROWS[n], answers(labels, labels, 2)) for n in ("small_cnn", "mobilenet_svm")]
    data = {"data": {"group_unit": "patient", "target": "malignancy"}}
    rows = [dataclasses.replace(r, found=right | {"split": "out-of-fold"}, config=data)
            for r in rows]  # fmt: skip
    assert contents(TABLE, rows, 0).extras == {}
    rows[1].found["leak"] = leaked
    found = contents(TABLE, rows, 0)
    ((header, lines, said),) = found.extras.values()
    assert header[1:3] == ["accuracy: right (95 %)", "accuracy: wrong (95 %)"]
    assert [line[0] for line in lines] == ["MobileNet + SVM"]
    assert lines[0][1:3] == ["0.600 (0.500 to 0.700)", "0.900 (0.800 to 1.000)"]
    assert "Wrong: augmented first" in said and "one patient" in said
    csv = {(r["row"], r["figure"]): r["value"] for r in found.csv}
    assert csv["mobilenet_svm", "leaked_roc_auc"] == 0.9 and csv["mobilenet_svm", "roc_auc"] == 0.6
    assert ("small_cnn", "leaked_roc_auc") not in csv


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The table in its folder, of one cross-validation and three folds of trainings."""
    folder = tmp_path_factory.mktemp("transfer") / "tables/transfer_1-quick"
    words = ["transfer_1", "--out", folder, "--rows", "small_cnn", "mobilenet_svm", "--set", *SMALL]
    words += ["weights=none"]
    command.main([str(word) for word in words])
    return folder


@pytest.mark.slow
def test_the_table_holds_the_runs_figures_on_the_same_images(made, capsys):
    rows = {(r["row"], r["figure"]): r for r in read_csv(made / "table.csv")}
    for name in ("small_cnn", "mobilenet_svm"):
        found = Run(made / "rows" / name).read_metrics()
        assert found["split"] == "out-of-fold" and found["n"] == 48
        for figure in TABLE.figures:
            assert rows[name, figure]["value"] == str(found[figure]["value"])
            assert rows[name, figure]["folds"] == "3"
    text = (made / "table.md").read_text()
    assert "How a figure near 1 comes about" in text and "out of fold" in text
    assert "| VGG-16 + SVM | 0.990 | – | 1.000 | – |" in text
    assert (made / "plots/roc.png").stat().st_size > 10_000
    before = (made / "rows/mobilenet_svm/log.txt").read_text()
    command.main(["transfer_1", "--out", str(made), "--rows", "small_cnn", "mobilenet_svm",
                  "--set", *SMALL, "weights=none"])  # fmt: skip
    assert "4 of 4 trainings are finished" in capsys.readouterr().out
    assert (made / "rows/mobilenet_svm/log.txt").read_text() == before


@pytest.mark.slow
def test_the_notebook_runs_over_the_table(made):
    path = next(path for path in NOTEBOOKS if path.stem == "transfer_learning")
    settings = "DATA, SCALE, ROWS, OPTIONS = None, 'quick', ['small_cnn', 'mobilenet_svm'], {}\n"
    settings += f"SETTINGS = {[*SMALL, 'weights=none']!r}"
    done = execute(path, settings, made.parents[1])
    assert len(pictures(done)) == 2
    committed = nbformat.read(path, as_version=4)
    for ours, theirs in zip(code_cells(done), code_cells(committed), strict=True):
        assert {kinds(o) for o in ours.outputs} == {kinds(o) for o in theirs.outputs}
