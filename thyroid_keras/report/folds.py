"""The section on the folds of a cross-validation."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.report.page import Markup, paragraph, section, table
from thyroid_keras.report.style import counted

COLUMNS = (
    ("roc_auc", "ROC AUC"),
    ("accuracy", "Accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("dice", "Dice"),
)


def folds(config, metrics):
    """The figures of each fold with its own interval, their mean and SD, and the links.

    Args:
        config, metrics: of the cross-validation; nothing is returned for a single run.
    """
    found = metrics.get("folds") or []
    if not found:
        return ""
    unit = (config.get("data") or {}).get("group_unit") or "group"
    spread = metrics.get("mean_sd") or {}
    shown = [(key, name) for key, name in COLUMNS if spread.get(key)]
    rows = []
    for number, fold in enumerate(found):
        link = Markup(f'<a href="fold_{number}/report.html">fold {number}</a>')
        cut = "–" if fold.get("threshold") is None else f"{fold['threshold']:.3f}"
        counts = [fold.get("n"), fold.get("groups"), cut]
        rows.append([link, *counts, *(_two_lines(fold.get(key)) for key, _ in shown)])
    rows.append(["Mean ± SD", "", "", "", *(_mean_sd(spread[key]) for key, _ in shown)])
    header = ["Fold", "Images", f"{unit.capitalize()}s", "Threshold", *(n for _, n in shown)]
    caption = f"Each fold's test images, with 95 % intervals. Below: {spread.get('note', '')}."
    ensemble = (
        f"The {counted(len(found), 'model')} together are the ensemble of this folder: evaluate, "
        "predict and explain take it like a run, on new images only. Its answer is the mean of "
        "theirs. No figure on this page is the ensemble's: each image here was answered by one "
        "model, and every other one had learned from it."
    )
    return section(
        "Folds",
        paragraph(
            f"{metrics.get('pooled', '')} The results above pool these answers; their intervals "
            "hold for these models, and leave out what other training images would change."
        ),
        table(header, rows, caption, numbers=range(1, len(header))),
        paragraph(ensemble, "soft"),
    )


def _two_lines(figure):
    """The value, and below it the interval."""
    if not figure or figure.get("value") is None:
        return "–"
    low_high = widest_interval(figure)
    reach = "{:.2f} – {:.2f}".format(*low_high) if low_high else "no interval"
    return Markup(f'{figure["value"]:.3f}<br><span class="soft">{reach}</span>')


def _mean_sd(spread):
    if spread.get("mean") is None:
        return "–"
    sd = spread.get("sd")
    return Markup(f"{spread['mean']:.3f}" + ("" if sd is None else f"<br>± {sd:.3f}"))
