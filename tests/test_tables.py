"""A paper's table: its rows, the runner, and everything that can happen to it."""

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import numpy as np
import pytest
from check import fails
from test_notebooks import NOTEBOOKS, code_cells, execute, pictures

from thyroid_keras import table as command
from thyroid_keras.archs import pretrained
from thyroid_keras.recipes import TABLES, Comparison, Row
from thyroid_keras.report.results import Answers
from thyroid_keras.runs import Run, read_csv
from thyroid_keras.tables import processes, runner
from thyroid_keras.tables.cells import Options, choose_recipes, plan
from thyroid_keras.tables.results import Result, paired_differences

SMALL = [
    "phantom_patients=30", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8",
    "segmentation_epochs=1", "epochs=1",
]  # fmt: skip
OPTIONS = Options(
    scale="quick", data=None, target=None, format=None, settings=(), seed=0,
    precision="float32", on_bad="fail",
)  # fmt: skip
PAPER = {
    ("10", "accuracy"): 0.858, ("20", "accuracy"): 0.876, ("30", "accuracy"): 0.921,
    ("50", "accuracy"): 0.927, ("100", "accuracy"): 0.929, ("10", "roc_auc"): 0.919,
    ("60", "roc_auc"): 0.972,
}  # fmt: skip
# what must be the same, to the last byte, whenever the same table is made
PRODUCTS = ("table.csv", "table.md", "report.html", "plots/roc.png", "plots/maps.png")
# one stage, so half the time; the second row cannot be trained
TWO = dataclasses.replace(
    TABLES["cs_agnet_1"],
    name="two",
    figures=("roc_auc", "dice"),
    rows=(
        Row(name="good", label="good", arch="ds_agnet"),
        Row(name="bad", label="bad", arch="ds_agnet",
            settings=("segmentation_learning_rate=1e38",)),
    ),
    folds=2, quick=(), reference="good",
    comparisons=(Comparison(name="maps", title="Maps", rows=("good",), gate="mask_gate3"),),
)  # fmt: skip


def words(folder, *more, rows=("10", "100"), settings=SMALL):
    rows = ("--rows", *rows) if rows else ()
    return ["cs_agnet_1", "--out", str(folder), *rows, "--set", *settings, *more]


def products(folder):
    return {name: (folder / name).read_bytes() for name in PRODUCTS if (folder / name).exists()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two rows of the table, from the command; it also lies where a notebook looks."""
    folder = tmp_path_factory.mktemp("tables") / "tables/cs_agnet_1-quick"
    command.main(words(folder))
    return folder


@pytest.mark.slow
def test_a_table_leaves_its_files(made):
    assert set(products(made)) == set(PRODUCTS)
    rows = read_csv(made / "table.csv")
    assert {(r["row"], r["figure"]) for r in rows} == {
        (row, name) for row in ("10", "100") for name in TABLES["cs_agnet_1"].figures
    } | {("10", "roc_auc_minus_100")}
    for row in rows:
        printed = PAPER.get((row["row"], row["figure"]))
        assert row["paper"] == ("" if printed is None else str(printed))
        if row["figure"] not in ("roc_auc_minus_100",):
            found = json.loads((made / "rows" / row["row"] / "metrics.json").read_text())
            assert float(row["value"]) == found[row["figure"]]["value"]
            assert int(row["n"]) == found[row["figure"]]["n"]
        assert float(row["ci95_low"]) <= float(row["value"]) <= float(row["ci95_high"])


@pytest.mark.slow
def test_two_trainings_are_at_work_where_there_are_cores(made):
    rows = [made / "rows" / name for name in ("10", "100")]
    began = [(row / "split.csv").stat().st_mtime_ns for row in rows]
    ended = [(row / "report.html").stat().st_mtime_ns for row in rows]
    assert (max(began) < min(ended)) == (processes.usual_jobs("quick") == 2)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a core cannot be chosen here")
def test_one_core_or_the_papers_sizes_take_one_training_at_a_time():
    before = os.sched_getaffinity(0)
    assert processes.usual_jobs("paper") == 1
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processes.usual_jobs("quick") == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.slow
def test_the_page_says_what_is_compared(made):
    text = (made / "table.md").read_text()
    for said in (
        "| 10 % | 0.858 |", "split by patient", "12 images of 6 patients", "simulated truth",
        "One split in place of the 5 folds of the paper's scale", "image_size 32 instead of 192",
        "30 patients, 2 views", "The paper's table itself is not at hand",
    ):  # fmt: skip
        assert said in text, said
    page = (made / "report.html").read_text()
    assert page.count("data:image/png;base64") == 2 and "not a medical device" in page
    assert str(made.parent) not in text + page


@pytest.mark.slow
def test_finished_rows_are_read_and_not_trained_again(made, capsys):
    before, models = products(made), sorted(made.rglob("model.keras"))
    times = [model.stat().st_mtime_ns for model in models]
    command.main(words(made))
    assert "2 of 2 trainings are finished" in capsys.readouterr().out
    assert [model.stat().st_mtime_ns for model in models] == times
    assert products(made) == before


@pytest.mark.slow
def test_begun_rows_with_other_settings_are_refused(made, capsys):
    said = fails(command.main, words(made, "--seed", "1"), capsys)
    assert "rows/10" in said and "rows/100" in said and "seed" in said
    said = fails(command.main, words(made, "epochs=2"), capsys)
    assert "--set epochs" in said


@pytest.mark.slow
def test_two_tables_in_one_folder(made, capsys):
    with Run.create(made, resume=True):
        assert "another run" in fails(command.main, words(made), capsys)


@pytest.mark.slow
def test_a_run_is_not_overwritten(made, capsys):
    run = made / "rows" / "10"
    assert "not a table" in fails(command.main, words(run), capsys)


def test_another_table_is_not_written_over(tmp_path, monkeypatch, capsys):
    (tmp_path / "log.txt").touch()
    for row in ("sononet_8", "lr"):
        (tmp_path / "rows" / row).mkdir(parents=True)
    said = fails(command.main, ["transfer_1", "--out", tmp_path], capsys)
    assert "another table is in there, with the rows lr, sononet_8" in said
    (tmp_path / "rows" / "lr").rmdir()
    monkeypatch.setattr(runner, "_train", lambda *_: pytest.fail("far enough"))
    with pytest.raises(pytest.fail.Exception):  # which the three tables of one paper share
        runner.table("ag_sononet_3", out=tmp_path)
    (tmp_path / "rows" / "sononet_8").rmdir()
    for row in ("lr_retinopathy", "sononet_l1_retinopathy"):  # a row by tasks
        (tmp_path / "rows" / row).mkdir()
    (tmp_path / "rows" / ".DS_Store").touch()
    with pytest.raises(pytest.fail.Exception):
        runner.table("global_attention_2", out=tmp_path, rows=["lr"])


WRONG = {
    "unknown table": (["nope"], "cs_agnet_1"),
    "unknown rows": (["cs_agnet_1", "--rows", "10", "15"], "10, 20, 30"),
    "no trainings at a time": (["cs_agnet_1", "--jobs", "0"], "--jobs"),
    "what the rows differ in": (["cs_agnet_1", "--set", "pixel_label_percent=5"], "rows"),
    "two faults at once": (["cs_agnet_1", "--set", "nope=1", "epochs=x"], "epochs"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_end_with_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, said = WRONG[case]
    assert said in fails(command.main, arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_faulty_data_end_the_table_with_what_the_training_said(tmp_path, capsys):
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "x.png").write_bytes(b"no picture")
    more = ("--data", str(tmp_path / "data"), "--jobs", "1")
    said = fails(command.main, words(tmp_path / "t", *more), capsys)
    assert "x.png" in said
    assert len(list((tmp_path / "t/logs").iterdir())) == 1, "the second row is not begun"


def test_help_and_list_answer(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["cs_agnet_1", "--help"])
    assert caught.value.code == 0
    command.main(["--list"])
    said = capsys.readouterr().out
    assert "Research use only" in said and "10 %, 20 %, 30 %" in said


def test_every_row_of_every_table_is_a_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_answers", lambda: True)  # some ask for ImageNet weights
    for table in TABLES.values():
        assert len({row.name for row in table.rows}) == len(table.rows)
        shown = {name for comparison in table.comparisons for name in comparison.rows}
        assert {table.reference, *shown} <= {row.name for row in table.rows} | {None}
        for scale in ("quick", "paper"):
            options = dataclasses.replace(OPTIONS, scale=scale)
            chosen = choose_recipes(table, table.rows, options)
            assert len({str(recipe.settings()) for recipe, _ in chosen}) == len(table.rows)
            cells = plan(table, table.rows, options, tmp_path)
            folds = table.folds if scale == "paper" else table.quick_folds
            trained = sum(row.command == "train" for row in table.rows)
            expected = len(table.rows) + trained * ((folds or 1) - 1)
            assert len({cell.folder for cell in cells}) == expected
            assert len({cell.log for cell in cells}) == len(cells)


def test_the_papers_column_is_what_its_prose_says():
    rows = TABLES["cs_agnet_1"].rows
    assert [row.label for row in rows] == [f"{p} %" for p in (10, 20, 30, 40, 50, 60, 100)]
    assert {(r.name, k): v for r in rows for k, v in r.reported.items()} == PAPER


def result(name, scores):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    answers = Answers(
        images=np.arange(8).astype(str),
        groups=np.arange(8).astype(str),
        labels=labels,
        predicted=(scores > 0.5).astype(int),
        probabilities=np.stack([1 - scores, scores], axis=1),
        class_names=("no", "yes"),
    )
    row = Row(name=name, label=name, arch="cs_agnet")
    return Result(row=row, recipe=None, folder=None, found={"n": 8}, answers=answers)


def test_differences_in_auc_are_paired():
    perfect = np.linspace(0, 1, 8)
    turned = perfect.copy()
    turned[[3, 4]] = turned[[4, 3]]  # one pair of sixteen in the wrong order
    rows = [result("same", perfect), result("worse", turned), result("all", perfect)]
    table = dataclasses.replace(TABLES["cs_agnet_1"], reference="all")
    found = paired_differences(rows, table)
    assert set(found) == {("same", "all"), ("worse", "all")}
    assert found["same", "all"]["value"] == 0 and found["same", "all"]["ci95"] == [0, 0]
    assert found["worse", "all"]["value"] == pytest.approx(-1 / 16)
    assert paired_differences(rows, dataclasses.replace(table, reference="absent")) == {}


def test_a_process_left_by_a_killed_table_is_waited_for(tmp_path):
    log, signals, ended = tmp_path / "log.txt", [], []
    with open(log, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        left = subprocess.Popen(["sleep", "60"], stdout=held)

    def go():
        stopped = lambda: signals and signals[0]  # noqa: E731
        ended.append(processes.run_command(("__main__",), log, None, stopped))

    thread = threading.Thread(target=go)
    thread.start()
    time.sleep(5 * processes.POLL_SECONDS)
    assert not children(os.getpid(), "__main__")
    left.kill()
    left.wait()
    wait_for(lambda: children(os.getpid(), "__main__"))
    signals.append(signal.SIGTERM)
    thread.join(timeout=60)
    assert ended == [-signal.SIGTERM]


@pytest.mark.slow
def test_a_row_that_diverges_is_said_to_and_the_others_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(runner.TABLES, "two", TWO)
    arguments = ["two", "--out", tmp_path / "t", "--jobs", "2", "--set", *SMALL]
    said = fails(command.main, arguments, capsys, status=3)
    assert "bad diverged" in said
    rows = {(r["row"], r["figure"]): r for r in read_csv(tmp_path / "t/table.csv")}
    assert rows["bad", "roc_auc"]["status"] == "diverged"
    assert rows["bad", "roc_auc"]["value"] == "" and rows["good", "roc_auc"]["value"] != ""
    assert "| bad | – | diverged |" in (tmp_path / "t/table.md").read_text()


@pytest.mark.slow
def test_the_notebook_runs_over_the_table(made):
    path = next(path for path in NOTEBOOKS if path.stem == "cs_agnet")
    settings = "DATA, SCALE = None, 'quick'\n"
    settings += f"OPTIONS = {{'rows': ['10', '100'], 'settings': {SMALL!r}}}"
    done = execute(path, settings, made.parents[1])
    assert len(pictures(done)) == 5
    committed = nbformat.read(path, as_version=4)
    for ours, theirs in zip(code_cells(done), code_cells(committed), strict=True):
        assert {form(o) for o in ours.outputs} == {form(o) for o in theirs.outputs}
    ours, theirs = table_lines(done), table_lines(committed)
    assert theirs[0] == ours[0]
    assert [line.split(" | ")[0] for line in theirs[2:]] == [
        f"| {row.label}" for row in TABLES["cs_agnet_1"].rows
    ]


def form(output):
    return output.output_type, tuple(sorted(output.get("data", [output.get("name")])))


def table_lines(notebook):
    texts = [o.data["text/markdown"] for c in code_cells(notebook) for o in c.outputs
             if "text/markdown" in o.get("data", {})]  # fmt: skip
    assert len(texts) == 1
    return [line for line in texts[0].splitlines() if line.startswith("|")]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "thyroid_keras.table", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition):
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid, command="train"):
    """The processes of ours that a process has at work."""
    listed = ["ps", "-o", "pid=,args=", "--ppid", str(pid)]
    found = subprocess.run(listed, capture_output=True, text=True).stdout.splitlines()
    return [int(line.split()[0]) for line in found if f"thyroid_keras.{command}" in line]


@pytest.mark.slow
def test_killed_and_stopped_in_any_row_it_ends_with_the_same_bytes(made, tmp_path):
    folder = tmp_path / "again"
    arguments = words(folder, "--jobs", "1")  # row by row

    process = start(*arguments)  # a machine that is switched off
    wait_for((folder / "rows/10/checkpoints/segmentation/epoch_0001").exists)
    for pid in (*children(process.pid), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()

    process = start(*arguments)  # a table that is asked to stop
    wait_for(lambda: children(process.pid))
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Repeat the command" in said and "Traceback" not in said

    process = start(*arguments)  # a table alone: its training goes on, and is waited for
    wait_for(lambda: children(process.pid))
    process.kill()
    process.communicate()

    process = start(*arguments)  # a training alone: the table says so
    wait_for((folder / "rows/100/log.txt").exists)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 2 and "100 ended with status -9" in said, said
    assert "ended with status -9" in (folder / "table.md").read_text()

    process = start(*arguments)
    said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "1 of 2 trainings are finished" in said[0]
    assert products(folder) == products(made)


@pytest.mark.slow
def test_at_the_papers_scale_a_row_is_pooled_over_folds(tmp_path, monkeypatch):
    monkeypatch.setitem(runner.TABLES, "one", dataclasses.replace(TWO, rows=TWO.rows[:1]))
    folder = tmp_path / "t"
    arguments = ["one", "--scale", "paper", "--out", str(folder), "--jobs", "2"]
    command.main([*arguments, "--set", *SMALL])
    row = read_csv(folder / "table.csv")[0]
    assert row["split"] == "out-of-fold" and row["folds"] == "2" and row["n"] == "60"
    folds = [
        json.loads((folder / f"rows/good/fold_{i}/metrics.json").read_text())["roc_auc"]["value"]
        for i in (0, 1)
    ]
    assert float(row["folds_mean"]) == pytest.approx(np.mean(folds))
    assert float(row["folds_sd"]) == pytest.approx(np.std(folds, ddof=1))
    assert "Mean ± SD over the folds" in (folder / "table.md").read_text()


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_bytes(made, tmp_path):
    arguments = words(tmp_path / "t", "--ray", "local", "--jobs", "2")
    done = start(*arguments)
    output, said = done.communicate(timeout=900)
    assert done.returncode == 0, said
    assert products(tmp_path / "t") == products(made)
