import csv
import datetime
import fcntl
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from thyroid_keras import __version__, runs
from thyroid_keras.runs import Run, RunError

HOLD = """
import sys, time
from thyroid_keras.runs import Run
run = Run.create(sys.argv[1], resume=True)
print("held", flush=True)
time.sleep(60)
"""


def test_a_run_comes_back_as_it_was_written(tmp_path):
    with Run.create(tmp_path / "deep" / "run") as run:
        runs.write_json(run.config, {"arch": "fan", "seed": 3})
        run.write_history([{"phase": "warm", "epoch": 1, "loss": 0.1}, {"epoch": 2, "auc": 1}])
        run.log("begun")
    found = Run.open(tmp_path / "deep" / "run", "history")
    assert found.read_config() == {"arch": "fan", "seed": 3}
    assert found.read_history() == [
        {"phase": "warm", "epoch": 1, "loss": 0.1, "auc": None},
        {"phase": "", "epoch": 2, "loss": None, "auc": 1},
    ]
    assert found.log_file.read_text().endswith(" begun\n")


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(RunError, match="(?s)--out.*Received: folder="):
            Run.create(tmp_path, resume=resume)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_an_earlier_run_needs_resume(tmp_path):
    with Run.create(tmp_path / "run") as run:
        run.log("begun")
    with pytest.raises(RunError, match="--resume"):
        Run.create(tmp_path / "run")
    Run.create(tmp_path / "run", resume=True).close()


def test_a_file_or_an_unwritable_place_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run"):
        with pytest.raises(RunError, match="cannot write there"):
            Run.create(folder)


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError):
        Run.create(tmp_path / "run")
    assert not (tmp_path / "victim").exists()


def test_the_second_run_in_a_folder_is_refused_until_the_first_is_killed(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another run is writing"):
            Run.create(tmp_path / "run", resume=True)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    with Run.create(tmp_path / "run"), pytest.raises(RunError, match="another run"):
        Run.create(tmp_path / "run")
    Run.create(tmp_path / "run").close()


def test_a_lock_that_its_holder_removes_meanwhile_is_none(tmp_path, monkeypatch):
    flock = fcntl.flock

    def after_the_holder_left(*arguments):
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / "run" / ".lock").unlink()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", after_the_holder_left)
    with Run.create(tmp_path / "run"), pytest.raises(RunError, match="another run is writing"):
        Run.create(tmp_path / "run")


def test_open_says_what_is_missing(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        Run.open(tmp_path / "none")
    with pytest.raises(RunError, match="config.json and model.keras missing"):
        Run.open(tmp_path, "model")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="config.json: not JSON"):
        Run.open(tmp_path).read_config()
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match="config.json"):
        Run.open(tmp_path).read_config()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(RunError, match="object"):
        Run.open(tmp_path).read_config()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "metrics.json"
    runs.write_text(path, "old")
    with pytest.raises(RuntimeError), runs.atomic(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    with pytest.raises(RunError, match="metrics.json: cannot be written, no space"):
        with runs.atomic(path) as temporary:
            temporary.write_text("ne")
            raise OSError(28, "no space")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_atomic_keeps_the_suffix_and_the_usual_permissions(tmp_path):
    with runs.atomic(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_bytes(b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "model.keras").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_takes_what_numpy_gives(tmp_path):
    value = {
        "nan": float("nan"),
        "scalar": np.float32(0.5),
        "array": np.array([[1, 2]]),
        "nested": [np.array([np.inf, 1.0])],
        "path": pathlib.PurePosixPath("a/b"),
        "flag": np.bool_(True),
        "umlaut": "Übersicht",
    }
    runs.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "Übersicht" in text
    assert json.loads(text) == {
        "nan": None,
        "scalar": 0.5,
        "array": [[1, 2]],
        "nested": [[None, 1.0]],
        "path": "a/b",
        "flag": True,
        "umlaut": "Übersicht",
    }


def test_csv_runs_no_formula_and_comes_back(tmp_path):
    names = ["=1+1", "+x", "-x", "@x", "'quoted", "plain", 'a,"b"\nc', "\t=x", "caf\udce9.png"]
    path = tmp_path / "names.csv"
    runs.write_csv(path, [{"=name": name, "score": -0.5} for name in names])
    assert [row["=name"] for row in runs.read_csv(path)] == names
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        cells = list(csv.reader(file))
    assert all(cell[0][0] not in "=+-@\t" for cell in cells)
    assert cells[1][1] == "-0.5"  # a number stays a number


def test_csv_of_nothing_and_a_cut_csv(tmp_path):
    runs.write_csv(tmp_path / "x.csv", [])
    assert runs.read_csv(tmp_path / "x.csv") == []
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3")
    with pytest.raises(RunError, match="row 3.*Received: 1 cells"):
        runs.read_csv(tmp_path / "x.csv")


def test_default_folder_is_new(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = datetime.datetime(2024, 5, 6, 7, 8, 9)
    first = runs.default_folder("fan", now)
    assert first == pathlib.Path("runs/fan-20240506-070809")
    first.mkdir(parents=True)
    assert runs.default_folder("fan", now).name == "fan-20240506-070809-2"


def test_environment_names_versions_and_code(tmp_path, monkeypatch):
    found = runs.environment("9.9")
    assert found["versions"]["thyroid-keras"] == "9.9"
    assert found["versions"]["numpy"] == np.__version__
    assert found["cores"] >= 1 and found["cpu"] and found["command"].startswith("python ")
    json.dumps(found)
    assert runs.environment()["versions"]["thyroid-keras"] == __version__
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert runs.environment("9.9")["git"] is None
    monkeypatch.setenv("PATH", "")
    assert runs.environment("9.9")["git"] is None


FILTER = '[filter "x"]\nclean = "touch %s; cat"\n'
PROGRAMS = {  # of a repository, which `git status` runs
    "filter": 'printf "$FILTER" >> .git/config',
    "included filter": 'printf "$FILTER" > .git/more; git config include.path more',
    "hook": "git checkout -q f; touch -d yesterday f; "
    'printf "#!/bin/sh\\ntouch $MARKER" > .git/hooks/post-index-change; chmod +x .git/hooks/*',
    "submodule": "git clone -q . in; git add in; cd in; touch -d yesterday f; "
    'printf "$FILTER" >> .git/config; echo "* filter=x" > .gitattributes',
    "fetch": "git config core.repositoryformatversion 1; git config extensions.partialClone x; "
    'git config remote.x.url .; git config remote.x.uploadpack "touch $MARKER; false"; '
    "git config protocol.file.allow always; rm -r .git/objects/??",
}


@pytest.mark.skipif(not shutil.which("git"), reason="asks git")
@pytest.mark.parametrize("kind", PROGRAMS)
def test_no_program_of_a_repository_is_run_for_its_state(kind, tmp_path, monkeypatch):
    marker, folder = tmp_path / "marker", tmp_path / "code"
    folder.mkdir()
    script = (
        "git init -q; mkdir -p .git/hooks; git config user.name a; git config user.email a@b; "
        'echo "* filter=x" > .gitattributes; echo 1 > f; git add f; git commit -qm x; echo 2 > f; '
    )
    more = {"MARKER": str(marker), "FILTER": FILTER % marker}
    run = functools.partial(subprocess.run, cwd=folder, capture_output=True)
    run(["sh", "-ec", script + PROGRAMS[kind]], env=os.environ | more, check=True)
    monkeypatch.chdir(folder)
    git = runs.environment()["git"]
    assert len(git["commit"]) == 40 and not marker.exists()
    if "filter" in kind:
        assert git["dirty"] is None  # not known, rather than wrong
    run(["git", "status"])
    assert marker.exists(), "else nothing was tested"


def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path):
    with Run.create(tmp_path / "empty"):
        pass
    with Run.create(tmp_path / "full") as run:
        run.log("something")
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path):
    with Run.create(tmp_path / "run") as run:
        run.log("begun")
        phase = run.checkpoints / "only"
        (phase / ".tmp-epoch_0003").mkdir(parents=True)
        (phase / "epoch_0002").mkdir()
        run.plots.mkdir()
        for path in (run.folder / ".tmp-1a-model.keras", run.plots / ".tmp-2b-roc.png"):
            path.write_text("half")
        (run.folder / ".tmp-link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    Run.create(tmp_path / "run", resume=True).close()
    assert not list(tmp_path.rglob(".tmp-*"))
    assert (phase / "epoch_0002").exists() and (tmp_path / "elsewhere").exists()


def test_a_run_killed_while_its_first_file_was_written_is_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt), runs.atomic(tmp_path / "run" / "split.csv") as half:
        half.write_text("image,gro")
        os.link(half, half.with_name(".tmp-00000000-split.csv"))  # as a kill would leave it
        raise KeyboardInterrupt
    with Run.create(tmp_path / "run", resume=True) as run:
        run.log("begun anew")
    assert [p.name for p in run.folder.iterdir() if p.name != ".lock"] == ["log.txt"]


@pytest.mark.parametrize("name", ["checkpoints", "plots", "log.txt", "config.json"])
def test_nothing_is_written_through_a_link(name, tmp_path):
    with Run.create(tmp_path / "run") as run:
        run.log("begun")
    (run.folder / "log.txt").rename(run.folder / "log.old")
    (run.folder / name).symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match=f"{name} would be written through a link"):
        Run.create(tmp_path / "run", resume=True)


def test_a_full_disk_is_found_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("thyroid_keras.runs.folder.free_bytes", lambda path: 2**20)
    with pytest.raises(RunError, match="the disk is full, 1 MB are free.*--out"):
        Run.create(tmp_path / "run")
    assert not (tmp_path / "run").exists()


FULL = """
import resource, sys
from thyroid_keras import __version__, runs
run = runs.Run(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for write in (
    lambda: runs.write_json(run.metrics, {"n": 1, "split": "test"}),
    lambda: run.write_history([{"phase": "only", "epoch": 1}]),
    lambda: runs.write_bytes(run.plots / "roc.png", bytes(100)),
    lambda: run.log("a line"),
):
    try:
        write()
    except runs.RunError as error:
        print(error)
"""


def test_every_write_says_that_the_disk_is_full_and_keeps_the_old(tmp_path):
    run = Run(tmp_path)
    runs.write_json(run.metrics, {"n": 0})
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    for line, path in zip(
        lines, (run.metrics, run.history, run.plots / "roc.png", run.log_file), strict=True
    ):
        assert line.startswith(f"{path}: cannot be written, File too large")
        assert "Free space" in line
    assert run.read_metrics() == {"n": 0}
    assert not list(tmp_path.rglob(".tmp-*"))


def test_the_way_on_is_the_command_itself(monkeypatch):
    train = ["python3", "-m", "thyroid_keras.train", "--arch", "fan"]
    monkeypatch.setattr(sys, "orig_argv", train)
    said = runs.way_on("train", "runs/my run")
    expected = "python -m thyroid_keras.train --arch fan --out 'runs/my run' --resume"
    assert said.splitlines()[-1].strip() == expected
    monkeypatch.setattr(sys, "orig_argv", [*train, "--out=x", "--resume"])
    assert runs.way_on("train", "x").endswith("--arch fan --out=x --resume")
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "pytest"])
    assert "resume=True" in runs.way_on("train", "x") and "pytest" not in runs.way_on("train", "x")
