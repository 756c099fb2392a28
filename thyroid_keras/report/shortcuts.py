"""The section on what could be read off the pictures without looking at the nodule."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.report.figures import interval_text
from thyroid_keras.report.page import interval_bar, paragraph, section, table, warning
from thyroid_keras.report.style import FEW_GROUPS, counted, counted_images, with_interval


def against_shortcuts(metrics):
    """Returns one sentence that holds the best shortcut against the model; "" where none is known.

    Args:
        metrics: content of `metrics.json`.
    """
    largest = (metrics.get("shortcuts") or {}).get("largest")
    own = metrics.get("roc_auc") or {}
    if not largest or own.get("value") is None:
        return ""
    figure = largest["roc_auc"]
    _, highest = widest_interval(figure) or (None, figure["value"])
    lowest, _ = widest_interval(own) or (own["value"], None)
    said = f"{best_shortcut(metrics)}, the model with {with_interval(own)}."
    if figure["value"] <= 0.5:
        return f"No shortcut is better than chance: {said}"
    if own.get("groups", FEW_GROUPS) < FEW_GROUPS:
        few = f"{counted(own['groups'], metrics.get('group_unit', 'group'))} are too few"
        return f"It cannot be told whether a shortcut does as well as the model ({few}): {said}"
    if highest >= own["value"]:
        return f"A shortcut does as well as the model, as far as these images show: {said}"
    if highest >= lowest:
        return f"A shortcut may do as well as the model, for the intervals overlap: {said}"
    return f"No shortcut does as well as the model: {said}"


def best_shortcut(metrics):
    """Returns what the best shortcut reaches by itself, without a full stop; "" for none."""
    largest = (metrics.get("shortcuts") or {}).get("largest")
    if not largest:
        return ""
    auc = with_interval(largest["roc_auc"])
    return f"“{largest['name']}” alone tells the classes with an AUC of {auc}"


def shortcuts(metrics):
    """The table of the shortcuts beside the model's own AUC; "" where none was looked for."""
    found = metrics.get("shortcuts") or {}
    if not found.get("features"):
        return section("Shortcuts", paragraph(found.get("reason", ""))) if found else ""
    sentence, largest = against_shortcuts(metrics), found["largest"]
    own = metrics.get("roc_auc") or {}
    note = largest["roc_auc"].get("note", "")
    harmless = sentence.startswith("No shortcut")
    unit = found["group_unit"]
    caption = (
        f"A ridge classifier on each kind of feature, cross-validated by group over "
        f"{counted_images(found['n'], found['groups'], unit)}, read as the model "
        f"reads them. Intervals by {unit} (bootstrap). Ticks: chance."
    )
    rows = [_row(entry["name"], entry["what"], entry["roc_auc"]) for entry in found["features"]]
    rows.append(_row("Largest", largest["name"], largest["roc_auc"]))
    rows.append(_row("The model", f"on the {metrics.get('split', 'test')} images", own))
    header = ["Seen", "What it is", "ROC AUC", "95 % CI", "0 … 1"]
    return section(
        "Shortcuts",
        paragraph(sentence) if harmless or not sentence else warning(sentence),
        table(header, rows, caption, numbers=(2, 3)),
        paragraph(f"{note[:1].upper()}{note[1:]}.", "soft"),
    )


def _row(name, what, figure):
    if figure.get("value") is None:
        return [name, f"{what}; {figure.get('reason', 'not known')}", "–", "–", ""]
    interval = {"ci95": widest_interval(figure)}
    bar = interval_bar(figure, 0.5)
    return [name, what, f"{figure['value']:.2f}", interval_text(interval), bar]
