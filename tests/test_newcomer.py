"""What somebody meets who knows none of this: help that answers, and names almost right."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from check import fails
from PIL import Image

import thyroid_keras as tk
from thyroid_keras import cli
from thyroid_keras.__main__ import COMMANDS
from thyroid_keras.__main__ import main as overview
from thyroid_keras.data.readers import FORMATS
from thyroid_keras.recipes import RECIPES
from thyroid_keras.runs import RunError, require_writable
from thyroid_keras.transfer.experiment import CLASSIFIER

HOUSE = Path(__file__).parents[1]
PAGES = ["README.rst", "RESULTS.rst", "CHANGELOG.rst", "saved_models/README.rst"]


def main_of(command):
    module = importlib.import_module(f"thyroid_keras.{command}")
    if not hasattr(module, "main"):
        module = importlib.import_module(f"thyroid_keras.{command}.__main__")
    return module.main


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_defaults_and_examples_that_are_accepted(command, capsys, monkeypatch):
    main = main_of(command)
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert cli.DISCLAIMER in " ".join(said.split())
    assert "default: None" not in said and "default: False" not in said and "%%" not in said
    assert "--seed N" not in said or "(default: 0)" in said
    examples = said.partition("\nExample:\n")[2]
    asked = []
    monkeypatch.setattr(cli, "run", lambda function, **arguments: asked.append(arguments))
    for line in examples.splitlines():
        python, dash_m, module, *arguments = shlex.split(line)
        assert (python, dash_m, module) == ("python", "-m", f"thyroid_keras.{command}")
        main(arguments)
    assert len(asked) == len(examples.splitlines()) > 0


MISSPELT = {
    "network": ("train", ["--arch", "CS-AGnet"], "Did you mean cs_agnet?"),
    "network to list": ("train", ["--arch", "fam", "--set", "help"], "Did you mean fan?"),
    "network to bench": ("bench", ["--arch", "resnet_18"], "Did you mean resnet18?"),
    "folds": ("crossval", ["--arch", "cs_agne", "--folds", "3"], "Did you mean cs_agnet?"),
    "setting": ("train", ["--arch", "fan", "--set", "epoch=3"], "Did you mean epochs?"),
    "table": ("table", ["cs_agnet1"], "Did you mean cs_agnet_1?"),
    "seed": ("compare", ["runs/a", "runs/b", "--seed", "-1"], "Received: seed=-1"),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_what_is_almost_right_is_told_what_is(case, capsys):
    command, arguments, way_out = MISSPELT[case]
    said = fails(main_of(command), arguments, capsys)
    assert way_out in said


def test_every_network_that_is_built_can_be_trained():
    assert set(tk.list_archs()) < set(RECIPES)


def test_a_text_is_no_checkpoint(tmp_path, capsys):
    note = tmp_path / "notes.pth"
    note.write_text("to be done\n")
    words = [note, "--arch", "sononet", "--out", tmp_path / "model.keras"]
    assert "it does not begin as one" in fails(main_of("convert"), words, capsys)


def test_a_name_like_no_other_is_only_refused():
    with pytest.raises(ValueError, match="Did you mean vgg16.*Received: name='VGG-16'"):
        tk.build("VGG-16")
    with pytest.raises(ValueError, match="must be one of") as caught:
        tk.build("transformer")
    assert "Did you mean" not in str(caught.value)


def test_each_fault_is_named_once(capsys):
    said = fails(main_of("train"), ["--arch", "cs_agnet", "--set", "image_size=-1"], capsys)
    assert said.count("image_size: out of range") == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", ["--arch", "cs_agnet", "--fold", "1", "--resume", "--seed", "-1"]),
        ("crossval", ["--arch", "cs_agnet", "--folds", "1", "--resume", "--seed", "-1"]),
        ("table", ["fan_2", "--jobs", "0", "--minutes", "0", "--seed", "-1"]),
        ("table", ["all", "--jobs", "0", "--minutes", "0", "--seed", "-1"]),
        ("table", ["claims", "--seed", "-1"]),
    ],
)
def test_all_options_that_are_wrong_are_named_at_once(command, arguments, capsys):
    said = fails(main_of(command), arguments, capsys)
    asked = [word for word in arguments if word.startswith("--") and word != "--arch"]
    assert all(word in said for word in asked)


def test_a_command_after_a_space_is_told_its_module(capsys):
    said = fails(overview, ["train", "--arch", "fan"], capsys)
    assert "`python -m thyroid_keras.train --arch fan`" in said
    said = fails(overview, ["check-data"], capsys)
    assert "Did you mean check_data?" in said
    overview(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)


ORDER = {
    "check_data": ("data", "--json", "{out}"),
    "borders": ("data", "--out", "{out}"),
    "compare": ("runs/a", "runs/b", "--json", "{out}"),
    "compare to a folder": ("runs/a", "runs/b", "--out", "{out}"),
    "explain": ("runs/a", "picture.png", "--out", "{out}"),
    "predict": ("runs/a", "picture.png", "--out", "{out}"),
    "predict by features": ("features", "picture.png", "--out", "{out}"),
    "bench": ("--arch", "fan", "--profile", "{out}"),
}


@pytest.mark.parametrize("case", ORDER)
def test_what_cannot_be_written_is_said_first(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("no folder")
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / CLASSIFIER).touch()  # as in a run of bottleneck
    arguments = [word.format(out="note.txt/out") for word in ORDER[case]]
    said = fails(main_of(case.split()[0]), arguments, capsys)
    assert said.startswith("error: note.txt/out") and "cannot be written" in said
    assert "--resume" not in said and {path.name for path in tmp_path.iterdir()} == {
        "features",
        "note.txt",
    }


def test_asking_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    require_writable(None, tmp_path / "new" / "deep" / "file.csv", tmp_path / "file.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "old.csv").write_text("old")
    require_writable(tmp_path / "kept" / "old.csv")
    with pytest.raises(RunError, match="kept: cannot be written, Is a directory") as caught:
        require_writable(tmp_path / "kept", tmp_path / "kept" / "old.csv" / "x")
    assert len(str(caught.value).splitlines()) == 2
    assert (tmp_path / "kept" / "old.csv").read_text() == "old"


def test_holiday_pictures_are_told_how_to_lie(tmp_path, capsys):
    folder = tmp_path / "Urlaub in Österreich"
    folder.mkdir()
    Image.new("RGB", (40, 30), (9, 200, 90)).save(folder / "IMG 1.jpg")
    for command, arguments in {
        "check_data": [folder],
        "train": ["--arch", "fan", "--data", folder],
        "table": ["fan_2", "--data", folder],
    }.items():
        said = fails(main_of(command), arguments, capsys)
        assert "'IMG 1.jpg'" in said and str(folder) in said
        accepted = [line for line in said.splitlines() if line.startswith("  - ")]
        assert len(accepted) == len(FORMATS) and "<class>" in accepted[0]


def test_limits_of_all_tables_are_checked_before_the_first(capsys):
    for words in (["all"], ["cs_agnet_1"]):
        words = [*words, "--minutes", "0", "--jobs", "0"]
        said = fails(main_of("table"), words, capsys)
        assert "minutes=0.0" in said and "jobs=0" in said


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_files_that_are_there_and_keep_the_heads_of_their_tables(page):
    path = HOUSE / page
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"<([\w/.]+\.rst)>`_", text)
    assert all((path.parent / link).is_file() for link in links)
    files = re.findall(r"``((?:notebooks|tests)/\w+\.\w+)``", text)
    assert all((HOUSE / file).is_file() for file in files), files
    # a line whose first cell is blank goes on with the one before: as a head it is dropped
    assert not re.search(r"\n\n=+ [ =]+\n ", text)
