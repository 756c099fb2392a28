"""What keeps a table from being split."""

import numpy as np

from thyroid_keras.data.labels import SPLITS, listed
from thyroid_keras.data.leaks import find_leaks, join_groups, same_pictures


def find_split_faults(table, hashes, *, copies=(), num_folds=None):
    """Finds what keeps a table from being split.

    Args:
        table: `SampleTable`.
        hashes: result of `hash_images`.
        copies: pairs of names of samples whose pictures count as identical.
        num_folds: int, of a cross-validation; `None`: training, validation and test.

    Returns:
        List of str: every class with too few groups and, where the data set fixes its
        splits, everything that two of them share.
    """
    pictures = same_pictures(hashes, copies)
    groups, _ = join_groups(table, pictures)
    if num_folds is not None:
        return _too_few_groups(table, np.arange(len(table)), groups, max(num_folds, 3))
    part, problems = fixed_parts(table)
    if problems:
        return problems
    fixed = {name: np.flatnonzero(part == name) for name in SPLITS if name in part}
    samples = {name: [table.samples[i] for i in members] for name, members in fixed.items()}
    return (
        find_leaks(samples, pictures)
        + _too_few_groups(table, fixed["train"], groups, len(SPLITS) - len(fixed) + 1)
        + absent_classes(table, {n: fixed[n] for n in fixed if n != "train"})
    )


def fixed_parts(table):
    """Returns the data set's own splits, and what is wrong with them.

    That is an array of str `(N,)`, all `"train"` where it has none, and a list of str.
    """
    given = np.array([s.split or "" for s in table.samples], dtype=object)
    if not any(given):
        return np.full(len(table), "train", dtype=object), []
    problems = [
        f"{s.name}: `split` must be one of {SPLITS} where other samples have one. "
        f"Received: split={s.split!r}"
        for s in table.samples
        if s.split not in SPLITS
    ]
    if "train" not in given:
        problems.append(f"{table.name}: the data set fixes no training part; name one or none")
    return given, problems


def _too_few_groups(table, indices, groups, num_parts):
    problems = []
    for label, class_name in enumerate(table.class_names):
        num_groups = len(np.unique(groups[indices][table.labels[indices] == label]))
        if num_groups < num_parts == 1:
            problems.append(
                f"{table.name}: class {class_name!r} has no sample in the fixed training part; "
                "add some there, or remove the class"
            )
        elif num_groups < num_parts:
            plural = "" if num_groups == 1 else "s"
            problems.append(
                f"{table.name}: class {class_name!r} has samples in {num_groups} group{plural} "
                f"({table.group_unit}) and cannot be in all of {num_parts} parts; add data, or "
                "ask for fewer parts"
            )
    return problems


def absent_classes(table, parts):
    """Returns a str per part that lacks a class; `parts` is a dict from name to indices."""
    problems = []
    for part, indices in parts.items():
        present = set(table.labels[indices].tolist())
        absent = [n for i, n in enumerate(table.class_names) if i not in present]
        if absent:
            problems.append(
                f"{table.name}: {part} holds no sample of {listed(absent)}; "
                "choose another seed, fewer folds, other fractions or other fixed splits"
            )
    return problems
