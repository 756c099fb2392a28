"""Decoded pixels of a sample table: in memory, on disk, or read anew each time."""

import os
import shutil
import tempfile
import weakref

import numpy as np

from thyroid_keras.data.decode import ImageError, load_sample
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError

CACHES = ("auto", "memory", "disk", "none")
MEMORY_SHARE = 0.25  # of what is free; the rest is for the network
DISK_SHARE = 0.5


class PixelStore:
    """Images and masks of a table at one size, each file decoded once if there is room.

    Every file is read at construction, whichever cache is chosen, so that all bad files
    are found, and named, before anything is trained.

    Args:
        table: `SampleTable`.
        size: `(H, W)` in pixels.
        channels: 1 or 3.
        cache: `"memory"`, `"disk"` (an unnamed temporary file, gone with the process),
            `"none"`, or `"auto"`: the first of these that fits.
        label: str, what the progress bar calls the work.

    Raises:
        DataError: with every file that cannot be read.
        ValueError: if `cache` is unknown.
    """

    def __init__(self, table, size, channels=1, *, cache="auto", label="Reading images"):
        if cache not in CACHES:
            raise ValueError(f"`cache` must be one of {CACHES}. Received: cache={cache!r}")
        self.table = table
        self.size = tuple(size)
        self.channels = channels
        self.has_masks = any(s.mask is not None for s in table.samples)
        self._record = (*self.size, channels + self.has_masks)
        self.cache = choose_cache(len(table) * self._record_bytes) if cache == "auto" else cache
        self._pixels = self._file = None
        if self.cache == "memory":
            self._pixels = np.empty((len(table), *self._record), np.uint8)
        elif self.cache == "disk":
            self._file = tempfile.TemporaryFile(prefix="thyroid_keras_")
            weakref.finalize(self, self._file.close)
        self._fill(label)

    @property
    def _record_bytes(self):
        return int(np.prod(self._record))

    def read(self, indices):
        """Returns images uint8 `(B, H, W, C)` and masks uint8 `(B, H, W, 1)` or `None`.

        The mask of a sample that has none is empty.
        """
        if self._pixels is not None:
            planes = self._pixels[indices]
        else:
            read = self._decode if self._file is None else self._read_record
            planes = np.stack([read(i) for i in indices])
        masks = planes[..., self.channels :] if self.has_masks else None
        return planes[..., : self.channels], masks

    def _decode(self, index):
        image, mask = load_sample(self.table.samples[index], self.size, self.channels)
        planes = np.zeros(self._record, np.uint8)
        planes[..., : self.channels] = image.reshape(*self.size, self.channels)
        if mask is not None:
            planes[..., self.channels] = mask
        return planes

    def _read_record(self, index):
        data = os.pread(self._file.fileno(), self._record_bytes, index * self._record_bytes)
        return np.frombuffer(data, np.uint8).reshape(self._record)

    def _keep(self, index):
        try:
            planes = self._decode(index)
        except ImageError as error:
            return str(error)
        if self._pixels is not None:
            self._pixels[index] = planes
        elif self._file is not None:
            place = index * self._record_bytes
            if os.pwrite(self._file.fileno(), planes.tobytes(), place) < self._record_bytes:
                return f"{tempfile.gettempdir()}: the disk is full; free space or set cache=none"
        return None

    def _fill(self, label):
        done = map_threads(self._keep, range(len(self.table)), label)
        problems = [problem for problem in done if problem]
        if problems:
            raise DataError(problems)


def empty_pixels(shape):
    """Returns an uint8 array to be filled, on disk where memory has no room for it."""
    if choose_cache(int(np.prod(shape))) == "memory":
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="thyroid_keras_") as file:
        return np.memmap(file, np.uint8, "w+", shape=tuple(shape))


def choose_cache(num_bytes):
    """Returns `"memory"`, `"disk"` or `"none"`: the first that has room for `num_bytes`."""
    if num_bytes <= MEMORY_SHARE * _free_memory():
        return "memory"
    if num_bytes <= DISK_SHARE * shutil.disk_usage(tempfile.gettempdir()).free:
        return "disk"
    return "none"


def _free_memory():
    """Bytes that can be had without swapping; half of all where the system won't tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
