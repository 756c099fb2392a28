"""A file that is either the old version or the new one, never a part of it."""

import contextlib
import os
import pathlib
import secrets

TEMPORARY = ".tmp-"  # begins the name of whatever is not yet whole


@contextlib.contextmanager
def replacing(path):
    """Lends a temporary path beside `path`, which replaces it when the block ends well.

    The name keeps its suffix, which some writers demand. A block that raises leaves
    `path` as it was.

    Args:
        path: of the file to be written; its folder is made where it is missing.

    Yields:
        `pathlib.Path` of the temporary file, which the block writes.

    Raises:
        OSError: if the disk is full, or the file cannot be written for another reason.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        make_folder(path.parent)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(path):
    """Makes a folder and its parents where they are missing, to survive a power cut."""
    path = pathlib.Path(path)
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        flush(path.parent)


def flush(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
