"""Names of classes and splits, as the readers of users' files share them."""

import re
import unicodedata

SPLITS = ("train", "val", "test")
NO_GROUPS_NOTE = (
    "No patient information: the split is by image. Every image counts as its own patient; "
    "where a patient has several, the figures are too good."
)
_SPELLING = "case or in how an accent is stored"


def natural_order(names):
    """Sorts names so that `stage 2` comes before `stage 10`."""

    def key(name):
        parts = re.split(r"0*([0-9]+)", name)
        # digits, not int: Python refuses to read a number of thousands of them
        return [p.casefold() if i % 2 == 0 else (len(p), p) for i, p in enumerate(parts)], name

    return sorted(set(names), key=key)


def order_classes(found, class_names, where):
    """Puts the classes of a data set in order, the positive class last.

    Args:
        found: the labels in the data, str.
        class_names: sequence of str, the user's order; `None` for the natural one.
        where: what problems call the data set.

    Returns:
        `(names, problems)`: tuple of str, and list of str.
    """
    found = natural_order(found)
    names = tuple(found if class_names is None else class_names)
    problems = []
    unknown = [label for label in found if label not in names]
    if unknown:
        problems.append(
            f"{where}: no class is called {listed(unknown)}; correct the labels or name every "
            f"class. Received: class_names={names}"
        )
    if len(set(names)) < max(2, len(names)):
        problems.append(
            f"{where}: at least two different classes are needed, each under a label or in a "
            "folder of its own. "
            f"Received: class_names={names}"
        )
    problems += [
        f"{where}: labels {listed(same)} differ in nothing but {_SPELLING}; write them alike"
        for same in _spelt_apart(found)
    ]
    return names, problems


def notes_on_groups(found):
    """Returns a note, in a list, if names of groups may mean one; `found`: the names, str."""
    apart = [" / ".join(same) for same in _spelt_apart(natural_order(found))]
    if not apart:
        return []
    return [
        f"Groups that differ in nothing but {_SPELLING}, taken for different ones: {len(apart)} "
        f"({listed(apart)}). Write them alike if they are one."
    ]


def _spelt_apart(names):
    """Lists of the names that are one when case and Unicode form are left out of account."""
    folded = {}
    for name in names:
        folded.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    return [same for same in folded.values() if len(same) > 1]


def listed(items, limit=8):
    """Joins items for a message; beyond `limit`, counts the rest."""
    items = list(items)
    shown = ", ".join(repr(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
