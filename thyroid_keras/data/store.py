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
NO_ROOM = "{}: the cache cannot be written ({}); free space or set cache=none"
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
        self._image_shape = (*self.size, channels)
        self._mask_shape = (*self.size, 1)
        self._image_bytes = int(np.prod(self._image_shape))
        self._record_bytes = self._image_bytes + self.has_masks * int(np.prod(self._mask_shape))
        self.cache = choose_cache(len(table) * self._record_bytes) if cache == "auto" else cache
        self._images = self._masks = self._file = None
        if self.cache == "memory":
            self._images = np.empty((len(table), *self._image_shape), np.uint8)
            if self.has_masks:
                self._masks = np.empty((len(table), *self._mask_shape), np.uint8)
        elif self.cache == "disk":
            self._file = tempfile.TemporaryFile(prefix="thyroid_keras_")
            weakref.finalize(self, self._file.close)
        self._fill(label)

    def read(self, indices):
        """Returns images uint8 `(B, H, W, C)` and masks uint8 `(B, H, W, 1)` or `None`.

        The mask of a sample that has none is empty.
        """
        if self._images is not None:
            return self._images[indices], self._masks[indices] if self.has_masks else None
        read = self._decode if self._file is None else self._read_record
        images, masks = zip(*(read(i) for i in indices), strict=True)
        return np.stack(images), np.stack(masks) if self.has_masks else None

    def _decode(self, index):
        image, mask = load_sample(
            self.table.samples[index], self.size, self.channels, clean=self.table.clean
        )
        if self.has_masks:
            mask = np.zeros(self.size, np.uint8) if mask is None else mask
            mask = mask.reshape(self._mask_shape)
        return image.reshape(self._image_shape), mask

    def _read_record(self, index):
        data = os.pread(self._file.fileno(), self._record_bytes, index * self._record_bytes)
        pixels = np.frombuffer(data, np.uint8)
        image = pixels[: self._image_bytes].reshape(self._image_shape)
        mask = pixels[self._image_bytes :].reshape(self._mask_shape) if self.has_masks else None
        return image, mask

    def _keep(self, index):
        try:
            image, mask = self._decode(index)
        except ImageError as error:
            return str(error)
        if self._images is not None:
            self._images[index] = image
            if self.has_masks:
                self._masks[index] = mask
        elif self._file is not None:
            data = image.tobytes() + (mask.tobytes() if self.has_masks else b"")
            place = index * self._record_bytes
            try:
                if os.pwrite(self._file.fileno(), data, place) < self._record_bytes:
                    return NO_ROOM.format(tempfile.gettempdir(), "disk full")
            except OSError as error:
                return NO_ROOM.format(tempfile.gettempdir(), error.strerror)
        return None

    def _fill(self, label):
        done = map_threads(self._keep, range(len(self.table)), label)
        problems = dict.fromkeys(problem for problem in done if problem)
        if problems:
            raise DataError(list(problems))


def empty_pixels(shape):
    """Returns an uint8 array to be filled, on disk where memory has no room for it."""
    if choose_cache(int(np.prod(shape))) == "memory":
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="thyroid_keras_") as file:
        return np.memmap(file, np.uint8, "w+", shape=tuple(shape))


def choose_cache(num_bytes):
    """Returns `"memory"`, `"disk"` or `"none"`: the first that has room for `num_bytes`."""
    if num_bytes <= MEMORY_SHARE * free_memory():
        return "memory"
    if num_bytes <= DISK_SHARE * shutil.disk_usage(tempfile.gettempdir()).free:
        return "disk"
    return "none"


def free_memory():
    """Bytes that can be had without swapping; half of all where the system won't tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
