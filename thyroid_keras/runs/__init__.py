"""The run folder: what is in it, atomic writes, reading it back."""

from thyroid_keras.runs.environment import command_line, environment
from thyroid_keras.runs.files import (
    RunError,
    atomic,
    read_csv,
    read_json,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)
from thyroid_keras.runs.folder import Run, default_folder

__all__ = [
    "Run",
    "RunError",
    "atomic",
    "command_line",
    "default_folder",
    "environment",
    "read_csv",
    "read_json",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_text",
]
