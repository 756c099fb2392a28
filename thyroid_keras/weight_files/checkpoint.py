"""Arrays by name out of a checkpoint file, whoever wrote it."""

import io
import math
import pathlib
import zipfile

import numpy as np

from thyroid_keras.weight_files.errors import DAMAGE, ConvertError
from thyroid_keras.weight_files.torch_file import is_torch_zip, read_torch

LIMIT_BYTES = 2**31  # the largest network here has 140 million parameters


def read_checkpoint(path):
    """Reads the arrays of a checkpoint; nothing in the file is executed.

    Args:
        path: of an `.npz` file or of PyTorch's, told apart by content.

    Returns:
        dict from name to array.

    Raises:
        ConvertError: if the file is missing, damaged, larger than 2 GiB, or no such file.
    """
    path = pathlib.Path(path)
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ConvertError([f"{path}: larger than 2 GiB, too large for these networks"])
        content = path.read_bytes()
    except OSError as error:
        raise ConvertError(
            [
                f"{path}: cannot be read, {error.strerror or error}; check the path. "
                f"Received: checkpoint={str(path)!r}"
            ]
        ) from error
    if _is_npz(content):
        return _read_npz(path, content)
    return read_torch(path, content)


def _is_npz(content):
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return not is_torch_zip(archive)
    except DAMAGE:  # left to the other reader, which says what is wrong
        return False


def _read_npz(path, content):
    arrays, problems = {}, []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > LIMIT_BYTES:
            raise ConvertError([f"{path}: unpacks to over 2 GiB, too large for these networks"])
        for info in archive.infolist():
            try:
                with archive.open(info) as member:
                    _check_size(member, info.file_size)
                    array = np.lib.format.read_array(member, allow_pickle=False)
                arrays[info.filename.removesuffix(".npy")] = array
            except DAMAGE as error:
                problems.append(
                    f"{path}, {info.filename}: not an array that can be read safely ({error})"
                )
    if problems or not arrays:
        raise ConvertError(problems or [f"{path}: no arrays in it"])
    return arrays


def _check_size(member, num_bytes):
    """Refuses a header that promises more than there is, which would be allocated first."""
    formats = np.lib.format
    readers = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
    version = formats.read_magic(member)
    if version not in readers:
        raise ValueError(f"of the unknown version {version}")
    shape, _, dtype = readers[version](member)
    if math.prod(shape) * dtype.itemsize > num_bytes:
        raise ValueError(f"cut off: {num_bytes} bytes for the shape {shape}")
    member.seek(0)
