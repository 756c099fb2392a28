"""What somebody meets who knows none of this: help that answers, and names almost right."""

import importlib
import shlex

import pytest

import thyroid_keras as tk
from thyroid_keras import cli
from thyroid_keras.__main__ import COMMANDS
from thyroid_keras.__main__ import main as overview


def main_of(command):
    module = importlib.import_module(f"thyroid_keras.{command}")
    if not hasattr(module, "main"):
        module = importlib.import_module(f"thyroid_keras.{command}.__main__")
    return module.main


def ends(main, arguments, capsys):
    """Runs a command that must end by itself; returns its status, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, arguments)))
    said = capsys.readouterr()
    return caught.value.code, said.out, said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_defaults_and_examples_that_are_accepted(command, capsys, monkeypatch):
    main = main_of(command)
    status, said, _ = ends(main, ["--help"], capsys)
    assert status == 0 and cli.DISCLAIMER in " ".join(said.split())
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
    status, _, said = ends(main_of(command), arguments, capsys)
    assert status == 2 and way_out in said and "Traceback" not in said


def test_a_name_like_no_other_is_only_refused():
    with pytest.raises(ValueError, match="Did you mean vgg16.*Received: name='VGG-16'"):
        tk.build("VGG-16")
    with pytest.raises(ValueError, match="must be one of") as caught:
        tk.build("transformer")
    assert "Did you mean" not in str(caught.value)


def test_each_fault_is_named_once(capsys):
    _, _, said = ends(main_of("train"), ["--arch", "cs_agnet", "--set", "image_size=-1"], capsys)
    assert said.count("image_size: out of range") == 1


def test_a_command_after_a_space_is_told_its_module(capsys):
    status, _, said = ends(overview, ["train", "--arch", "fan"], capsys)
    assert status == 2 and "`python -m thyroid_keras.train --arch fan`" in said
    status, _, said = ends(overview, ["check-data"], capsys)
    assert status == 2 and "Did you mean check_data?" in said
    overview(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)
