"""Numbered versions of a model, each there as a whole or not at all."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from thyroid_keras.runs import RunError, take_lock

_UNFINISHED = ".unfinished-"  # no number, so no server takes it for a version; nor is .lock


def check_target(folder):
    """Finds out early whether versions can be published in a folder, which may be missing.

    Raises:
        RunError: if it, or what is to hold it, is a file or cannot be written to.
    """
    folder = Path(folder)
    existing = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
    if not existing.is_dir():
        raise _unwritable(folder, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"{existing} may not be written to")


def publish(folder, write):
    """Makes the next version below a folder.

    A server that watches the folder sees the version appear complete: it is written
    under a hidden name, and renamed when it is on the disk. Exports into one folder
    take turns; what a killed one left behind is removed by the next.

    Args:
        folder: path, made where it is missing; names in it that are whole numbers are
            its versions.
        write: function of the path of an empty folder, which it fills.

    Returns:
        `pathlib.Path` of the version.

    Raises:
        RunError: if the disk is full, or `folder` cannot be written to.
    """
    folder = Path(folder)
    check_target(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            for left in folder.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left)
            unfinished = folder / f"{_UNFINISHED}{secrets.token_hex(4)}"
            unfinished.mkdir()
            try:
                write(unfinished)
                for path in (*unfinished.rglob("*"), unfinished):
                    _sync(path)
                version = folder / str(_latest(folder) + 1)
                unfinished.rename(version)
                _sync(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or error) from error
    return version


def _unwritable(folder, reason):
    return RunError(
        f"{folder}: no version can be written there, {reason}. Free space or choose another "
        f"folder with `--to`. Received: to={str(folder)!r}"
    )


@contextlib.contextmanager
def _locked(folder):
    lock = take_lock(folder, wait=True)
    try:
        yield
    finally:
        os.close(lock)


def _latest(folder):
    names = (path.name for path in folder.iterdir())
    return max((int(n) for n in names if n.isascii() and n.isdecimal()), default=0)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
