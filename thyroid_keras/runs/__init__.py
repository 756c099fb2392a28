"""The run folder: what is in it, atomic writes, reading it back."""

from thyroid_keras.replacing import flush, make_folder
from thyroid_keras.runs.classes import classes_of, threshold_of
from thyroid_keras.runs.environment import command_line, environment, way_on
from thyroid_keras.runs.files import (
    RunError,
    atomic,
    free_bytes,
    read_csv,
    read_json,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)
from thyroid_keras.runs.folder import Run, default_folder
from thyroid_keras.runs.lock import take_lock
from thyroid_keras.runs.pictures import write_png
from thyroid_keras.runs.writable import require_table, require_writable, unwritable

__all__ = [
    "Run",
    "RunError",
    "atomic",
    "classes_of",
    "command_line",
    "default_folder",
    "environment",
    "flush",
    "free_bytes",
    "make_folder",
    "read_csv",
    "read_json",
    "require_table",
    "require_writable",
    "take_lock",
    "threshold_of",
    "unwritable",
    "way_on",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_png",
    "write_text",
]
