"""What five papers claim, and what our tables say of each claim."""

import dataclasses
import pathlib

from thyroid_keras import metrics
from thyroid_keras.recipes import LEDGER, TABLES, Statement
from thyroid_keras.report.shortcuts import best_shortcut
from thyroid_keras.report.style import counted
from thyroid_keras.runs import Run
from thyroid_keras.tables.claims import holds, p_text
from thyroid_keras.tables.results import called, check_comparable, paired_differences, read_result

VERDICTS = {True: "holds", False: "does not hold", None: "cannot tell with this data"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """One comparison that a claim rests on.

    Args:
        compared: what is compared with what.
        figure: what it is called, in whose units `effect` is.
        effect: dict with `value` and `ci95`: how far the first lies above the second.
        margin: within which the claim lets them differ, or `None`.
        test: images that one of the two alone has right, and McNemar's p.
        data: a sentence on the images.
        holds: `True`, `False`, or `None` where it cannot be told.
    """

    compared: str
    figure: str
    effect: dict
    margin: float | None
    test: str
    data: str
    holds: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A `Statement`, judged.

    Args:
        statement: of `recipes.LEDGER`.
        evidence: sequence of `Evidence`.
        lacking: what was not there to be judged, sentences.
    """

    statement: Statement
    evidence: tuple = ()
    lacking: tuple = ()

    @property
    def holds(self):
        """`True` where all comparisons say so, `False` where one denies it, else `None`."""
        found = [one.holds for one in self.evidence]
        if False in found:
            return False
        return True if found and all(found) and not self.lacking else None

    @property
    def verdict(self):
        """The same in words."""
        return VERDICTS[self.holds]


def judge(statement, folder, scale, seed=0):
    """Judges a claim by what stands in the folders of finished tables.

    "Better" holds where the interval of every paired difference lies above 0, and not where
    one lies below; "as good" and "equal" within a margin, likewise. An interval on both
    sides tells nothing, and neither does a row that was not trained.

    Args:
        statement: of `recipes.LEDGER`.
        folder: that holds the tables, each as `<name>-<scale>`.
        scale: `"quick"` or `"paper"`.
        seed: int >= 0, of the bootstrap.

    Returns:
        `Entry`.

    Raises:
        RunError: if a file of a run is damaged.
    """
    table = TABLES[statement.table]
    rows = pathlib.Path(folder) / f"{table.shared or table.name}-{scale}" / "rows"
    wanted = {name for claim in statement.claims for name in (claim.row, claim.other)}
    wanted |= {statement.row} - {None}
    results = {
        row.name: read_result(row, None, rows / row.name)
        for row in table.rows
        if row.name in wanted and _is_finished(rows / row.name)
    }
    lacking = tuple(r.label for r in table.rows if r.name in wanted and r.name not in results)
    check_comparable(list(results.values()))
    judged = _places if statement.kind == "places" else _differences
    evidence = judged(statement, table, results, seed)
    return Entry(statement=statement, evidence=tuple(evidence), lacking=lacking)


def judge_all(folder, scale, seed=0):
    """Returns the `Entry` of each claim of `recipes.LEDGER`, see `judge`."""
    return [judge(statement, folder, scale, seed) for statement in LEDGER]


def _is_finished(folder):
    folds = list(folder.glob("fold_*"))
    return all(Run(run).report.exists() for run in folds or [folder])


def _differences(statement, table, results, seed):
    asked = dataclasses.replace(table, claims=statement.claims, reference=None)
    found = paired_differences(list(results.values()), asked, seed)
    for claim in statement.claims:
        effect = found.get((claim.row, claim.other))
        if not effect or not effect.get("ci95"):
            continue
        one, other = results[claim.row], results[claim.other]
        right = [r.answers.predicted == r.answers.labels for r in (one, other)]
        test = metrics.mcnemar(*right)
        yield Evidence(
            compared=f"{one.row.label} against {other.row.label}",
            figure=called(table, table.compared),
            effect=effect,
            margin=claim.margin,
            test=f"{test['only_a']} : {test['only_b']}, p {p_text(test['p_value'])}",
            data=_data(one),
            holds=holds(claim, effect["ci95"]),
        )


def _places(statement, table, results, seed):
    """The boxes of a network against one box given as the answer to every image."""
    for result in results.values():
        found = result.found.get("localisation") or {}
        own, constant = found.get("iou") or {}, found.get("constant") or {}
        if not own.get("ci95") or constant.get("value") is None:
            continue
        effect = {
            "value": own["value"] - constant["value"],
            "ci95": [bound - constant["value"] for bound in own["ci95"]],
        }
        low, high = effect["ci95"]
        yield Evidence(
            compared=f"boxes of {result.row.label} against the mean true box as every answer",
            figure="IoU",
            effect=effect,
            margin=None,
            test="–",
            data=_data(result),
            holds=True if low > 0 else False if high < 0 else None,
        )


def _data(result):
    found, data = result.found, result.config["data"]
    unit = data.get("group_unit") or "group"
    said = f"{data['name']}: {counted(found['n'], 'image')} of {counted(found['groups'], unit)}"
    shortcut = best_shortcut(found)
    return f"{said}; {shortcut}" if shortcut else said
