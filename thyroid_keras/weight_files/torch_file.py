"""Tensors out of PyTorch's checkpoint files, without PyTorch and without running pickles.

The pickle in a `.pth` file is interpreted, see `weight_files.opcodes`, and all that it can ask for
is tensors and dictionaries.
"""

import dataclasses
import io
import math
import posixpath
import zipfile

import numpy as np

from thyroid_keras.weight_files.errors import DAMAGE, ConvertError
from thyroid_keras.weight_files.opcodes import Refused, fill, interpret

MAGIC = 0x1950A86A20F9469CFC6C  # of files older than PyTorch 1.6
FIRST = b"\x80"  # byte of a pickle as PyTorch writes it
WRAPPERS = ("state_dict", "model_state_dict", "model", "network")
STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "?",
}


@dataclasses.dataclass
class _Storage:
    type: str
    count: int
    data: bytes = b""

    @property
    def size(self):
        return self.count * np.dtype(STORAGES[self.type]).itemsize

    def fill(self, data):
        if len(data) != self.size:
            raise ValueError("a storage of another size than announced")
        self.data = data


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple
    stride: tuple

    def array(self):
        """The tensor as a read-only view of its storage, which must hold all of it."""
        flat = np.frombuffer(self.storage.data, STORAGES[self.storage.type])
        if self.storage.type == "torch.BFloat16Storage":
            flat = (flat.astype("<u4") << 16).view("<f4")
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps)
        outside = min((self.offset, *self.size, *self.stride)) < 0 or last >= len(flat)
        if outside or math.prod(self.size) > len(flat):
            raise ValueError("a tensor that its storage does not hold")
        strides = [step * flat.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.size, strides, writeable=False
        )


def is_torch_zip(archive):
    """Whether a `zipfile.ZipFile` is a checkpoint of PyTorch 1.6 or later."""
    return any(posixpath.basename(name) == "data.pkl" for name in archive.namelist())


def read_torch(path, content):
    """Reads the tensors of a checkpoint.

    Args:
        path: of the file, for messages.
        content: bytes of the file, of either format of PyTorch's.

    Returns:
        dict from name to array, of the state dictionary that the file holds, be it
        wrapped in a dictionary of a training or not.

    Raises:
        ConvertError: if the file is damaged, holds no named tensors, or asks for anything
            but tensors; nothing of it has run then.
    """
    try:
        read = _read_zip if zipfile.is_zipfile(io.BytesIO(content)) else _read_legacy
        return {name: tensor.array() for name, tensor in _state(read(content)).items()}
    except Refused as error:
        raise ConvertError(
            [
                f"{path}: refused, since it asks for {error}. Only tensors of the usual types are "
                "read, since anything else could run code. Where you trust the file, save the "
                "tensors alone, with torch.save(model.state_dict(), path)"
            ]
        ) from None
    except DAMAGE as error:
        raise ConvertError(
            [f"{path}: not an intact PyTorch checkpoint ({error}). Copy or download it again"]
        ) from error


def _read_zip(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = [name for name in archive.namelist() if posixpath.basename(name) == "data.pkl"]
        if len(pickled) != 1:
            raise ValueError("a zip file without data.pkl")
        root = posixpath.dirname(pickled[0])
        order = posixpath.join(root, "byteorder")
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("written on a big-endian machine")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("PyTorch writes no compressed archives")
        storages = {}
        found = _interpret(io.BytesIO(archive.read(pickled[0])), storages)
        for key, storage in storages.items():
            storage.fill(archive.read(posixpath.join(root, "data", key)))
    return found


def _read_legacy(content):
    stream, storages = io.BytesIO(content), {}
    if not content.startswith(FIRST) or _interpret(stream, storages) != MAGIC:
        raise ValueError("it does not begin as one")
    _interpret(stream, storages)  # number of the protocol
    if not _interpret(stream, storages)["little_endian"]:
        raise ValueError("written on a big-endian machine")
    found = _interpret(stream, storages)
    for key in _interpret(stream, storages):
        storage = storages[key]
        stream.read(8)  # its number of elements once more
        storage.fill(stream.read(storage.size))
    return found


def _state(found):
    """The dictionary of tensors among what a file holds."""
    inner = [found] + [found.get(name) for name in WRAPPERS]
    for candidate in inner:
        if isinstance(candidate, dict):
            tensors = {k: v for k, v in candidate.items() if isinstance(v, _Tensor)}
            if tensors:
                return tensors
    raise ValueError(f"no tensors by name in it, nor under one of {WRAPPERS}")


def _interpret(stream, storages):
    """What the next pickle of a stream describes; adds its storages to `storages`, by key."""

    def refer(identifier):
        kind, type_, key, _, count, *view = identifier
        if kind != "storage" or any(view) or not isinstance(key, str):
            raise ValueError("a reference to something other than a storage")
        return storages.setdefault(key, _Storage(type_.name, count))

    return interpret(stream, calls=CALLS, names=STORAGES, refer=refer)


def _dict(pairs=()):
    filled = {}
    fill(filled, [item for key, value in pairs for item in (key, value)])
    return filled


def _tensor(storage, offset, size, stride, *_):
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without storage")
    return _Tensor(storage, offset, size, stride)


CALLS = {
    "collections.OrderedDict": _dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}
