"""Bottleneck features of a table's images and of augmented copies, kept on disk.

Shape key: V views (the image itself, then its copies), N images, F features.
"""

import dataclasses
import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from thyroid_keras.data.augment import TRANSFER, augment
from thyroid_keras.data.dicom import split_frame
from thyroid_keras.data.progress import track
from thyroid_keras.data.store import PixelStore
from thyroid_keras.runs import write_bytes
from thyroid_keras.transfer.network import fingerprint

BATCH_SIZE = 32
PIXELS = 3  # to be raised when pictures are read, cleaned or augmented otherwise than before
SUFFIX = ".features"
_DIGEST = 32  # bytes of SHA-256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction:
    """Features of a table's images, and what it took to get them.

    Args:
        features: float32 `(V, N, F)`; those of the images themselves are the first.
        computed: images and copies that went through the network now.
        seconds: that they took.
    """

    features: np.ndarray
    computed: int
    seconds: float


def extract(network, table, *, cleaning="none", copies=3, seed=0, cache=None):
    """Computes the features of all images of a table, or reads them from the cache.

    Args:
        network: result of `network.feature_network`.
        table: `SampleTable`.
        cleaning: str that stands for what `table.clean` does.
        copies: int >= 0, copies of each image augmented by `augment.TRANSFER`.
        seed: int >= 0, of the copies.
        cache: folder; `None`: nothing is kept. A file in it is found again by the content
            of the pictures, the network with its weights, and the augmentation, and taken
            only if it is whole.

    Returns:
        `Extraction`.

    Raises:
        DataError: with every file that cannot be read.
        RunError: if the cache cannot be written.
    """
    source = f"{PIXELS} {fingerprint(network)} {_content_of(table)} {cleaning}"
    shape = len(table), network.output_shape[1]
    keys = [source, *(f"{source} {TRANSFER} {seed} {c}" for c in range(1, copies + 1))]
    names = [hashlib.sha256(key.encode()).hexdigest() + SUFFIX for key in keys]
    paths = [None if cache is None else Path(cache) / name for name in names]
    views = [None if path is None else _read(path, shape) for path in paths]
    missing = [i for i, values in enumerate(views) if values is None]
    start = time.monotonic()
    if missing:
        store = PixelStore(table, network.input_shape[1:3], 3)
        start = time.monotonic()
    for i in missing:
        change, word = (TRANSFER, f"copies {i} of {copies}") if i else (None, "images")
        views[i] = features_of(network, store, f"Features of {word}", change, [seed, i])
        if cache is not None:
            _write(paths[i], views[i])
    seconds = time.monotonic() - start
    return Extraction(features=np.stack(views), computed=len(missing) * len(table), seconds=seconds)


def features_of(network, store, label, augmentation=None, seed=0):
    """Computes the features of all images of a store.

    Args:
        network: result of `network.feature_network`.
        store: `PixelStore` of the network's size, three channels.
        label: what the progress bar calls the work.
        augmentation: `Augmentation`, or `None` for the images as they are.
        seed: int >= 0 or a sequence of them, of the augmentation.

    Returns:
        float32 `(N, F)`.
    """
    rng, found = np.random.default_rng(seed), []

    def prepare(start):
        chosen = np.arange(start, min(start + BATCH_SIZE, len(store.table)))
        return augment(store.read(chosen)[0], None, augmentation, rng)[0]

    first, *others = range(0, len(store.table), BATCH_SIZE)
    with ThreadPoolExecutor(1) as ahead:  # while the network works on the batch before
        images = ahead.submit(prepare, first)
        for start in track([*others, None], label):
            ready, images = images.result(), ahead.submit(prepare, start) if start else None
            found.append(np.asarray(network.predict_on_batch(ready), np.float32))
    return np.concatenate(found)


def _content_of(table):
    """A digest of all that the pixels of a table's samples depend on."""
    digest = hashlib.sha256()
    for sample in table.samples:
        image = sample.image
        if isinstance(image, str):
            digest.update(repr(split_frame(image)[1]).encode())
            image = Path(split_frame(image)[0]).read_bytes()
        elif isinstance(image, np.ndarray):
            digest.update(repr(image.shape).encode())
            image = np.ascontiguousarray(image).tobytes()
        place = repr((sample.roi, sample.mirrored)).encode()
        digest.update(hashlib.sha256(image).digest() + place)
    return digest.hexdigest()


def _write(path, values):
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    content = content.getvalue()
    write_bytes(path, hashlib.sha256(content).digest() + content)


def _read(path, shape):
    """The features in a file; `None` where it is missing, damaged or of another shape."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        values = np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return values if values.shape == shape and values.dtype == np.float32 else None
