"""The commands as a user meets them: from a bare folder to a report, and every wrong turn."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from check import fails
from PIL import Image
from tables import blobs, write_folder

import thyroid_keras as tk
from thyroid_keras import _quiet, cli, evaluate, experiment, explain, predict, train
from thyroid_keras.data_report import check_data
from thyroid_keras.explain import __main__ as explain_command
from thyroid_keras.runs import RunError, read_csv

SMALL = [
    "--set", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8",
    "segmentation_epochs=4", "epochs=2", "pixel_label_percent=50",
]  # fmt: skip
FILES = [
    "calcifications.csv", "checkpoints", "config.json", "history.csv", "log.txt", "metrics.json",
    "model.keras", "plots", "predictions.csv", "report.html", "split.csv",
]  # fmt: skip
PLOTS = ["calcifications", "calibration", "confusion", "gallery", "learning_curves",
         "precision_recall", "roc"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A class-per-folder data set with masks."""
    return write_folder(blobs(32), tmp_path_factory.mktemp("data") / "blobs")


@pytest.fixture(scope="module")
def run_folder(data, tmp_path_factory):
    """A finished run on that data."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train.main(["--arch", "cs_agnet", "--data", str(data), "--out", str(folder), *SMALL])
    return folder


@pytest.fixture(scope="module")
def segmentation_run(tmp_path_factory):
    """A finished run of one stage, on a copy of the data that a test may spoil."""
    root = tmp_path_factory.mktemp("segmentation")
    copy = write_folder(blobs(32), root / "copy")
    command = ["--arch", "ds_agnet", "--data", str(copy), "--out", str(root / "run"), *SMALL]
    train.main(command)
    return root / "run"


def test_what_there_is_to_resume_is_said(run_folder, tmp_path, capsys):
    for folder, said in ((tmp_path, True), (run_folder, False)):
        with pytest.raises(SystemExit):  # for the setting
            words = ["--resume", "--out", str(folder), "--set", "epochs=0"]
            train.main(["--arch", "cs_agnet", *words])
        line = f"Nothing to resume in {folder}: a new run begins."
        assert (line in capsys.readouterr().out) == said


def test_the_fields_of_a_phantom_say_nothing_of_data(segmentation_run):
    said = (segmentation_run / "log.txt").read_text()
    assert "phantom_" not in said
    assert "phantom_" not in (segmentation_run / "config.json").read_text().split("differences")[1]


def test_a_run_leaves_its_folder(run_folder):
    found = sorted(p.name for p in run_folder.iterdir() if not p.name.startswith("."))
    assert found == FILES
    assert sorted(p.stem for p in (run_folder / "plots").iterdir()) == PLOTS
    metrics = json.loads((run_folder / "metrics.json").read_text())
    for name in ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc", "dice"):
        assert set(metrics[name]) >= {"value"}
    assert metrics["split"] == "test" and 0 < metrics["threshold"] < 1
    rows = read_csv(run_folder / "predictions.csv")
    assert len(rows) == metrics["n"]
    assert {"image", "group", "label", "p_calcification", "fold"} <= set(rows[0])
    known = metrics["calcifications"]
    numbers = [int(row["calcifications"]) for row in rows]
    assert known["number"]["value"] == np.mean(numbers) and known["n"] == len(rows)
    assert len(read_csv(run_folder / "calcifications.csv")) == sum(numbers)
    config = json.loads((run_folder / "config.json").read_text())
    assert config["seed"] == 0 and config["recipe"]["image_size"] == 32
    phases = [row["phase"] for row in read_csv(run_folder / "history.csv")]
    assert phases == ["segmentation"] * 4 + ["collaborative"] * 2


def test_the_report_is_one_page_that_names_no_folder(run_folder, data):
    page = (run_folder / "report.html").read_text()
    assert "not a medical device" in page and "cs_agnet" in page
    assert str(data.parent) not in page and str(run_folder.parent) not in page
    assert 'src="http' not in page and "<script" not in page


def test_evaluate_says_the_same_again(run_folder, capsys):
    before = json.loads((run_folder / "metrics.json").read_text())
    evaluate.main([str(run_folder)])
    assert json.loads((run_folder / "metrics.json").read_text()) == before
    assert "report.html" in capsys.readouterr().out


def test_evaluate_takes_other_data(run_folder, tmp_path):
    other = write_folder(blobs(8, seed=5), tmp_path / "other")
    for _ in range(2):
        evaluate.main([str(run_folder), "--data", str(other)])
    metrics = json.loads((run_folder / "evaluation-other" / "metrics.json").read_text())
    assert metrics["n"] == 8
    assert json.loads((run_folder / "metrics.json").read_text())["n"] != 8


def test_other_data_may_hold_no_copy_of_what_was_learned_from(run_folder, data, tmp_path, capsys):
    rows = read_csv(run_folder / "split.csv")
    other = tmp_path / "copies"
    for label in {row["image"].partition("/")[0] for row in rows}:
        (other / label).mkdir(parents=True)
    for row in rows:
        picture = Image.open(data / row["image"]).convert("L")
        picture.save((other / row["image"]).with_suffix(".jpg"), quality=90)
    said = fails(evaluate.main, [run_folder, "--data", other], capsys)
    learned = [row for row in rows if row["split"] != "test"]
    assert said.count("is a copy, stored again, of") >= 0.9 * len(learned)
    for row in rows:
        assert row["split"] != "test" or f"again, of {row['image']} " not in said


@pytest.mark.slow
def test_other_data_of_the_same_name_has_a_folder_of_its_own(run_folder, tmp_path, capsys):
    no_other = shutil.ignore_patterns("evaluation-*")
    folder = shutil.copytree(run_folder, tmp_path / "run", ignore=no_other)
    for parent, count in (("a", 8), ("b", 6), ("a", 8)):
        other = tmp_path / parent / "other"
        if not other.exists():
            write_folder(blobs(count, seed=count), other)
        evaluate.main([str(folder), "--data", str(other)])
    for name, count in (("evaluation-other", 8), ("evaluation-other-2", 6)):
        assert json.loads((folder / name / "metrics.json").read_text())["n"] == count
    assert not (folder / "evaluation-other-3").exists()


def test_a_finished_run_is_left_as_it_is(run_folder, data, capsys):
    before = {p: p.stat().st_mtime_ns for p in run_folder.rglob("*") if p.is_file()}
    command = ["--arch", "cs_agnet", "--data", str(data), "--out", str(run_folder), *SMALL]
    train.main([*command, "--resume"])
    assert "Finished before" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in run_folder.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_what_ran_before_in_the_process_changes_nothing(segmentation_run, tmp_path):
    import keras

    keras.config.set_dtype_policy("mixed_float16")  # as if somebody had worked here before
    keras.utils.set_random_seed(7)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    folder, source = tmp_path / "run", segmentation_run.parent / "copy"
    experiment.train("ds_agnet", data=source, out=folder, settings=SMALL[1:])
    assert keras.config.dtype_policy().name == "mixed_float16"
    for name in ("history.csv", "metrics.json", "predictions.csv"):
        assert (folder / name).read_bytes() == (segmentation_run / name).read_bytes()
    for one, other in zip(
        tk.load(folder).get_weights(), tk.load(segmentation_run).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_evaluate_refuses_what_the_model_learned_from(run_folder, data, capsys):
    said = fails(evaluate.main, [run_folder, "--data", data], capsys)
    assert "learned from" in said
    assert not (run_folder / f"evaluation-{data.name}").exists()


def test_predict_agrees_with_the_run_and_reads_odd_pictures(run_folder, data, tmp_path):
    rows = read_csv(run_folder / "predictions.csv")
    images = [str(data / row["image"]) for row in rows[:3]]
    pixels = np.arange(40 * 24, dtype=np.uint16).reshape(40, 24) * 60
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    Image.new("CMYK", (30, 50), (10, 200, 30, 0)).save(tmp_path / "print.jpg")
    Image.new("RGBA", (1, 1), (255, 0, 0, 90)).save(tmp_path / "dot.png")
    out = tmp_path / "new" / "predictions.csv"
    predict.main([str(run_folder), *images, str(tmp_path), "--out", str(out)])
    found = read_csv(out)
    assert len(found) == 6
    for row, known in zip(found, rows[:3], strict=False):
        assert float(row["p_calcification"]) == pytest.approx(
            float(known["p_calcification"]), abs=1e-5
        )
        assert row["predicted"] == known["predicted"]
    masks = sorted((tmp_path / "new" / "predictions_masks").iterdir())
    assert len(masks) == 6
    parts = read_csv(tmp_path / "new" / "predictions_calcifications.csv")
    counts = {row["image"]: 0 for row in found}
    for part in parts:
        counts[part["image"]] += 1
    assert counts == {row["image"]: int(row["calcifications"]) for row in found}
    assert set(np.unique(np.asarray(Image.open(masks[0])))) <= {0, 255}


def test_predict_replaces_neither_pictures_nor_tables_of_a_run(run_folder, data, tmp_path, capsys):
    picture = shutil.copy(next(data.rglob("blob002.png")), tmp_path)
    for out, why in ((picture, "ends in .csv"), (run_folder / "predictions.csv", "of the run")):
        before = Path(out).read_bytes()
        assert why in fails(predict.main, [run_folder, picture, "--out", out], capsys)
        assert Path(out).read_bytes() == before


def test_masks_of_a_former_call_make_way(run_folder, tmp_path):
    names = [*"abc", "x" * 240]
    for name in names:
        Image.new("L", (40, 30), 90).save(tmp_path / f"{name}.png")
    out, masks = tmp_path / "p.csv", tmp_path / "p_masks"
    for wanted in (names, names[2:]):
        images = [str(tmp_path / f"{name}.png") for name in wanted]
        predict.main([str(run_folder), *images, "--out", str(out)])
        found = {path.name for path in masks.glob("*.png")}
        assert {row["mask"] for row in read_csv(out)} == found and len(found) == len(wanted)
        (masks / "notes.txt").touch()
    assert (masks / "notes.txt").exists()


def test_a_file_in_place_of_the_masks_is_found_before_the_work(run_folder, tmp_path, capsys):
    Image.new("L", (40, 30), 90).save(tmp_path / "a.png")
    (tmp_path / "p_masks").write_text("years of work")
    said = fails(predict.main, [run_folder, tmp_path, "--out", tmp_path / "p.csv"], capsys)
    assert "p_masks" in said and "Choose another path" in said
    assert sorted(os.listdir(tmp_path)) == ["a.png", "p_masks"]


def test_explain_draws_every_gate(run_folder, data, tmp_path):
    image = next(data.rglob("blob002.png"))
    explain_command.main([str(run_folder), str(image), "--out", str(tmp_path / "maps")])
    boxes = json.loads((tmp_path / "maps" / "boxes.json").read_text())
    gates = [f"{branch}_gate{i}" for branch in ("mask", "label") for i in (1, 2, 3)]
    assert sorted(boxes[str(image)]) == sorted(gates)
    drawing = np.asarray(Image.open(next((tmp_path / "maps").glob("*.png"))))
    assert drawing.shape[1] > 4 * 300 and drawing.std() > 10


def test_drawings_of_a_former_call_make_way(run_folder, data, tmp_path):
    images, out = sorted(map(str, data.rglob("*.png")))[:2], tmp_path / "maps"
    for wanted, notes in ((images, "0001_mine_attention.png"), (images[1:], "0002_mine_mask.png")):
        explain_command.main([str(run_folder), *wanted, "--out", str(out)])
        drawn = {path.name for path in out.glob("*.png") if "mine" not in path.name}
        assert len(drawn) == len(wanted) == len(json.loads((out / "boxes.json").read_text()))
        (out / notes).touch()
    assert len(list(out.glob("*mine*"))) == 2
    for content in ("[]", '{"\\ud800": 1, "\\u0000": 1, "../../x": 1}'):
        (out / "boxes.json").write_text(content)
        explain_command.main([str(run_folder), images[0], "--out", str(out)])


def test_attention_maps_from_python(run_folder):
    model = tk.load(run_folder)
    maps = explain.attention_maps(model, np.random.default_rng(0).random((3, 32, 32, 1)))
    assert maps["mask_gate3"].shape == (3, 16, 16)
    np.testing.assert_allclose(maps["label_gate1"].sum((1, 2)), 1, rtol=1e-4)


WRONG = {
    "no such data": (["--data", "nowhere"], "nowhere"),
    "unknown setting": (["--set", "epoch=3"], "no such field"),
    "value of the wrong type": (["--set", "epochs=3.5"], "epochs"),
    "values out of range": (["--set", "batch_size=0", "zoom=1.2,1.0", "epochs=0"], "zoom: out"),
    "unknown cache": (["--set", "cache=foo"], "must be one of"),
    "seed out of range": (["--seed", "-1"], "seed"),
    "resume without a folder": (["--resume"], "--out"),
    "unknown labels": (["--target", "banana"], "banana"),
    "settings, too, beside a seed": (["--seed", "-1", "--set", "epochs=0"], "--set epochs: out of"),
    "format of no data": (["--format", "ddti"], "--format is of --data"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_end_with_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, said = WRONG[case]
    assert said in fails(train.main, ["--arch", "cs_agnet", *arguments], capsys)
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not left, "nothing was done, so nothing is left"


def test_holiday_pictures_are_refused_with_what_is_accepted(tmp_path, capsys):
    for i in range(3):
        Image.new("RGB", (40, 30), (i, 200, 90)).save(tmp_path / f"IMG_{i}.jpg")
    said = fails(train.main, ["--arch", "cs_agnet", "--data", tmp_path], capsys)
    assert "manifest.csv" in said and "<class>" in said


def test_pictures_without_masks_are_refused_with_the_reason(tmp_path, capsys):
    folder = write_folder(blobs(32, masks=False), tmp_path / "plain")
    out = tmp_path / "run"
    said = fails(train.main, ["--arch", "cs_agnet", "--data", folder, "--out", out, *SMALL], capsys)
    assert "no train image has a mask" in said and "as fan" in said
    assert not list(out.glob("[!.]*"))  # so that it may be asked for again


def test_a_used_folder_is_refused(run_folder, capsys):
    said = fails(train.main, ["--arch", "cs_agnet", "--out", run_folder], capsys)
    assert "--resume" in said


def test_resume_refuses_other_settings(run_folder, data, capsys):
    command = ["--arch", "cs_agnet", "--data", data, "--out", run_folder, "--resume", "--seed", "1"]
    command += ["--precision", "mixed_float16"]
    said = fails(train.main, [*command, *SMALL, "epochs=3"], capsys)
    assert "seed" in said and "epochs" in said and "precision" in said


def test_paths_may_be_paths(data, run_folder, capsys):
    settings = SMALL[1:]
    arguments = {"arch": "cs_agnet", "data": data, "out": run_folder, "settings": settings}
    run, found = experiment.train(**arguments, resume=True)
    assert run.report.exists() and found["n"] > 0


def test_a_damaged_model_is_named(run_folder, tmp_path, capsys):
    copy = shutil.copytree(run_folder, tmp_path / "copy")
    whole = (copy / "model.keras").read_bytes()
    (copy / "model.keras").write_bytes(whole[: len(whole) // 2])
    assert "model.keras" in fails(predict.main, [copy, "x.png"], capsys)


def test_a_file_is_no_ddti_folder(data, capsys):
    image = next(data.rglob("*.png"))
    command = ["--arch", "cs_agnet", "--data", image, "--format", "ddti"]
    assert "DDTI is a folder" in fails(train.main, command, capsys)


@pytest.mark.parametrize("main", [predict.main, explain_command.main])
def test_every_bad_picture_is_named_at_once(main, run_folder, tmp_path, capsys):
    (tmp_path / "page.png").write_text("<html>not here</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    out = tmp_path / "out.csv"
    said = fails(main, [run_folder, tmp_path, "--out", out], capsys)
    assert "page.png" in said and "empty.jpg" in said
    assert not out.exists()


def test_predict_needs_a_finished_run(tmp_path, capsys):
    assert "no such folder" in fails(predict.main, [tmp_path / "none", "x.png"], capsys)
    (tmp_path / "half").mkdir()
    assert "missing" in fails(predict.main, [tmp_path / "half", "x.png"], capsys)


def start(arguments):
    command = [sys.executable, "-m", "thyroid_keras.train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_terminated_training_goes_on_where_it_was(segmentation_run, tmp_path):
    folder = tmp_path / "cut"
    data = segmentation_run.parent / "copy"
    command = ["--arch", "ds_agnet", "--data", data, "--out", folder, *SMALL]
    process = start(command)
    deadline = time.monotonic() + 900
    while not (folder / "checkpoints/segmentation/epoch_0001").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    way_on = f"{shlex.join(['python', *process.args[1:]])} --resume"
    assert said.splitlines()[-1].strip() == way_on and "Traceback" not in said
    config = json.loads((folder / "config.json").read_text())
    assert config["seconds"] > 0
    (folder / "config.json").write_text(json.dumps(config | {"seconds": 5000.0}))
    resumed = start([*command, "--resume"])
    output, said = resumed.communicate(timeout=900)
    assert resumed.returncode == 0, said
    assert "Report: " in output
    assert (folder / "history.csv").read_text() == (segmentation_run / "history.csv").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert 5000 < config["seconds"] < 6800, "the seconds of both legs"
    for one, other in zip(
        tk.load(folder).get_weights(), tk.load(segmentation_run).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_evaluate_notices_changed_data(segmentation_run, capsys):
    victim = next((segmentation_run.parent / "copy").rglob("blob000.png"))
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(victim)
    assert "blob000" in fails(evaluate.main, [segmentation_run], capsys)


def test_start_is_quiet_and_the_commands_are_listed():
    done = subprocess.run(
        [sys.executable, "-m", "thyroid_keras"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    for command in ("train", "evaluate", "predict", "explain"):
        assert command in done.stdout


def test_help_answers_and_settings_are_listed(capsys):
    for main in (train.main, evaluate.main, predict.main, explain_command.main):
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
    said = capsys.readouterr().out
    assert " ".join(said.split()).count("Research use only") == 4
    assert "%%" not in said and "default: None" not in said and "(default: auto)" in said
    train.main(["--arch", "cs_agnet", "--set", "help"])
    said = capsys.readouterr().out
    assert "pixel_label_percent=30.0" in said and "whose masks are used" in said


def test_diverged_trainings_end_with_status_3(data, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["--arch", "ds_agnet", "--data", data, "--out", out, *SMALL]
    said = fails(train.main, [*command, "segmentation_learning_rate=1e38"], capsys, status=3)
    assert "not finite" in said


def test_errors_of_ours_are_not_disguised():
    def broken():
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        cli.run(broken)


def test_a_reader_that_goes_ends_a_command_with_a_status_of_its_own(data, monkeypatch):
    for function, arguments in ((print, {"end": "x"}), (check_data, {"path": data})):
        reader, writer = os.pipe()
        os.close(reader)
        monkeypatch.setattr(sys, "stdout", open(writer, "w"))
        with pytest.raises(SystemExit) as end:
            cli.run(function, **arguments)
        assert end.value.code == 128 + signal.SIGPIPE
        sys.stdout.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_behind_the_output_is_said(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w"))
    with pytest.raises(SystemExit, match="2"):
        cli.run(print, end="x")
    assert "No space left on device; free space" in capsys.readouterr().err
    sys.stdout.close()


def test_what_a_terminal_has_no_letter_for_is_spelt_out(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    cli.run(print, sep="", end="gr\xfcn")
    assert stdout.buffer.getvalue() == b"gr\\xfcn"


def test_no_error_obeys_the_names_in_it(capsys):
    def named():
        raise RunError("a\x1b[2J\r\nb")

    with pytest.raises(SystemExit, match="2"):
        cli.run(named)
    assert capsys.readouterr().err == "error: a\\x1b[2J\\r\nb\n"


NOISE = [
    "I0000 00:00:1.2 77 port.cc:153] oneDNN custom operations are on.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "E0000 00:00:1.2 7 cuda_platform.cc:52] failed call to cuInit: x",
]
ERRORS = ["E0000 00:00:1.2 7 cuda_dnn.cc:52] cuDNN is missing", "F0000 AVX is missing"]


@pytest.mark.parametrize("gpu", [False, True])
def test_chatter_goes_and_errors_stay_even_in_an_aborted_start(gpu, monkeypatch):
    monkeypatch.setattr(_quiet.glob, "glob", lambda pattern: ["/dev/nvidia0"] if gpu else [])
    code = f"""
import os, thyroid_keras
with thyroid_keras._quiet.filtered({_quiet.chatter()}):
    os.write(2, {"".join(f"{line}{chr(10)}" for line in NOISE + ERRORS).encode()!r})
    os.abort()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.splitlines() == (NOISE[2:] if gpu else []) + ERRORS
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"]
