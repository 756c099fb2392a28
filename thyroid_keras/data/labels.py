"""Names of classes and splits, as the readers of users' files share them."""

import re

SPLITS = ("train", "val", "test")
NO_GROUPS_NOTE = (
    "No patient information: the split is by image. Every image counts as its own patient; "
    "where a patient has several, the figures are too good."
)


def natural_order(names):
    """Sorts names so that `stage 2` comes before `stage 10`."""

    def key(name):
        parts = re.split(r"([0-9]+)", name)
        return [
            (part.casefold(), 0) if i % 2 == 0 else ("", int(part)) for i, part in enumerate(parts)
        ], name

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
    folded = {}
    for label in found:
        folded.setdefault(label.casefold(), []).append(label)
    problems += [
        f"{where}: labels {listed(same)} differ in nothing but case; write them alike"
        for same in folded.values()
        if len(same) > 1
    ]
    return names, problems


def listed(items, limit=8):
    """Joins items for a message; beyond `limit`, counts the rest."""
    items = list(items)
    shown = ", ".join(repr(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
