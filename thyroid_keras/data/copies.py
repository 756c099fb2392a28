"""A leak on purpose: images augmented first, and single samples kept apart after."""

import dataclasses

import numpy as np

from thyroid_keras.data.augment import TRANSFER, augment
from thyroid_keras.data.samples import Sample
from thyroid_keras.data.splits import make_splits
from thyroid_keras.data.store import PixelStore

COPIES = 3  # of each image, as many as `bottleneck` makes
BATCH_SIZE = 64
WRONG = (
    "Wrong on purpose (--augment-before-split): {images} images were augmented first, and the "
    "{samples} samples that came of them dealt singly: {train} to learn from, {val} to choose "
    "epoch and threshold by, {leaked} to test. Copies of one image, and images of one {unit}, are "
    "on every side. The {test} test images, of other {unit}s, had no part in that."
)
CHOSEN_BY_COPIES = (
    "Wrong on purpose (--augment-before-split): its epoch and threshold were chosen by copies of "
    "what it learned from."
)


def leave_no_validation(splits):
    """Returns `Splits` whose training images are those of validation, too."""
    train = dataclasses.replace(splits.train, samples=splits.train.samples + splits.val.samples)
    return dataclasses.replace(splits, train=train, val=splits.val.select(()))


def augment_before_split(splits, size, channels, *, seed=0):
    """Augments all training images, and deals what comes of it into three, sample by sample.

    Args:
        splits: result of `leave_no_validation`.
        size: `(H, W)` in pixels, of the samples.
        channels: 1 or 3, likewise.
        seed: int >= 0, of copies and parts.

    Returns:
        `Splits`: `train`, `val` and `leaked` hold images and copies, each once, at the size
        asked for; `test` is as it was. A note says what is wrong.

    Raises:
        DataError: with every file that cannot be read.

    Reference: Sai Sundar and Sai, whose samples are augmented ones, and who do not say that those
        of one image, or of one patient, were kept on one side.
    """
    table, test = splits.train, splits.test
    order = np.argsort([s.name for s in table.samples])  # whichever way they were read
    table = table.select(order.tolist())
    made = list(_with_copies(table, size, channels, seed))
    samples = {s.name: s for _, s in made}
    apart = [dataclasses.replace(s, group=name, split=None) for name, s in samples.items()]
    apart = dataclasses.replace(table, samples=tuple(apart), clean=None)
    dealt = make_splits(apart, seed=seed, hashes={name: name for name in samples})
    parts = {"train": dealt.train, "val": dealt.val, "leaked": dealt.test}
    counts = {name: len(part) for name, part in parts.items()} | {"test": len(test)}
    counts |= {"images": len(table), "samples": len(samples), "unit": table.group_unit}
    notes = (WRONG.format(**counts), *table.notes)
    for name, part in parts.items():
        patients = tuple(samples[s.name] for s in part.samples)
        parts[name] = dataclasses.replace(part, samples=patients, notes=notes)
    hashes = splits.hashes | {s.name: splits.hashes[source] for source, s in made}
    return dataclasses.replace(splits, hashes=hashes, **parts)


def _with_copies(table, size, channels, seed):
    """Yields the samples of a table as arrays, and copies of each, with the name of the source."""
    store = PixelStore(table, size, channels, label="Reading images to be augmented")
    rng = np.random.default_rng(seed)
    for start in range(0, len(table), BATCH_SIZE):
        chosen = np.arange(start, min(start + BATCH_SIZE, len(table)))
        pixels = store.read(chosen)
        for copy in range(COPIES + 1):
            images, masks = augment(*pixels, TRANSFER if copy else None, rng)
            images = np.rint(255 * images).astype(np.uint8)
            for row, i in enumerate(chosen):
                sample = table.samples[i]
                made = Sample(
                    name=f"{sample.name}#copy{copy}" if copy else sample.name,
                    image=images[row, ..., 0] if channels == 1 else images[row],
                    label=sample.label,
                    group=sample.group,
                    mask=None if sample.mask is None else _grey(masks[row, ..., 0]),
                )
                yield sample.name, made


def _grey(mask):
    return mask.astype(np.uint8) * np.uint8(255)
