"""Files that are either the old version or the new one, never a part of it."""

import contextlib
import csv
import functools
import io
import json
import math
import os
import pathlib
import shutil
import stat

import numpy as np

from thyroid_keras.replacing import TEMPORARY, replacing
from thyroid_keras.runs.form import misfits

# a spreadsheet takes a cell that begins so for a formula; ' is the mark itself
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
MAX_BYTES = 64 * 2**20  # of a text that is read back; a larger one is not ours


class RunError(ValueError):
    """A mistake of the user's about a run: the message names the path and the way out."""


@contextlib.contextmanager
def atomic(path):
    """As `replacing`, but raises `RunError` where the file cannot be written."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written, {error.strerror or error}; what was there before is "
            "untouched. Free space or choose another path; a run goes on with `--resume`. "
            f"Received: path={str(path)!r}"
        ) from error


def free_bytes(path):
    """Returns the room on the disk where a path is, or will be."""
    path = pathlib.Path(path).absolute()
    disk = shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists()))
    return disk.free if disk.total else math.inf  # the kernel's own have no size


def sweep(folder):
    """Removes what killed writers left in a folder in which nobody writes now."""
    for path in pathlib.Path(folder).glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_bytes(path, content):
    """Writes bytes, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path, text):
    """Writes UTF-8, atomically; bytes of file names that are not UTF-8 pass unchanged."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path, value):
    """Writes JSON, atomically: NaN and infinities as null, NumPy's types as Python's."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def _plain(value):
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, pathlib.PurePath) else value


class Entries(dict):
    """What a JSON object held; asking for an entry that it lacks is a `RunError`."""

    def __init__(self, path, entries):
        super().__init__(entries)
        self.path = path

    def __missing__(self, name):
        raise RunError(
            f"{self.path}: has no entry {name!r}. Restore the file or repeat the run. "
            f"Received: entries={', '.join(map(str, self))!r:.200}"
        )


def read_json(path, form=None):
    """Reads a JSON object.

    Args:
        path: of the file.
        form: of its entries, see `runs.form.misfits`.

    Returns:
        `Entries`.

    Raises:
        RunError: if the file is absent or holds anything else.
    """
    try:
        value = json.loads(
            _read_text(path),
            object_hook=functools.partial(Entries, path),
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(
            f"{path}: not JSON, {error}. Restore the file or repeat the run. "
            f"Received: path={str(path)!r}"
        ) from error
    if not isinstance(value, dict):
        raise RunError(
            f"{path}: should hold a JSON object, as the run wrote it. "
            f"Received: a {type(value).__name__}"
        )
    if problems := misfits(value, form or {}):
        raise RunError(
            f"{path}: not as a run writes it. Restore the file or repeat the run. "
            f"Received: {'; '.join(problems)}"
        )
    return value


def _refuse_constant(name):
    raise ValueError(f"{name} is no number")


def _read_text(path):
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise OSError(f"no file of at most {MAX_BYTES >> 20} MB")
        return pathlib.Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read, {error.strerror or error}. Is this the folder of a "
            f"finished run? Received: path={str(path)!r}"
        ) from error


def write_csv(path, rows):
    """Writes a table, atomically.

    Missing values are empty cells. Text that a spreadsheet would run as a formula (file
    names come from strangers) begins with an apostrophe, which `read_csv` takes off.

    Args:
        path: of the file.
        rows: sequence of dicts from column name to cell; columns in order of appearance.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns:
        writer.writerow([_cell(c) for c in columns])
    writer.writerows([_cell(row.get(c)) for c in columns] for row in rows)
    write_text(path, text.getvalue())


def _cell(value):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    value = str(value)
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def read_csv(path):
    """Reads a table that `write_csv` wrote, as a list of dicts of str.

    Raises:
        RunError: if the file is absent or a row has another number of cells.
    """
    try:
        reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
        header, *rows = [[cell.removeprefix("'") for cell in row] for row in reader] or [[]]
    except csv.Error as error:
        raise RunError(
            f"{path}: not a table, {error}. Restore the file or repeat the run. "
            f"Received: path={str(path)!r}"
        ) from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise RunError(
                f"{path}, row {number}: should have {len(header)} cells. Restore the file or "
                f"repeat the run. Received: {len(row)} cells"
            )
    return [dict(zip(header, row, strict=True)) for row in rows]
