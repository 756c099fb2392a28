"""Tables with a line per class: how a network tells it, and how its maps localise it."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.metrics.by_class import class_differences
from thyroid_keras.report.style import too_few
from thyroid_keras.tables.claims import p_text
from thyroid_keras.tables.results import text_of

BOLD_ABOVE = 0.02  # as in the paper
NAMES = {"precision": "precision", "sensitivity": "sensitivity", "f1": "F1"}
ALL = "all of them"


def classes_table(table, results, seed):
    """Sets the figures of each class beside the paper's, with the change against another row.

    Args:
        table: `Table` whose lines are `classes`.
        results: sequence of `Result`; that of the table's last row is shown.
        seed: of the bootstrap.

    Returns:
        `(csv rows, header, rows of text, sentences on how it was judged)`.
    """
    shown, other = (_result(name, results) for name in (table.rows[-1].name, table.reference))
    if shown is None:
        return [], [table.stub], [], [f"Without {table.rows[-1].label} there are no figures."]
    found = {row["class"]: row for row in shown.found["per_class"]}
    changes = {}
    if other is not None:
        answers, others = shown.answers, other.answers
        both = answers.predicted, others.predicted
        rows = class_differences(
            answers.labels, *both, answers.groups, answers.class_names, seed=seed
        )
        changes = {row["class"]: row for row in rows}
    header = [table.stub, "images"]
    for name in table.figures:
        header += [f"{NAMES[name]}: paper", f"{NAMES[name]}: ours"]
    header += ["change in F1 (95 %)", "p, bootstrap", "p, McNemar"] if changes else []
    csv, lines = [], []
    for name, row in found.items():
        paper, change = table.by_class.get(name, {}), changes.get(name, {})
        cells = [name, f"{row['n']}"]
        for figure in table.figures:
            cells.append(_changed(paper.get(figure), paper.get(f"{figure}_change")))
            cells.append(_changed(row[figure].get("value"), _value(change.get(figure))))
            csv.append(_csv_row(name, figure, row, paper, change))
        if changes:
            cells.append(text_of(change["f1"], "+.3f"))
            cells += [p_text(change[p]).removeprefix("= ") for p in ("f1_p_holm", "mcnemar_p_holm")]
        lines.append(cells)
    return csv, header, lines, _how_compared(shown, other)


def _how_compared(shown, other):
    if other is None:
        return []
    unit = shown.config["data"]["group_unit"]
    few = too_few(len(set(other.answers.groups)), unit)
    return [
        f"In brackets: the change against {other.row.label}, bold above {BOLD_ABOVE}, as the paper "
        "prints it.",
        f"Tests of the change: of F1, paired bootstrap by {unit}; McNemar's, exact, by image, on "
        'the answers of both networks to "is it this class?". Both are corrected for the number '
        "of classes by Holm's method.",
        *([f"The intervals and p-values of the bootstrap are rough: {few}."] if few else []),
    ]


def _result(name, results):
    return next((r for r in results if r.row.name == name and r.found), None)


def _value(figure):
    return (figure or {}).get("value")


def _changed(value, change):
    """Returns e.g. `0.953 (**+0.055**)`, or a dash."""
    if value is None:
        return "–"
    if change is None:
        return f"{value:.3f}"
    said = f"{change:+.3f}"
    return f"{value:.3f} ({f'**{said}**' if change > BOLD_ABOVE else said})"


def _csv_row(name, figure, row, paper, change):
    low, high = widest_interval(row[figure]) or (None, None)
    changed = change.get(figure) or {}
    change_low, change_high = changed.get("ci95") or (None, None)
    return {
        "class": name,
        "n": row["n"],
        "figure": figure,
        "paper": paper.get(figure),
        "paper_change": paper.get(f"{figure}_change"),
        "value": row[figure].get("value"),
        "ci95_low": low,
        "ci95_high": high,
        "change": changed.get("value"),
        "change_ci95_low": change_low,
        "change_ci95_high": change_high,
        "p_holm": change.get("f1_p_holm") if figure == "f1" else None,
        "mcnemar_p_holm": change.get("mcnemar_p_holm"),
    }


def places_table(table, results):
    """Sets how well the maps localise each class beside the paper's figures.

    Args:
        table: `Table` whose lines are `places`.
        results: sequence of `Result`; that of the table's last row is shown.

    Returns:
        `(csv rows, header, rows of text, sentences on how it was judged)`.
    """
    shown = _result(table.rows[-1].name, results)
    if shown is None:
        return [], [table.stub], [], [f"Without {table.rows[-1].label} there are no figures."]
    found = shown.found.get("localisation")
    if not found:
        why = "No test image has a mask or a box, so nothing can be said of places."
        return [], [table.stub], [], [why]
    header = [table.stub, "images", "IOU, mean (SD): paper", "IOU, mean (SD): ours"]
    for name in table.figures[1:]:
        header += [f"{name}: paper", f"{name}: ours (95 %)"]
    csv, lines = [], []
    for row in [*found["per_class"], found | {"class": ALL}]:
        paper = table.by_class.get(row["class"], {})
        cells = [row["class"], f"{row['n']}"]
        cells.append(_spread(paper.get("iou"), paper.get("iou_sd")))
        cells.append(_spread(row["iou"].get("value"), row["iou"].get("sd")))
        for name in table.figures:
            low, high = widest_interval(row[name]) or (None, None)
            head = {"class": row["class"], "n": row["n"], "figure": name, "paper": paper.get(name)}
            head |= {"value": row[name].get("value"), "ci95_low": low, "ci95_high": high}
            sd = {"paper_sd": paper.get("iou_sd"), "sd": row[name].get("sd")}
            csv.append(head | (sd if name == "iou" else dict.fromkeys(sd)))
        for name in table.figures[1:]:
            cells += [_share(paper.get(name)), text_of(row[name])]
        lines.append(cells)
    return csv, header, lines, _how_localised(found)


def _how_localised(found):
    rule = ", ".join(f"{name} {value}" for name, value in found["rule"].items())
    lines = [
        f"IOU of the predicted box with the true one: {found['truth']}; over {found['over']}.",
        f"From maps to box: {rule}.",
        f"IOU over all: {text_of(found['iou'])}. Correct: IOU above 0.5. Relative: above half of "
        "the class's highest IOU.",
    ]
    if _value(found.get("constant")) is not None:
        lines.append(
            "The validation images' mean true box, given as the answer to every image, would reach "
            f"an IOU of {_spread(found['constant']['value'], found['constant'].get('sd'))}."
        )
    return lines


def _spread(mean, sd):
    if mean is None:
        return "–"
    return f"{mean:.2f}" if sd is None else f"{mean:.2f} ({sd:.2f})"


def _share(value):
    return "–" if value is None else f"{value:.2f}"
