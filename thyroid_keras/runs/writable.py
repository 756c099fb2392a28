"""Whether something can be written, asked before the work is done that makes it."""

import contextlib
import errno
import os
import pathlib
import tempfile

from thyroid_keras.runs.files import RunError
from thyroid_keras.runs.folder import Run

OTHER_TABLES = ("calcifications.csv", "folds.csv")  # of some runs


def require_writable(*paths):
    """Refuses paths that no file can be written to; leaves nothing behind.

    Args:
        *paths: of files, which may exist; their folders need not. `None` is passed over.

    Raises:
        RunError: with all that cannot be written.
    """
    if problems := unwritable(*paths):
        raise RunError("\n".join(problems))


def require_table(path):
    """Refuses a path of which `predict` should make no table; leaves nothing behind.

    Args:
        path: of a file, which may exist; its name must end in `.csv`, lest a picture be
            replaced, and it must be no file of a run.

    Raises:
        RunError: naming why.
    """
    require_writable(path)
    path = pathlib.Path(path)
    received = f"Received: out={str(path)!r}"
    if path.suffix.lower() != ".csv":
        raise RunError(
            f"{path}: the name of a table ends in .csv; choose another --out. {received}"
        )
    run = Run(path.parent)
    tables = {run.split.name, run.history.name, run.predictions.name, *OTHER_TABLES}
    if run.config.exists() and path.name in tables:
        raise RunError(
            f"{path}: is a file of the run in that folder and would be replaced; choose another "
            f"--out. {received}"
        )


def unwritable(*paths):
    """As `require_writable`, but returns a list of str, one for each path that is refused."""
    return [fault for path in paths if path is not None and (fault := _fault(path))]


def _fault(path):
    path = pathlib.Path(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return None
    except OSError as error:
        return (
            f"{path}: cannot be written, {error.strerror or error}. Choose another path. "
            f"Received: path={str(path)!r}"
        )
    finally:
        for folder in missing:  # the deepest comes first
            with contextlib.suppress(OSError):
                folder.rmdir()
