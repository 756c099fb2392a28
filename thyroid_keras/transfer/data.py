"""One data set or several as one table, checked, and dealt into grouped folds."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from thyroid_keras.data.audit import audit
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.leaks import join_groups, same_pictures, with_joined_groups
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.split_faults import absent_classes
from thyroid_keras.preparation import read_table

TARGET = "malignancy"  # where a data set has several


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folds:
    """A table dealt into folds.

    Args:
        table: `SampleTable` of N samples, groups that share a picture joined.
        sets: `(N,)` ints, which of the data sets each is of.
        set_names: of the data sets.
        folds: `(N,)` ints in [0, K).
        hashes: dict from sample name to the hash of its picture.
    """

    table: object
    sets: np.ndarray
    set_names: tuple[str, ...]
    folds: np.ndarray
    hashes: dict


def deal(paths, chosen):
    """Reads data sets, joins them, checks everything, and deals whole groups into folds.

    Args:
        paths: of data sets that have the same classes; none: the phantom.
        chosen: `settings.Settings`.

    Returns:
        `Folds`.

    Raises:
        DataError: with everything that is wrong with the data.
        ModelError: if the borders name no network that finds them.
    """
    tables = [_read(path, chosen) for path in paths or (None,)]
    names = _names(paths) or ("phantom",)
    table, sets = _join(tables, names)
    found = audit(table, num_folds=chosen.folds)
    table = found.accept(chosen.on_bad)
    kept = {s.name for s in table.samples}
    sets = np.array([of for name, of in sets.items() if name in kept])
    pictures = same_pictures(found.hashes, found.copies)
    _, notes = join_groups(table, pictures)
    table = with_joined_groups(table, pictures)
    held = deal_folds(table.labels, table.groups, chosen.folds, chosen.seed)
    parts = {f"fold {i} of {chosen.folds}": h for i, h in enumerate(held)}
    if problems := absent_classes(table, parts):
        raise DataError(problems)
    if any(s.split for s in table.samples):
        notes += ("Cross-validation does not heed the splits that the data set fixes.",)
    return Folds(
        table=dataclasses.replace(table, notes=(*table.notes, *notes)),
        sets=sets,
        set_names=names,
        folds=np.argmax(held, axis=0),
        hashes=found.hashes,
    )


def _read(path, chosen):
    source = {name: getattr(chosen, name) for name in ("format", "target", "seed")}
    recipe = dataclasses.replace(chosen, target=chosen.target or TARGET)
    return read_table(source | {"path": None if path is None else os.fspath(path)}, recipe)


def _names(paths):
    """A name for each data set, its file's where that is its own alone."""
    stems = [Path(path).resolve().stem for path in paths]
    return tuple(
        stem if stems.count(stem) == 1 else f"{stem}-{i}" for i, stem in enumerate(stems, 1)
    )


def _join(tables, names):
    """One table, and a dict from the names of its samples to the number of their set."""
    if len(tables) == 1:
        return tables[0], {s.name: 0 for s in tables[0].samples}
    first = tables[0]
    if problems := [
        f"{name}: its classes are {table.class_names}, those of {names[0]} {first.class_names}; "
        "join data sets of the same classes, in the same order"
        for name, table in zip(names, tables, strict=True)
        if table.class_names != first.class_names
    ]:
        raise DataError(problems)
    samples, sets = [], {}
    for number, (name, table) in enumerate(zip(names, tables, strict=True)):
        for s in table.samples:
            own = {"name": f"{name}:{s.name}", "group": f"{name}:{s.group}"}
            samples.append(dataclasses.replace(s, **own))
            sets[samples[-1].name] = number
    units, notes, out, faults = (
        [v for table in tables for v in values(table)]
        for values in (
            lambda t: [t.group_unit],
            lambda t: t.notes,
            lambda t: t.excluded,
            lambda t: t.faults,
        )
    )
    joined = dataclasses.replace(
        first,
        name=" + ".join(table.name for table in tables),
        samples=tuple(samples),
        group_unit=" or ".join(dict.fromkeys(units)),
        notes=tuple(dict.fromkeys(notes)),
        excluded=tuple(out),
        faults=tuple(faults),
    )
    return joined, sets
