"""The sections on bottleneck features, each fold and data set, and on a leak made on purpose."""

from thyroid_keras.report.page import bullets, paragraph, section, table, warning
from thyroid_keras.report.style import with_interval

COLUMNS = (
    ("roc_auc", "ROC AUC"),
    ("accuracy", "Accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
)


def leak_sentence(metrics):
    """Returns one sentence on what the leak is worth; "" where it was not reproduced.

    Args:
        metrics: content of `metrics.json`.
    """
    if not (leak := metrics.get("leak")):
        return ""
    wrong, right = (with_interval(found.get("roc_auc")) for found in (leak, metrics))
    unit = metrics.get("group_unit", "group")
    what = "the same features and classifier reach" if _folded(metrics) else "the network reaches"
    return (
        f"Augmented before the split, {what} an AUC of {wrong}. "
        f"That figure is wrong: copies of one image, and images of one {unit}, are on both sides. "
        f"Of new patients expect the other: {right}."
    )


def data_set_notes(metrics):
    """Returns a sentence for each data set that could not be learned from alone.

    Args:
        metrics: content of `metrics.json`.
    """
    return [
        f"{one['name']} is not learned from alone: {one['reason']}."
        for one in metrics.get("data_sets") or []
        if "reason" in one
    ]


def transfer(metrics):
    """The leak beside the figure that is right; the folds of a bottleneck run, and its data sets.

    Args:
        metrics: content of `metrics.json`; nothing is returned for any other run.
    """
    unit = metrics.get("group_unit", "group")
    if not (per_fold := _folded(metrics)):
        return _leak(metrics, unit)
    return "".join(
        (
            _leak(metrics, unit),
            _data_sets(metrics),
            section(
                "Folds",
                paragraph(metrics.get("pooled", "")),
                table(
                    ["Fold", "Images", "Groups", *(n for _, n in COLUMNS)],
                    [[f"fold {i}", *_row(found)] for i, found in enumerate(per_fold)],
                    f"Each fold's images, answered by a classifier of the others; groups: {unit}.",
                    numbers=range(1, 7),
                ),
            ),
        )
    )


def _folded(metrics):
    """The figures of each fold of a bottleneck run; `None` for any other."""
    return metrics.get("per_fold")


def _leak(metrics, unit):
    if not (leak := metrics.get("leak")):
        return ""
    rows = [
        ["Right: held out, then augmented"],
        ["Wrong: augmented, then held out"],
    ]
    same = "network and threshold"
    if _folded(metrics):
        same = "features, classifier and number of folds"
    return section(
        "How a figure near 1 comes about",
        warning(leak_sentence(metrics)),
        table(
            ["", "Images", "Groups", *(n for _, n in COLUMNS)],
            [[*row, *_row(found)] for row, found in zip(rows, (metrics, leak), strict=True)],
            f"The same {same}, with 95 % intervals. Held out were whole groups ({unit}) above, and "
            "single samples, copies among them, below.",
            numbers=range(1, 7),
        ),
    )


def _data_sets(metrics):
    rows = [
        [f"{one['name']}, {words}", *_row(one[kind])]
        for one in metrics.get("data_sets") or []
        for kind, words in (("alone", "learned from alone"), ("joined", "learned from all"))
        if kind in one
    ]
    return section(
        "Each data set",
        table(
            ["Judged on", "Images", "Groups", *(n for _, n in COLUMNS)],
            rows,
            "The images of each data set, out of fold: by classifiers of that set, and by those "
            "of all sets together.",
            numbers=range(1, 7),
        ),
        bullets(data_set_notes(metrics)),
    )


def _row(found):
    return [found.get("n"), found.get("groups"), *(with_interval(found.get(k)) for k, _ in COLUMNS)]
