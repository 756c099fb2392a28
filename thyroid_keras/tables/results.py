"""What the rows of a table came to, as figures and as cells of text."""

import dataclasses
import pathlib

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.metrics import widest_interval
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
}


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
    whole = [result for result in results if result.found]
    for other in whole[1:]:
        first = whole[0].answers
        facts = ("images", "groups", "labels")
        if not all(np.array_equal(*(getattr(a, f) for a in (first, other.answers))) for f in facts):
            raise RunError(
                f"{other.folder}: judged on other images than {whole[0].folder}, so their figures "
                "cannot stand in one table. Remove the folder that was not made by this command."
            )


def auc_differences(results, reference, seed=0):
    """How much worse each row tells the classes apart than the reference does.

        difference = auc - auc_reference, of the same resampled groups

    Args:
        results: sequence of `Result`, of the same images.
        reference: name of a row; `None`: of no row.
        seed: of the bootstrap.

    Returns:
        dict from row name to figure; empty without the reference or with more than two
        classes.
    """
    whole = {r.row.name: r for r in results if r.found}
    if reference not in whole or len(whole[reference].answers.class_names) != 2:
        return {}
    truth, groups = whole[reference].answers.labels == 1, whole[reference].answers.groups
    scores = {name: result.answers.probabilities[:, 1] for name, result in whole.items()}

    def differences(weights):
        aucs = {name: metrics.roc_auc(truth, s, weights) for name, s in scores.items()}
        return {n: auc - aucs[reference] for n, auc in aucs.items() if n != reference}

    return metrics.bootstrap(differences, groups, seed=seed) if len(whole) > 1 else {}


def csv_rows(table, results, differences):
    """Returns the rows of `table.csv`: one per row of the table and figure."""
    lines = []
    for result in results:
        head = {"row": result.row.name, "label": result.row.label, "arch": result.row.arch}
        head["status"] = result.failure or "done"
        found = result.found or {}
        figures = {name: found.get(name) or {} for name in table.figures}
        if result.row.name in differences:
            figures[f"roc_auc_minus_{table.reference}"] = differences[result.row.name]
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
                    "folds": len(found.get("folds") or ()) or None,
                    "folds_mean": spread.get("mean"),
                    "folds_sd": spread.get("sd"),
                }
            )
    return lines


def text_of(figure):
    """Returns e.g. `0.912 (0.870 to 0.941)`, or a dash."""
    if not figure or figure.get("value") is None:
        return "–"
    interval = widest_interval(figure)
    bounds = " ({:.3f} to {:.3f})".format(*interval) if interval else ""
    return f"{figure['value']:.3f}{bounds}"


def main_table(table, results, differences):
    """Returns the header and the rows of the table that people read, as text."""
    header = [table.stub]
    for name in table.figures:
        header += [f"{NAMES.get(name, name)}: paper", f"{NAMES.get(name, name)}: ours (95 %)"]
    reference = next((r.row.label for r in results if r.row.name == table.reference), None)
    if differences:
        header.append(f"AUC minus that of {reference} (95 %)")
    rows = []
    for result in results:
        cells = [result.row.label]
        for name in table.figures:
            reported = result.row.reported.get(name)
            cells.append("–" if reported is None else f"{reported:.3f}")
            cells.append(result.failure or text_of((result.found or {}).get(name)))
        if differences:
            cells.append(text_of(differences.get(result.row.name)))
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

    header = [table.stub, *(NAMES.get(name, name) for name in table.figures)]
    return header, [
        [label, *(cell((s or {}).get(n)) for n in table.figures)] for label, s in spreads
    ]
