"""One data set or several as one table, checked, and dealt into grouped folds."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from thyroid_keras.borders import border_remover, with_borders
from thyroid_keras.data.audit import audit
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.leaks import join_groups, same_pictures
from thyroid_keras.data.readers import FORMATS, read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.split_faults import absent_classes

TARGET = "malignancy"  # where a data set has several


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folds:
    """A table dealt into folds.

    Args:
        table: `SampleTable` of N samples.
        sets: `(N,)` ints, which of the data sets each is of.
        set_names: of the data sets.
        groups: `(N,)` ints: groups that share a picture are one.
        folds: `(N,)` ints in [0, K).
        hashes: dict from sample name to the hash of its picture.
    """

    table: object
    sets: np.ndarray
    set_names: tuple[str, ...]
    groups: np.ndarray
    folds: np.ndarray
    hashes: dict


def deal(paths, *, num_folds, target=None, format=None, borders="none", seed=0, on_bad="fail"):
    """Reads data sets, joins them, checks everything, and deals whole groups into folds.

    Args:
        paths: of data sets that have the same classes.
        num_folds: int >= 2.
        target: which labels; `None`: malignancy, where a data set has several.
        format: of all data sets; `None`: recognised by layout.
        borders: see `borders.border_remover`.
        seed: int >= 0, of the folds.
        on_bad: `"fail"` or `"skip"`.

    Returns:
        `Folds`.

    Raises:
        DataError: with everything that is wrong with the data.
        ModelError: if `borders` names no network that finds them.
    """
    clean = border_remover(borders)
    tables = [with_borders(_read(os.fspath(path), target, format), clean) for path in paths]
    names = _names(paths)
    table, sets = _join(tables, names)
    found = audit(table, num_folds=num_folds)
    table = found.accept(on_bad)
    kept = {s.name for s in table.samples}
    sets = np.array([of for name, of in sets.items() if name in kept])
    groups, notes = join_groups(table, same_pictures(found.hashes, found.copies))
    held = deal_folds(table.labels, groups, num_folds, seed)
    parts = {f"fold {i} of {num_folds}": h for i, h in enumerate(held)}
    if problems := absent_classes(table, parts):
        raise DataError(problems)
    if any(s.split for s in table.samples):
        notes += ("Cross-validation does not heed the splits that the data set fixes.",)
    return Folds(
        table=dataclasses.replace(table, notes=(*table.notes, *notes)),
        sets=sets,
        set_names=names,
        groups=groups,
        folds=np.argmax(held, axis=0),
        hashes=found.hashes,
    )


def _read(path, target, format):
    name = format or (recognise(path) if os.path.exists(path) else None)
    if target is None and name is not None and TARGET in FORMATS[name].targets:
        target = TARGET
    return read(path, target=target, format=format, on_bad="collect")


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
