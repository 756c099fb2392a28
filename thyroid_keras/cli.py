"""What all commands share: how they ask, complain and end."""

import argparse
import signal
import sys

from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.samples import DataError
from thyroid_keras.loading import ModelError
from thyroid_keras.runs import RunError
from thyroid_keras.training import CheckpointError, Diverged, Interrupted, SettingError
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
DISCLAIMER = "Research use only; not a medical device."


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one."""

    def _get_help_string(self, action):
        shown = action.default not in (None, False, [], argparse.SUPPRESS)
        return super()._get_help_string(action) if shown else action.help


def parser(command, description, epilog=None):
    """Returns an `argparse` parser for `python -m thyroid_keras.<command>`."""
    return argparse.ArgumentParser(
        prog=f"python -m thyroid_keras.{command}",
        description=f"{description} {DISCLAIMER}",
        epilog=epilog,
        formatter_class=_Formatter,
    )


def run(function, **arguments):
    """Calls a command's function and ends the process with its exit status.

    0 done; 2 the user's input is wrong, every problem on stderr; 3 the training
    diverged; 128 + signal number if interrupted. No traceback for any of these.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the start had its own
    try:
        function(**arguments)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Diverged as error:
        print(f"diverged: {error}", file=sys.stderr)
        sys.exit(3)
    except Interrupted as error:
        print(f"interrupted: {error}", file=sys.stderr)
        sys.exit(128 + error.signal_number)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
