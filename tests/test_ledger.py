"""The ledger of claims, and all tables by one command."""

import numpy as np
import pytest
from test_compare import scores_of, write_run
from test_notebooks import NOTEBOOKS, execute, pictures

from thyroid_keras import table as command
from thyroid_keras.recipes import LEDGER, TABLES, Claim
from thyroid_keras.recipes.protocol import FILE
from thyroid_keras.runs import Run, read_csv, write_csv, write_json, write_text
from thyroid_keras.tables import everything, runner, write_claims
from thyroid_keras.tables.claims import holds
from thyroid_keras.tables.claims_pages import COLOURS, draw_claims
from thyroid_keras.tables.ledger import judge

STATEMENTS = {statement.name: statement for statement in LEDGER}
GROUPS = np.repeat(np.arange(60), 3)
LABELS = (GROUPS % 2).astype(int)


def made(folder, table, gains, seeds=None):
    """The rows of a finished table, of networks that tell the classes so well."""
    rows = folder / f"{TABLES[table].shared or table}-quick" / "rows"
    for i, (name, gain) in enumerate(gains.items()):
        scores = scores_of(gain, LABELS, seed=(seeds or {}).get(name, i))
        run = Run(write_run(rows / name, scores, LABELS, GROUPS))
        in_order = sorted(read_csv(run.predictions), key=lambda row: int(row["image"][:-4]))
        write_csv(run.predictions, in_order)
        write_text(run.report, "the last file of a run")
    return folder


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"fan_56_1": 2.5, "fan_56_1_none": 0.5, "fan_56_2": 2.5, "fan_56_2_none": 0.5}, "holds"),
        (
            {"fan_56_1": 2.5, "fan_56_1_none": 0.5, "fan_56_2": 0.5, "fan_56_2_none": 2.5},
            "does not hold",
        ),
        (
            {"fan_56_1": 2.5, "fan_56_1_none": 0.5, "fan_56_2": 1, "fan_56_2_none": 1},
            "cannot tell with this data",
        ),
        ({"fan_56_1": 2.5, "fan_56_1_none": 0.5}, "cannot tell with this data"),
    ],
)
def test_a_claim_holds_where_all_its_differences_lie_on_its_side(tmp_path, gains, verdict):
    entry = judge(STATEMENTS["feedback"], made(tmp_path, "fan_3", gains), "quick")
    assert entry.verdict == verdict and len(entry.evidence) == len(gains) // 2
    one = entry.evidence[0]
    assert one.effect["value"] > 0.1 and one.effect["groups"] == 60
    assert one.data.endswith("180 images of 60 patients") and "p " in one.test
    assert len(entry.lacking) == 4 - len(gains)


def test_a_bar_is_as_long_as_its_interval(tmp_path):
    gains = {"fan_56_1": 2.5, "fan_56_1_none": 0.5}
    entry = judge(STATEMENTS["feedback"], made(tmp_path, "fan_3", gains), "quick")
    (ax,) = draw_claims([entry]).axes
    (bar,) = (line for line in ax.lines if line.get_linewidth() == 2.5)
    assert list(bar.get_xdata()) == entry.evidence[0].effect["ci95"]
    assert bar.get_color() == COLOURS[True] and bar.get_solid_capstyle() == "butt"


def test_nearly_the_same_is_shown_by_a_margin_alone(tmp_path):
    same = made(tmp_path / "same", "cs_agnet_1", {"30": 3.0, "100": 3.0}, {"30": 1, "100": 1})
    assert judge(STATEMENTS["pixel_labels"], same, "quick").holds is True
    noisy = made(tmp_path / "noisy", "cs_agnet_1", {"30": 0.5, "100": 0.5})
    assert judge(STATEMENTS["pixel_labels"], noisy, "quick").holds is None
    worse = made(tmp_path / "worse", "cs_agnet_1", {"30": 0.3, "100": 3.0})
    assert judge(STATEMENTS["pixel_labels"], worse, "quick").holds is False


def test_at_least_as_good_forgives_what_is_better():
    claim = Claim(row="a", other="b", margin=0.02, at_least=True)
    assert holds(claim, (-0.01, 0.5)) is True
    assert holds(claim, (-0.03, 0.5)) is None
    assert holds(claim, (-0.5, -0.02)) is False


def test_boxes_are_held_against_the_answer_that_looks_at_nothing(tmp_path):
    folder = made(tmp_path, "ag_sononet_3", {"ft_16": 2.0})
    run = Run(folder / "ag_sononet-quick" / "rows" / "ft_16")
    found, verdicts = run.read_metrics(), []
    for value in (0.15, 0.0, -0.15):
        above = {"value": value, "ci95": [value - 0.05, value + 0.05]}
        write_json(run.metrics, found | {"localisation": {"above_constant": above}})
        entry = judge(STATEMENTS["places"], folder, "quick")
        assert entry.evidence[0].effect["value"] == value
        verdicts.append(entry.holds)
    assert verdicts == [True, None, False]


def test_a_row_of_which_a_fold_is_still_to_be_trained_is_lacking(tmp_path):
    folder = made(tmp_path, "transfer_1", {"mobilenet_svm": 1.0, "vgg16_svm": 1.0})
    rows = folder / "transfer_1-quick" / "rows"
    config = Run(rows / "mobilenet_svm").read_config()
    for fold in range(2):
        run = Run(rows / "mobilenet_fine_tuned" / f"fold_{fold}")
        run.folder.mkdir(parents=True)
        source = {"folds": 3, "fold": fold}
        write_json(run.config, config | {"data": config["data"] | {"source": source}})
        write_text(run.report, "the last file of a run")
    entry = judge(STATEMENTS["svm"], folder, "quick")
    assert "MobileNet, fine-tuned" in entry.lacking and entry.holds is None


def test_a_leak_is_told_by_intervals_that_do_not_touch(tmp_path):
    gains = {"mobilenet_svm": 1.0, "mobilenet_fc": 1.0}
    folder = made(tmp_path, "transfer_1", gains)
    verdicts = []
    for least in (0.99, 0.5, 0.0):
        for name in gains:
            run = Run(folder / "transfer_1-quick" / "rows" / name)
            wrong = {"roc_auc": {"value": least + 0.005, "ci95": [least, least + 0.01]}}
            write_json(run.metrics, run.read_metrics() | {"leak": wrong})
        verdicts.append(judge(STATEMENTS["leak"], folder, "quick").holds)
    assert verdicts == [True, False, False]
    made(folder, "transfer_1", {"small_cnn": 1.0})  # in which shortcuts were looked for
    run = Run(folder / "transfer_1-quick" / "rows" / "small_cnn")
    largest = {"name": "sector", "roc_auc": {"value": 0.7, "ci95": [0.6, 0.8]}}
    write_json(run.metrics, run.read_metrics() | {"shortcuts": {"largest": largest}})
    for one in judge(STATEMENTS["leak"], folder, "quick").evidence:
        assert "“sector” alone tells the classes with an AUC of 0.70" in one.data


def test_repeated_trainings_are_paired_by_image_and_task(tmp_path):
    gains = {
        f"sononet{mode}_{task}": 1.0
        for mode in ("", "_l1", "_attention")
        for task in ("retinopathy", "macular_edema")
    }
    folder = made(tmp_path, "global_attention_2", gains)
    for name in gains:
        right = np.arange(len(LABELS)) % 10 < (9 if "attention" in name else 5)
        trainings = {f"repeat_{i}": np.roll(right, i).tolist() for i in range(3)}
        write_json(folder / "global_attention_2-quick" / "rows" / name / FILE, trainings)
    entry = judge(STATEMENTS["map"], folder, "quick")
    assert entry.holds is True and len(entry.evidence) == 4 and not entry.lacking
    assert entry.evidence[0].effect["value"] == pytest.approx(0.4)
    assert "retinopathy" in entry.evidence[0].compared and "3 trainings" in entry.evidence[0].figure


def test_one_map_decides_nothing_and_is_shown(tmp_path):
    folder = made(tmp_path, "global_attention_2", {"sononet_attention": 1.0})
    run = Run(folder / "global_attention_2-quick" / "rows" / "sononet_attention")
    after = {"inside": 0.8, "outside": 0.4, "ratio": 2.0, "rank": 0.9}
    write_json(run.metrics, run.read_metrics() | {"global_map": {"after": after}})
    _, entries = write_claims(out=folder, scale="quick", say=str)
    (entry,) = (entry for entry in entries if entry.statement.name == "region")
    assert entry.holds is None and entry.evidence[0].effect["value"] == pytest.approx(0.4)
    assert "ratio 2.00" in (folder / "claims-quick" / "claims.md").read_text(encoding="utf-8")


def test_every_claim_names_rows_of_its_table():
    for statement in LEDGER:
        rows = {row.name for row in TABLES[statement.table].rows}
        named = {name for claim in statement.claims for name in (claim.row, claim.other)}
        assert named | set(statement.rows) <= rows and named | set(statement.rows), statement.name
    assert len(STATEMENTS) == len(LEDGER)


def test_the_ledger_of_one_table_says_what_was_not_trained(tmp_path, capsys):
    gains = {"fan_56_1": 2.5, "fan_56_1_none": 0.5, "fan_56_2": 2.5, "fan_56_2_none": 0.5}
    made(tmp_path, "fan_3", gains)
    command.main(["claims", "--out", str(tmp_path), "--scale", "quick"])
    assert "Feedback attention helps: holds" in capsys.readouterr().out
    folder = tmp_path / "claims-quick"
    rows = {row["claim"]: row for row in read_csv(folder / "claims.csv")}
    assert set(rows) == set(STATEMENTS) and rows["feedback"]["holds"] == "True"
    assert rows["width"]["verdict"] == "cannot tell with this data"
    assert "AG-SonoNet-FT-8" in rows["width"]["not_trained"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") == 1 and "`table ag_sononet_1`" in page
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.*"))}
    write_claims(out=tmp_path, scale="quick", say=str)
    assert before == {path: path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_all_tables_end_with_the_minutes_and_with_a_ledger(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["all", "--out", str(tmp_path), "--scale", "quick", "--minutes", "1e-9"])
    assert left.value.code == 143
    said = capsys.readouterr()
    assert "The minutes are over" in said.err and "Repeat the command to go on" in said.err
    assert not list(tmp_path.rglob("model.keras"))
    assert (tmp_path / "claims-quick" / "claims.md").exists()


def test_the_ledger_of_an_empty_folder_says_so(tmp_path, capsys):
    command.main(["claims", "--out", str(tmp_path), "--scale", "quick"])
    assert f"{tmp_path}: holds no finished row" in capsys.readouterr().out


def test_all_tables_take_no_options_of_one(tmp_path, capsys):
    for words in (["claims", "--minutes", "3"], ["all", "--data", str(tmp_path)]):
        with pytest.raises(SystemExit) as left:
            command.main(words)
        assert left.value.code == 2
        assert f"`{words[0]}` takes no {words[1]}; " in capsys.readouterr().err


def test_a_misspelt_table_is_told_all_names(capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["claim"])
    said = capsys.readouterr().err
    assert left.value.code == 2 and ", all, claims. Did you mean claims?" in said


def test_a_table_that_fails_does_not_keep_the_others_from_being_made(tmp_path, monkeypatch):
    begun = []

    def table(name, **options):
        begun.append((name, options["out"].name))
        if name == "fan_2":
            raise runner.RunError("the table lacks rows")

    monkeypatch.setattr(everything, "table", table)
    with pytest.raises(runner.RunError, match="lacks rows"):
        everything.all_tables(out=tmp_path, scale="quick", say=str)
    assert [name for name, _ in begun] == list(TABLES)
    assert ("fan_3", "fan-quick") in begun
    assert (tmp_path / "claims-quick" / "report.html").exists()


@pytest.mark.slow
def test_the_notebook_shows_the_ledger(tmp_path):
    gains = {"fan_56_1": 2.5, "fan_56_1_none": 0.5, "fan_56_2": 2.5, "fan_56_2_none": 0.5}
    made(tmp_path / "tables", "fan_3", gains)
    (path,) = (path for path in NOTEBOOKS if path.stem == "claims")
    done = execute(path, 'TABLES = "tables"\nSCALE = "quick"', tmp_path)
    assert len(pictures(done)) == 1
    shown = done.cells[3].outputs[0].data["text/markdown"]
    assert "| Feedback attention helps | FAN | holds |" in shown
