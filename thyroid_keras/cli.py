"""What all commands share: how they ask, complain and end."""

import argparse
import errno
import os
import shutil
import signal
import sys
import textwrap

from thyroid_keras.data.paths import escaped
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.readers import FORMATS
from thyroid_keras.data.samples import DataError
from thyroid_keras.loading import ModelError
from thyroid_keras.preparation import ON_BAD, SCALES
from thyroid_keras.recipes import RECIPES
from thyroid_keras.runs import RunError
from thyroid_keras.training import CheckpointError, Diverged, Interrupted, SettingError
from thyroid_keras.training.backend import PRECISIONS
from thyroid_keras.weight_files.errors import ConvertError

USER_ERRORS = (
    CheckpointError,
    ConvertError,
    DataError,
    ImageError,
    ModelError,
    RunError,
    SettingError,
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
DISCLAIMER = "Research use only; not a medical device."


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows a default where there is one, and examples as they are typed."""

    def _get_help_string(self, action):
        nothing = action.default in (None, [], argparse.SUPPRESS) or action.default is False
        return action.help if nothing else super()._get_help_string(action)


def parser(command, description, *, example, more=""):
    """Returns an `argparse` parser for `python -m thyroid_keras.<command>`.

    Args:
        command: its name.
        description: sentences that say what it does.
        example: arguments of an example, a command per line.
        more: sentences that follow the options.
    """
    width = max(shutil.get_terminal_size().columns - 2, 40)
    lines = [f"  python -m thyroid_keras.{command} {line}" for line in example.splitlines()]
    return argparse.ArgumentParser(
        prog=f"python -m thyroid_keras.{command}",
        description=textwrap.fill(f"{description} {DISCLAIMER}", width),
        epilog="\n".join([*textwrap.wrap(more, width), "", "Example:", *lines]).lstrip(),
        formatter_class=_Formatter,
    )


SHARED = {
    "--arch": {
        "required": True,
        "metavar": "NAME",
        "help": f"network, one of {', '.join(sorted(RECIPES))}",
    },
    "--data": {
        "metavar": "PATH",
        "help": "folder, manifest.csv or packed .npz; default: the phantom, simulated ultrasound",
    },
    "--target": {
        "metavar": "LABELS",
        "help": "which labels, where the data has several, e.g. calcification",
    },
    "--format": {"choices": sorted(FORMATS), "help": "of the data; default: as recognised"},
    "--recipe": {
        "choices": SCALES,
        "help": "quick: minutes; paper: the paper's settings; default: quick without a GPU",
    },
    "--set": {
        "dest": "settings",
        "action": "extend",
        "nargs": "+",
        "default": [],
        "metavar": "FIELD=VALUE",
        "help": "replaces settings of the recipe; `train --arch NAME --set help` lists them",
    },
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of all that is random"},
    "--precision": {
        "choices": PRECISIONS,
        "default": "auto",
        "help": "of the arithmetic; auto: the fastest that this machine computes in",
    },
    "--on-bad": {
        "choices": ON_BAD,
        "default": "fail",
        "help": "faulty files: fail: end and list them; skip: leave them out and count them",
    },
}


def add_shared(parser, *names):
    """Adds options that mean the same in every command, by their names in `SHARED`."""
    for name in names:
        parser.add_argument(name, **SHARED[name])


def run(function, **arguments):
    """Calls a command's function and ends the process with its exit status.

    0 done; 2 the user's input is wrong, every problem on stderr; 3 the training
    diverged; 128 + signal number if interrupted, also by the end of the reader of a
    pipe. No traceback for any of these, nor for a full disk.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the start had its own
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's has not
        sys.stdout.reconfigure(errors="backslashreplace")  # as that of stderr
    try:
        status = _call(function, arguments)
        if sys.stdout is not None:  # closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        status = 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _drop_output()
        status = _said("error", f"{error.strerror}; free space and repeat the command", 2)
    if status:
        sys.exit(status)


def _drop_output():
    """Or the interpreter would fail to write the rest when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _call(function, arguments):
    """The exit status of a function, what went wrong said on stderr."""
    try:
        function(**arguments)
    except USER_ERRORS as error:
        return _said("error", error, 2)
    except Diverged as error:
        return _said("diverged", error, 3)
    except Interrupted as error:
        return _said("interrupted", error, 128 + error.signal_number)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _said(how, error, status):
    # names of files, and what is in files, come from strangers
    lines = map(escaped, str(error).split("\n"))
    print(f"{how}: " + "\n".join(lines), file=sys.stderr)
    return status
