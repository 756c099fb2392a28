"""The tables of SonoNet and AG-SonoNet: the paper's figures, the claims, and the files."""

import dataclasses

import nbformat
import numpy as np
import pytest
from check import fails
from test_notebooks import NOTEBOOKS, code_cells, execute, pictures

from thyroid_keras import build
from thyroid_keras import table as command
from thyroid_keras.metrics import classification_metrics, mcnemar
from thyroid_keras.metrics.by_class import class_differences, class_rates, holm, macro_rates
from thyroid_keras.recipes import TABLES, Claim
from thyroid_keras.recipes.sononet_tables import CLASSWISE
from thyroid_keras.report.results import Answers
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.tables import runner
from thyroid_keras.tables.by_class import classes_table, places_table
from thyroid_keras.tables.cells import Options, choose_recipes, plan
from thyroid_keras.tables.claims import judge_claims, verdict
from thyroid_keras.tables.costs import measure
from thyroid_keras.tables.results import Result, paired_differences
from thyroid_keras.training import SettingError

NAMES = ("ag_sononet_1", "ag_sononet_2", "ag_sononet_3")
OPTIONS = Options(
    scale="quick", data=None, target=None, format=None, settings=(), seed=0,
    precision="float32", on_bad="fail",
)  # fmt: skip
SMALL = [
    "image_size=32,48", "stage_convs=1,1,1,1,1", "phantom_patients=16", "phantom_views=8",
    "warm_up_epochs=0", "epochs=1", "warm_start_epochs=1", "scale_epochs=1",
]  # fmt: skip
# the width of the third table's network costs a training, which tests nothing more
NARROW = dataclasses.replace(
    TABLES["ag_sononet_3"],
    rows=TABLES["ag_sononet_2"].rows[1:],
    sheets=(dataclasses.replace(TABLES["ag_sononet_3"].sheets[0], row="ft_8"),),
)
FIGURE_4 = dataclasses.replace(
    TABLES["ag_sononet_1"],
    sheets=(dataclasses.replace(TABLES["ag_sononet_1"].sheets[1], row="ft_8"),),
)
ROWS = ("sononet_8", "ft_8")


def words(folder, name, *more):
    rows = ("--rows", *ROWS) if name == "ag_sononet_1" else ()
    return [name, "--out", str(folder), *rows, "--jobs", "2", "--set", *SMALL, *more]


def products(folder):
    files = [path for name in NAMES for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The three tables in one folder, of two trainings; it also lies where a notebook looks."""
    folder = tmp_path_factory.mktemp("sononet") / "tables/ag_sononet-quick"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runner.TABLES, "ag_sononet_1", FIGURE_4)
        patch.setitem(runner.TABLES, "ag_sononet_3", NARROW)
        for name in NAMES:
            command.main(words(folder, name))
    return folder


def test_the_papers_tables_agree_with_each_other():
    of_ft_8 = TABLES["ag_sononet_1"].rows[3].reported
    of_classes = np.array([[pair[0] for pair in row] for row in CLASSWISE.values()])
    for name, mean in zip(("precision", "sensitivity", "f1"), of_classes.mean(axis=0), strict=True):
        assert of_ft_8[name] == pytest.approx(mean, abs=6e-4), name
    # what the note of table 2 says of the brackets
    before = np.mean([[value - change for value, change in row] for row in CLASSWISE.values()], 0)
    assert before == pytest.approx([0.886, 0.924, 0.904], abs=6e-4)


def test_the_papers_parameters_are_those_of_our_networks():
    for row in TABLES["ag_sononet_1"].rows:
        if row.reported:
            settings = dict(setting.split("=") for setting in row.settings)
            settings["filters"] = int(settings["filters"])
            model = build(row.arch, image_shape=(16, 16, 1), **settings)
            trained = sum(weight.numpy().size for weight in model.trainable_weights)
            assert round(trained, -4) == row.reported["parameters"], row.label


def test_tables_of_one_folder_mean_the_same_rows(tmp_path):
    for scale in ("quick", "paper"):
        options = dataclasses.replace(OPTIONS, scale=scale)
        commands = {}
        for name in NAMES:
            assert TABLES[name].shared == "ag_sononet"
            for cell in plan(TABLES[name], TABLES[name].rows, options, tmp_path):
                assert commands.setdefault(cell.folder, cell.command) == cell.command


def test_every_row_learns_for_as_many_epochs_at_the_quick_scale():
    table = TABLES["ag_sononet_1"]
    epochs = set()
    for row, (recipe, _) in zip(
        table.rows, choose_recipes(table, table.rows, OPTIONS), strict=True
    ):
        stages = [recipe.epochs]
        if row.arch == "ag_sononet":
            stages.append(recipe.warm_start_epochs)
            stages += [recipe.scale_epochs] if recipe.aggregation == "ft" else []
        epochs.add(sum(stages))
    assert len(epochs) == 1


def test_the_largest_rows_wait_for_the_papers_scale_or_to_be_asked_for():
    quick = [row.name for row in runner._choose("ag_sononet_1", None, "quick")[1]]
    paper = [row.name for row in runner._choose("ag_sononet_1", None, "paper")[1]]
    assert set(paper) - set(quick) == {"sononet_32", "mean_32", "deep_sup_32", "ft_32"}
    asked = runner._choose("ag_sononet_1", ["ft_32"], "quick")[1]
    assert [row.name for row in asked] == ["ft_32"]


def test_a_setting_goes_to_the_rows_that_have_it_and_must_be_known_to_one():
    table = TABLES["ag_sononet_2"]
    options = dataclasses.replace(OPTIONS, settings=("scale_epochs=9", "l2=0.5"))
    (plain, _), (gated, _) = choose_recipes(table, table.rows, options)
    assert gated.scale_epochs == 9 and (plain.l2, gated.l2) == (0.5, 0.5)
    with pytest.raises(SettingError, match="nonsense"):
        choose_recipes(table, table.rows, dataclasses.replace(OPTIONS, settings=("nonsense=1",)))
    with pytest.raises(SettingError, match="scale_epochs"):
        choose_recipes(table, table.rows[:1], options)


def answers(labels, predicted, num_classes=3, per_group=2):
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    return Answers(
        images=np.arange(len(labels)).astype(str),
        groups=(np.arange(len(labels)) // per_group).astype(str),
        labels=labels,
        predicted=predicted,
        probabilities=np.eye(num_classes)[predicted],
        class_names=tuple("abc"[:num_classes]),
    )


def result(row, of):
    return Result(row=row, recipe=None, folder=None, found={"n": len(of.labels)}, answers=of)


@pytest.fixture
def better_and_worse():
    """Truth, and two answers: the first wrong on every 20th image, the other on every 5th."""
    labels = np.arange(240) % 3
    good, bad = labels.copy(), labels.copy()
    good[::20] = (good[::20] + 1) % 3
    bad[::5] = (bad[::5] + 1) % 3
    return labels, good, bad


def test_rates_by_class_are_those_of_metrics_json(better_and_worse):
    labels, good, _ = better_and_worse
    of = answers(labels, good)
    found = classification_metrics(labels, of.probabilities, of.groups, class_names=of.class_names)
    ones = np.ones((1, len(labels)))
    for name, value in macro_rates(labels, good, 3, ones).items():
        assert value[0] == pytest.approx(found[name]["value"])
    for k, row in enumerate(found["per_class"]):
        for name, value in class_rates(labels, good, 3, ones).items():
            assert value[0, k] == pytest.approx(row[name]["value"])


def test_differences_are_paired_and_each_row_has_its_own_reference(better_and_worse):
    labels, good, bad = better_and_worse
    rows = {row.name: row for row in TABLES["ag_sononet_1"].rows}
    names = ("sononet_8", "ft_8", "sononet_16", "ft_8_softmax")
    said = (bad, good, good, bad)
    results = [result(rows[n], answers(labels, p)) for n, p in zip(names, said, strict=True)]
    found = paired_differences(results, TABLES["ag_sononet_1"])
    assert set(found) == {
        ("ft_8", "sononet_8"), ("sononet_16", "sononet_8"), ("ft_8_softmax", "ft_8"),
        ("ft_8", "sononet_16"),
    }  # fmt: skip
    gain = found["ft_8", "sononet_8"]
    f1 = [macro_rates(labels, p, 3, np.ones((1, 240)))["f1"][0] for p in (good, bad)]
    assert gain["value"] == pytest.approx(f1[0] - f1[1]) and gain["ci95"][0] > 0
    assert found["ft_8_softmax", "ft_8"]["value"] == pytest.approx(-gain["value"])
    assert found["ft_8", "sononet_16"]["ci95"] == [0, 0]


@pytest.mark.parametrize(
    ("interval", "margin", "said"),
    [
        ([0.001, 0.03], None, "Yes"),
        ([-0.001, 0.03], None, "Not decided"),
        ([-0.03, -0.001], None, "No, here it is worse"),
        ([-0.019, 0.019], 0.02, "Yes"),
        ([-0.021, 0.001], 0.02, "Not decided"),
        ([-0.001, 0.021], 0.02, "Not decided"),
        ([-0.05, -0.021], 0.02, "No"),
        ([0.021, 0.05], 0.02, "No"),
    ],
)
def test_a_claim_is_decided_by_the_interval(interval, margin, said):
    claim = Claim(row="a", other="b", margin=margin)
    assert verdict(claim, {"value": 0.0, "ci95": interval}).startswith(said)


def test_claims_are_judged_on_both_rows_or_not_at_all(better_and_worse):
    labels, good, bad = better_and_worse
    table = dataclasses.replace(
        TABLES["ag_sononet_1"],
        claims=(
            Claim(row="ft_8", other="sononet_8"),
            Claim(row="ft_8", other="sononet_16", margin=0.02),
        ),
    )
    rows = {row.name: row for row in table.rows}
    results = [
        result(rows["sononet_8"], answers(labels, bad)),
        result(rows["ft_8"], answers(labels, good)),
    ]
    shown, absent = judge_claims(table, results, paired_differences(results, table))
    test = mcnemar(good == labels, bad == labels)
    assert shown.startswith("Is AG-SonoNet-FT-8 better than SonoNet-8? Yes")
    assert f"right on {test['only_a']} images" in shown and "p < 0.001" in shown
    assert absent.startswith("Does AG-SonoNet-FT-8 equal SonoNet-16? Not judged: SonoNet-16")


def test_only_the_class_that_changed_differs(better_and_worse):
    labels, good, _ = better_and_worse
    other = good.copy()
    other[(labels == 2) & (good == 2) & (np.arange(240) % 2 == 0)] = 1  # half of c is called b
    groups = answers(labels, good).groups
    a, b, c = class_differences(labels, good, other, groups, "abc")
    assert a["f1"]["value"] == 0 and a["f1_p_value"] == 1 and a["mcnemar"]["p_value"] == 1
    assert c["f1"]["value"] > 0.2 and c["f1"]["ci95"][0] > 0 and c["sensitivity"]["value"] > 0.4
    assert b["precision"]["value"] > 0.2
    for row in (b, c):
        assert row["f1_p_value"] == pytest.approx(2 / 2001)
        assert row["f1_p_value"] < row["f1_p_holm"] <= 3 * row["f1_p_value"] + 1e-12
        right = [(p == "abc".index(row["class"])) == (labels == "abc".index(row["class"]))
                 for p in (good, other)]  # fmt: skip
        assert row["mcnemar"] == mcnemar(*right)
    turned = class_differences(labels, other, good, groups, "abc")[2]
    assert turned["f1"]["value"] == -c["f1"]["value"]
    assert turned["f1_p_value"] == c["f1_p_value"]


def test_a_class_without_images_has_no_p_value():
    labels = np.array([0, 1] * 20)
    *_, absent = class_differences(labels, labels, labels[::-1], np.arange(40), "abc")
    assert absent["f1"]["value"] is None and absent["f1_p_value"] is None
    assert absent["f1_p_holm"] is None


@pytest.mark.parametrize("make", [lambda *a: classes_table(*a, 0), places_table])
def test_without_its_network_a_table_says_so(make, better_and_worse):
    table = TABLES["ag_sononet_2"]
    labels, _, bad = better_and_worse
    csv, header, lines, said = make(table, [result(table.rows[0], answers(labels, bad))])
    assert (csv, lines) == ([], []) and header == ["class"]
    assert said == ["Without AG-SonoNet-FT-8 there are no figures."]


@pytest.mark.parametrize(
    ("per_group", "said"),
    [(1, ""), (12, ""), (80, "3 patients are too few"), (240, "1 patient is too few")],
)
def test_few_groups_are_a_doubt_under_the_changes(per_group, said, better_and_worse):
    labels, good, bad = better_and_worse
    table, results = TABLES["ag_sononet_2"], []
    for row, predicted in zip(table.rows, (bad, good), strict=True):
        of = answers(labels, predicted, per_group=per_group)
        found = classification_metrics(
            labels, of.probabilities, of.groups, class_names=of.class_names
        )
        config = {"data": {"group_unit": "patient"}}
        results.append(dataclasses.replace(result(row, of), config=config, found=found))
    *_, judged = classes_table(table, results, 0)
    doubts = [line for line in judged if "too few" in line]
    start = "The intervals and p-values of the bootstrap are rough: "
    assert doubts == ([f"{start}{said}."] if said else [])


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, None, 0.005]) == pytest.approx([0.03, 0.06, 0.06, None, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


def test_the_passes_of_a_network_are_timed():
    shape = {"image_shape": (32, 48, 1), "num_classes": 3, "filters": 2, "whiten": True}
    mean = build("ag_sononet", aggregation="mean", **shape)
    models = {"small": build("sononet", **shape), "dict": mean}
    before = [np.array(w) for w in mean.trainable_weights]
    found = measure(models, turns=3)
    assert set(found) == {"small", "dict"}
    for row in found.values():
        assert row["forward_ms"] > 0 and row["backward_ms"] > 0 and row["image_size"] == "32x48"
    assert found["small"]["parameters"] < models["small"].count_params()
    for weight, old in zip(mean.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_each_row_is_trained_once_for_all_tables(made):
    assert sorted(path.name for path in (made / "rows").iterdir()) == sorted(ROWS)
    logs = {path.stem: path.read_text() for path in (made / "logs").iterdir()}
    assert all(log.count("Report:") == 1 for log in logs.values()), logs


def test_the_first_table_holds_the_runs_figures_beside_the_papers(made):
    rows = {(r["row"], r["figure"]): r for r in read_csv(made / "ag_sononet_1/table.csv")}
    names = {"accuracy", "f1", "precision", "sensitivity"}
    expected = {(row, name) for row in ROWS for name in names} | {("ft_8", "f1_minus_sononet_8")}
    assert set(rows) == expected
    for row, printed in (("sononet_8", "0.899"), ("ft_8", "0.922")):
        run = Run(made / "rows" / row)
        assert rows[row, "f1"]["paper"] == printed
        assert float(rows[row, "f1"]["value"]) == run.read_metrics()["f1"]["value"]
    text = (made / "ag_sononet_1/table.md").read_text()
    for said in (
        "| SonoNet-8 | 0.969 |", "Is AG-SonoNet-FT-8 better than SonoNet-8?",
        "Does AG-SonoNet-FT-8 equal SonoNet-16? Not judged", "epochs 1 instead of 300",
        "Differences in macro F1 are paired", "macro F1 minus that of SonoNet-8",
        "Recipe of AG-SonoNet-FT-8: warm_start_epochs 1 instead of 100; scale_epochs 1 instead",
    ):  # fmt: skip
        assert said in text, said
    assert "ms: ours" not in text, "what was timed would differ from run to run"
    page = (made / "ag_sononet_1/report.html").read_text()
    assert "forward, ms: paper" in page and "1.92" in page and "0.16M" in page
    assert page.count("data:image/png;base64") == 1


def test_the_second_table_changes_by_class(made):
    rows = read_csv(made / "ag_sononet_2/table.csv")
    per_class = [Run(made / "rows" / row).read_metrics()["per_class"] for row in ROWS]
    for k, name in enumerate(row["class"] for row in per_class[0]):
        f1 = next(row for row in rows if row["class"] == name and row["figure"] == "f1")
        before, after = (table[k]["f1"]["value"] for table in per_class)
        assert float(f1["value"]) == after
        assert float(f1["change"]) == pytest.approx(after - before)
        assert float(f1["paper"]) == CLASSWISE[name][2][0]
        assert 0 < float(f1["p_holm"]) <= 1 and 0 < float(f1["mcnemar_p_holm"]) <= 1
    text = (made / "ag_sononet_2/table.md").read_text()
    assert "| Profile |" in text and "0.958 (**+0.033**)" in text and "0.975 (+0.007)" in text
    assert "patients are too few" in text
    page = (made / "ag_sononet_2/report.html").read_text()
    assert "0.958 (<b>+0.033</b>)" in page and "**" not in page


def test_the_third_table_localises_by_class(made):
    found = Run(made / "rows/ft_8").read_metrics()["localisation"]
    rows = {(r["class"], r["figure"]): r for r in read_csv(made / "ag_sononet_3/table.csv")}
    for row in found["per_class"]:
        for name in ("iou", "correct", "relative"):
            assert float(rows[row["class"], name]["value"]) == row[name]["value"]
    assert rows["Femur", "relative"]["paper"] == "0.58"
    assert ("Background", "iou") not in rows
    text = (made / "ag_sononet_3/table.md").read_text()
    assert "| Femur |" in text and "0.31 (0.11)" in text and "| all of them |" in text
    assert (made / "ag_sononet_3/plots/figure_5.png").stat().st_size > 10_000
    assert "![Maps and boxes of AG-SonoNet-FT-16 across patients" in text


@pytest.mark.slow
def test_made_again_every_byte_is_the_same_and_nothing_is_timed_anew(made, monkeypatch, capsys):
    monkeypatch.setitem(runner.TABLES, "ag_sononet_1", FIGURE_4)
    monkeypatch.setitem(runner.TABLES, "ag_sononet_3", NARROW)
    before = products(made)
    assert {"ag_sononet_1/costs.csv", "ag_sononet_1/costs.md"} < set(before)
    for name in NAMES:
        command.main(words(made, name))
    said = capsys.readouterr().out
    assert "2 of 2 trainings are finished" in said and "Timing" not in said
    assert products(made) == before
    (made / "ag_sononet_1/costs.csv").unlink()
    command.main(words(made, "ag_sononet_1"))
    assert "Timing the passes of 2 networks" in capsys.readouterr().out
    assert products(made)["ag_sononet_1/table.md"] == before["ag_sononet_1/table.md"]
    assert products(made)["ag_sononet_1/costs.csv"] != before["ag_sononet_1/costs.csv"]


def test_another_table_of_the_folder_refuses_other_settings(made, capsys):
    assert "rows/ft_8" in fails(command.main, words(made, "ag_sononet_2", "epochs=2"), capsys)


@pytest.mark.slow
def test_the_notebook_runs_over_the_tables(made):
    path = next(path for path in NOTEBOOKS if path.stem == "ag_sononet")
    rows = [*ROWS, "mean_16", "ft_16"]
    settings = f"DATA, SCALE, ROWS = None, 'quick', {rows!r}\n"
    settings += f"OPTIONS = {{'settings': {SMALL!r}, 'jobs': 2}}"
    done = execute(path, settings, made.parents[1])
    assert len(pictures(done)) == 4
    said = [o.data["text/markdown"] for c in code_cells(done) for o in c.outputs
            if "text/markdown" in o.get("data", {})]  # fmt: skip
    assert len(said) == 4 and "**+0.033**" in said[2] and "| Femur |" in said[3]
    committed = nbformat.read(path, as_version=4)
    for ours, theirs in zip(code_cells(done), code_cells(committed), strict=True):
        assert {kinds(o) for o in ours.outputs} == {kinds(o) for o in theirs.outputs}


def kinds(output):
    return output.output_type, tuple(sorted(output.get("data", [output.get("name")])))
