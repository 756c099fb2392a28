"""Names of files: which may be used, and how messages show those that may not."""

import os
import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST = 200
_LONGEST_CELL = 255  # as of the names of files


def escaped(text):
    """Returns text with all that a terminal might obey spelt out, line ends too."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shown(text):
    """Returns a name that prints on one line anywhere, cut where it is very long."""
    text = escaped(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def name_fault(name):
    """Says why a name cannot be written into a CSV file and read back; `None` if it can."""
    if _UNSAFE.search(name):
        return "its name holds control characters or bytes that are not UTF-8; rename it"
    return None


def cell_fault(cell):
    """Says why the cell of a table can be neither a class nor a group; `None` if it can."""
    if name_fault(cell):
        return "holds control characters or bytes that are not UTF-8; remove them"
    if len(cell) > _LONGEST_CELL:
        return f"has {len(cell)} characters, at most {_LONGEST_CELL} are read; shorten it"
    return None


def path_fault(root, path):
    """Says why the file at `path` must not be read; `None` if it may.

    It must be a plain file, or a link to one, that lies below `root` when links are
    followed.

    Args:
        root: the data set's folder, resolved by `os.path.realpath`.
        path: of the file, not resolved.
    """
    try:
        target = os.path.realpath(path)
        if leaves(root, target):
            return "leaves the folder of the data set; copy the file into it"
        if os.path.isdir(target):
            return "is a folder, not a file; rename or remove it"
        if not os.path.lexists(target):
            return "no such file; correct the path or restore the file"
        if not os.path.isfile(target):
            return "is no plain file; remove it or put the picture in its place"
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        return f"cannot be used ({getattr(error, 'strerror', None) or error}); correct the path"
    return name_fault(path)


def leaves(root, target):
    """Whether a resolved path lies outside of the resolved folder `root`."""
    return os.path.commonpath([root, target]) != root
