"""What the rows of a table came to, as figures and as cells of text."""

import dataclasses
import pathlib

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.metrics import widest_interval
from thyroid_keras.metrics.by_class import macro_rates
from thyroid_keras.pooling import pool
from thyroid_keras.recipes import Row
from thyroid_keras.report.results import Answers, read_answers
from thyroid_keras.runs import Run, RunError
from thyroid_keras.training import Recipe

NAMES = {
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "roc_auc": "AUC",
    "dice": "Dice",
    "f1": "macro F1",
}


def called(table, figure):
    """Returns what a figure is called in a table."""
    return table.names.get(figure) or NAMES.get(figure, figure)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One row, trained and judged.

    Args:
        row, recipe: what was trained.
        folder: of the run, or of its folds.
        config, found: the contents of `config.json` and `metrics.json`; `None` where the
            training did not end well.
        answers: `Answers` to the test images, or `None` likewise.
        failure: why there are no figures, or `None`.
    """

    row: Row
    recipe: Recipe
    folder: pathlib.Path
    config: dict | None = None
    found: dict | None = None
    answers: Answers | None = None
    failure: str | None = None


def read_result(row, recipe, folder, failure=None):
    """Reads what a row came to, and pools its folds where that is not done yet.

    Args:
        row, recipe, folder, failure: see `Result`.

    Returns:
        `Result`.

    Raises:
        RunError: if a file of the run is damaged.
    """
    if failure:
        return Result(row=row, recipe=recipe, folder=folder, failure=failure)
    if (folder / "fold_0").exists() and not Run(folder).report.exists():
        pool(Run(folder))
    run = Run.open(folder, "metrics", "predictions")
    config, found = run.read_config(), run.read_metrics()
    answers = read_answers(run, config["data"]["class_names"], found["split"])
    fields = {"row": row, "recipe": recipe, "folder": folder}
    return Result(config=config, found=found, answers=answers, **fields)


def check_comparable(results):
    """Refuses rows that were not judged on the same images.

    Raises:
        RunError: naming the rows.
    """
    first_of = {}
    for other in (result for result in results if result.found):
        known = first_of.setdefault(other.row.target, other)  # other labels, another split
        first = known.answers
        facts = ("images", "groups", "labels")
        if not all(np.array_equal(*(getattr(a, f) for a in (first, other.answers))) for f in facts):
            raise RunError(
                f"{other.folder}: judged on other images than {known.folder}, so their figures "
                "cannot stand in one table. Remove the folder that was not made by this command."
            )


def paired_differences(results, table, seed=0):
    """How far each row lies above the one that it is compared with, and those of the claims.

        difference = figure - figure_other, of the same resampled groups

    Args:
        results: sequence of `Result`, of the same images.
        table: `Table`, which says what is compared with what, and by which figure.
        seed: of the bootstrap.

    Returns:
        dict from `(row, other)`, their names, to figure; empty where nothing can be
        compared, such as the AUC of more than two classes.
    """
    whole = {r.row.name: r for r in results if r.found}
    pairs = [(r.row.name, r.row.against or table.reference) for r in whole.values()]
    pairs += [(claim.row, claim.other) for claim in table.claims]
    pairs = [(a, b) for a, b in dict.fromkeys(pairs) if a != b and {a, b} <= set(whole)]
    if not pairs:
        return {}
    answers = {name: whole[name].answers for pair in pairs for name in pair}
    one = next(iter(answers.values()))
    if table.compared == "roc_auc" and len(one.class_names) != 2:
        return {}

    def differences(weights):
        values = {name: _statistic(answers[name], table.compared, weights) for name in answers}
        return {(a, b): values[a] - values[b] for a, b in pairs}

    return metrics.bootstrap(differences, one.groups, seed=seed)


def _statistic(answers, figure, weights):
    if figure == "roc_auc":
        return metrics.roc_auc(answers.labels == 1, answers.probabilities[:, 1], weights)
    num_classes = len(answers.class_names)
    return macro_rates(answers.labels, answers.predicted, num_classes, weights)[figure]


def csv_rows(table, results, differences):
    """Returns the rows of `table.csv`: one per row of the table and figure."""
    lines = []
    for result in results:
        head = {"row": result.row.name, "label": result.row.label, "arch": result.row.arch}
        head["status"] = result.failure or "done"
        found = result.found or {}
        figures = {name: found.get(name) or {} for name in table.figures}
        figures |= {f"leaked_{n}": f for n, f in (found.get("leak") or {}).items() if n in figures}
        for (row, other), difference in differences.items():
            if row == result.row.name:
                figures[f"{table.compared}_minus_{other}"] = difference
        for name, figure in figures.items():
            low, high = widest_interval(figure) or (None, None)
            spread = (found.get("mean_sd") or {}).get(name) or {}
            lines.append(
                head
                | {
                    "figure": name,
                    "paper": result.row.reported.get(name),
                    "value": figure.get("value"),
                    "ci95_low": low,
                    "ci95_high": high,
                    "n": figure.get("n"),
                    "groups": found.get("groups"),
                    "group_unit": found.get("group_unit"),
                    "split": found.get("split"),
                    "folds": len(found.get("folds") or found.get("per_fold") or ()) or None,
                    "folds_mean": spread.get("mean"),
                    "folds_sd": spread.get("sd"),
                }
            )
    return lines


def text_of(figure, form=".3f"):
    """Returns e.g. `0.912 (0.870 to 0.941)`, or a dash."""
    if not figure or figure.get("value") is None:
        return "–"
    interval = widest_interval(figure)
    bounds = f" ({interval[0]:{form}} to {interval[1]:{form}})" if interval else ""
    return f"{figure['value']:{form}}{bounds}"


def main_table(table, results, differences):
    """Returns the header and the rows of the table that people read, as text.

    A row is there that was trained, or of which the paper has a figure.
    """
    header = [table.stub]
    for name in table.figures:
        header += [f"{called(table, name)}: paper", f"{called(table, name)}: ours (95 %)"]
    others = {other for _, other in differences}
    labels = {result.row.name: result.row.label for result in results}
    compared = called(table, table.compared)
    if others:
        said = labels[table.reference] if others == {table.reference} else "the network named"
        header.append(f"{compared} minus that of {said} (95 %)")
    trained, rows = {result.row.name: result for result in results}, []
    for row in table.rows:
        name, cells, result = row.name, [row.label], trained.get(row.name)
        if result is None and not any(row.reported.get(f) is not None for f in table.figures):
            continue
        for figure in table.figures:
            reported = row.reported.get(figure)
            cells.append("–" if reported is None else f"{reported:.3f}")
            found = (result and result.found) or {}
            cells.append((result and result.failure) or text_of(found.get(figure)))
        if others:
            other = row.against or table.reference
            several = others != {table.reference} and (name, other) in differences
            named = f", {labels[other]}" if several else ""
            cells.append(text_of(differences.get((name, other))) + named)
        rows.append(cells)
    return header, rows


def folds_table(table, results):
    """Returns header and rows of the means over the folds; `None` without folds."""
    spreads = [(r.row.label, (r.found or {}).get("mean_sd")) for r in results]
    if not any(spread for _, spread in spreads):
        return None

    def cell(figure):
        if not figure or figure.get("sd") is None:
            return "–"
        return "{mean:.3f} ± {sd:.3f}".format(**figure)

    header = [table.stub, *(called(table, name) for name in table.figures)]
    return header, [
        [label, *(cell((s or {}).get(n)) for n in table.figures)] for label, s in spreads
    ]
