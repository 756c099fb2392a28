"""Training, validation and test sets that share no patient and no picture."""

import dataclasses
import math

import numpy as np

from thyroid_keras.data.dealing import deal_folds, hold_out
from thyroid_keras.data.labels import SPLITS, listed
from thyroid_keras.data.leaks import (
    find_leaks,
    hash_images,
    join_groups,
    same_pictures,
    with_joined_groups,
)
from thyroid_keras.data.samples import DataError, SampleTable
from thyroid_keras.data.split_faults import absent_classes, find_split_faults, fixed_parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splits:
    """Three tables that together are one data set.

    Args:
        train: `SampleTable`, what weights are fitted to.
        val: `SampleTable`, what everything else is chosen by.
        test: `SampleTable`, used once.
        copies: pairs of names of samples whose pictures count as identical.
        leaked: `SampleTable` that shares images with the others, of a leak made on purpose;
            else `None`.
        hashes: dict from sample name to SHA-256 of its picture's decoded pixels.
    """

    train: SampleTable
    val: SampleTable
    test: SampleTable
    hashes: dict[str, str]
    copies: tuple = ()
    leaked: SampleTable | None = None

    @property
    def parts(self):
        """Dict from split name to table."""
        return {name: getattr(self, name) for name in SPLITS}

    def listing(self):
        """Returns which images there are, by split: name, label and hash of each, as lists."""
        return {
            name: [[s.name, s.label, self.hashes[s.name]] for s in table.samples]
            for name, table in self.parts.items()
        }

    def whole(self):
        """Returns the table of all three."""
        samples = tuple(s for part in self.parts.values() for s in part.samples)
        return dataclasses.replace(self.train, samples=samples)

    def pool(self):
        """Returns the table of what is not tested, groups that share pictures joined."""
        samples = self.train.samples + self.val.samples
        table = dataclasses.replace(self.train, samples=samples)
        return with_joined_groups(table, same_pictures(self.hashes, self.copies))

    def joined(self):
        """Returns the splits with one group for all groups that share pictures, in each part.

        Intervals that draw groups anew would else count one patient of two names twice.
        """
        pictures = same_pictures(self.hashes, self.copies)
        parts = {name: with_joined_groups(part, pictures) for name, part in self.parts.items()}
        return dataclasses.replace(self, **parts)


def make_splits(table, *, fractions=(0.6, 0.2, 0.2), seed=0, hashes=None, copies=(), progress=True):
    """Splits a table by group, with alike shares of every class.

    Whole groups are dealt out, groups that share identical pictures as one, so the
    parts only come near `fractions`. Where the data set fixes its splits they are kept,
    and a missing validation or test part is taken from training.

    Args:
        table: `SampleTable`.
        fractions: shares of training, validation and test, adding up to 1.
        seed: int, decides which groups go where.
        hashes: result of `hash_images`, which is called if it is `None`.
        copies: pairs of names of samples whose pictures count as identical.
        progress: whether to show a progress bar while hashing.

    Returns:
        `Splits`.

    Raises:
        DataError: if a class has too few groups to be in every part, or fixed splits
            share groups or pictures; lists every such case.
        ValueError: if `fractions` are not three positive shares of 1.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
        raise ValueError(
            f"`fractions` must be three positive numbers that add up to 1. "
            f"Received: fractions={fractions}"
        )
    share = dict(zip(SPLITS, fractions, strict=True))
    hashes = hash_images(table, progress) if hashes is None else hashes
    problems = find_split_faults(table, hashes, copies=copies)
    if problems:
        raise DataError(problems)
    part, _ = fixed_parts(table)
    missing = [name for name in ("test", "val") if name not in part]
    groups, notes = join_groups(table, same_pictures(hashes, copies))
    pool = np.flatnonzero(part == "train")
    for i, name in enumerate(missing):
        within = share["train"] + sum(share[other] for other in missing[i:])
        held = hold_out(table.labels[pool], groups[pool], share[name] / within, seed)
        part[pool[held]] = name
        pool = pool[~held]
    return _assemble(table, part, hashes, copies, notes)


def make_folds(
    table, num_folds, fold, *, val_fraction=0.2, seed=0, hashes=None, copies=(), progress=True
):
    """Returns one fold of a grouped, stratified cross-validation.

    Over all folds every sample is tested once. Splits that the data set fixes are not
    heeded; a note says so.

    Args:
        table: `SampleTable`.
        num_folds: int >= 2.
        fold: int in [0, num_folds), the part that is the test set.
        val_fraction: share of the rest that becomes the validation set.
        seed: int; folds of one seed belong together.
        hashes: result of `hash_images`, which is called if it is `None`.
        copies: pairs of names of samples whose pictures count as identical.
        progress: whether to show a progress bar while hashing.

    Returns:
        `Splits`.

    Raises:
        DataError: if a class has fewer groups than folds, or a fold lacks a class.
        ValueError: if `num_folds`, `fold` or `val_fraction` is out of range.
    """
    if num_folds < 2 or not 0 <= fold < num_folds or not 0 < val_fraction < 1:
        raise ValueError(
            "`num_folds` must be at least 2, `fold` below it and `val_fraction` between 0 and 1. "
            f"Received: num_folds={num_folds}, fold={fold}, val_fraction={val_fraction}"
        )
    hashes = hash_images(table, progress) if hashes is None else hashes
    problems = find_split_faults(table, hashes, copies=copies, num_folds=num_folds)
    if problems:
        raise DataError(problems)
    groups, notes = join_groups(table, same_pictures(hashes, copies))
    if any(s.split for s in table.samples):
        notes += ("Cross-validation does not heed the splits that the data set fixes.",)
    folds = deal_folds(table.labels, groups, num_folds, seed)
    absent = absent_classes(
        table, {f"fold {number} of {num_folds}": held for number, held in enumerate(folds)}
    )
    if absent:
        raise DataError(absent)
    part = np.full(len(table), "train", dtype=object)
    part[folds[fold]] = "test"
    rest = np.flatnonzero(part == "train")
    held = hold_out(table.labels[rest], groups[rest], val_fraction, seed)
    part[rest[held]] = "val"
    return _assemble(table, part, hashes, copies, notes)


def stratified_subset(table, count, seed=0):
    """Draws `count` samples, in proportion to the classes.

    Subsets of one seed are nested but for rounding: the smaller lies within the larger.

    Args:
        table: `SampleTable`.
        count: int, from 1 to the size of the table.
        seed: int.

    Returns:
        `SampleTable`, in the order of `table`.

    Raises:
        DataError: if a class of the table would be left without a sample.
        ValueError: if `count` is out of range.

    Reference: CS-AGnet's share of pixel labels, "proportionally sampled".
    Deviation: read as stratified by label.
    """
    if not 0 < count <= len(table):
        raise ValueError(f"`count` must be from 1 to {len(table)}. Received: count={count}")
    labels = table.labels
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * count / len(table)
    quota = np.floor(exact).astype(int)
    by_remainder = np.argsort(quota - exact, kind="stable")
    quota[by_remainder[: count - quota.sum()]] += 1
    if not quota.all():
        short = [table.class_names[c] for c in classes[quota == 0]]
        raise DataError(
            [
                f"{table.name}: {count} of {len(table)} samples leave none of {listed(short)}; "
                f"choose a larger share. Received: count={count}"
            ]
        )
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:n]
        for label, n in zip(classes, quota, strict=True)
    ]
    return table.select(np.sort(np.concatenate(drawn)).tolist())


def check_leaks(splits):
    """Returns every name, group and picture that two parts share, as a list of str."""
    pictures = same_pictures(splits.hashes, splits.copies)
    return find_leaks({n: t.samples for n, t in splits.parts.items()}, pictures)


def _assemble(table, part, hashes, copies, notes):
    table = dataclasses.replace(table, notes=(*table.notes, *notes))
    parts = {name: np.flatnonzero(part == name) for name in SPLITS}
    tables = {name: table.select(indices.tolist()) for name, indices in parts.items()}
    splits = Splits(hashes=hashes, copies=tuple(copies), **tables)
    problems = check_leaks(splits) + absent_classes(table, parts)
    if problems:
        raise DataError(problems)
    return splits
