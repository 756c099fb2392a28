"""What five papers claim, and what our tables say of each claim."""

import dataclasses
import pathlib

from thyroid_keras import metrics
from thyroid_keras.recipes import LEDGER, TABLES, Statement
from thyroid_keras.report.shortcuts import best_shortcut
from thyroid_keras.report.style import counted, counted_images
from thyroid_keras.runs import Run
from thyroid_keras.tables.claims import holds, p_text
from thyroid_keras.tables.results import called, check_comparable, paired_differences, read_result
from thyroid_keras.tables.tasks import of_task, paired_gains, read_measured

VERDICTS = {True: "holds", False: "does not hold", None: "cannot tell with this data"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """One comparison that a claim rests on.

    Args:
        compared: what is compared with what.
        figure: what it is called, in whose units `effect` is.
        effect: dict with `value` and `ci95`, which may be `None`: how far the first lies above
            the second.
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
    wanted |= set(statement.rows)
    results, lacking = {}, []
    for row in table.rows:
        if row.name in wanted:
            forms = [row, *(of_task(row, task) for task in table.tasks)]
            found = [form for form in forms if _is_finished(rows / form.name)]
            read = [read_result(form, None, rows / form.name) for form in found]
            results |= {result.row.name: _with_shortcuts(result, rows) for result in read}
            lacking += [] if found else [row.label]
    check_comparable(list(results.values()))
    evidence = tuple(JUDGES[statement.kind](statement, table, results, seed))
    return Entry(statement=statement, evidence=evidence, lacking=tuple(lacking))


def judge_all(folder, scale, seed=0):
    """Returns the `Entry` of each claim of `recipes.LEDGER`, see `judge`."""
    return [judge(statement, folder, scale, seed) for statement in LEDGER]


def _with_shortcuts(result, rows):
    """Lends a row in which no shortcut was looked for what another found on the same images."""
    target = result.config["data"].get("target")
    runs = [] if "shortcuts" in result.found else map(Run, sorted(rows.iterdir()))
    for run in runs:
        if run.metrics.exists() and run.read_config()["data"].get("target") == target:
            if known := run.read_metrics().get("shortcuts"):
                return dataclasses.replace(result, found=result.found | {"shortcuts": known})
    return result


def _is_finished(folder):
    folds = [Run(path) for path in folder.glob("fold_*")]
    if not folds:
        return Run(folder).report.exists()
    if not all(run.report.exists() for run in folds):
        return False
    return len(folds) == folds[0].read_config()["data"]["source"]["folds"]


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


def _trainings(statement, table, results, seed):
    measured = {name: read_measured(result) for name, result in results.items()}
    endings = ["", *(f"_{task.name}" for task in table.tasks)]
    found = paired_gains(statement.claims, endings, results, measured, seed)
    for claim, (one, other), effect in found:
        if not effect.get("ci95"):
            continue
        trainings = len(measured[one].right)
        yield Evidence(
            compared=f"{results[one].row.label} against {results[other].row.label}",
            figure=f"accuracy, mean of {counted(trainings, 'training')}",
            effect=effect,
            margin=claim.margin,
            test="–",
            data=_data(results[one]),
            holds=holds(claim, effect["ci95"]),
        )


def _places(statement, table, results, seed):
    """The boxes of a network against one box given as the answer to every image."""
    for result in results.values():
        found = result.found.get("localisation") or {}
        effect = found.get("above_constant") or {}
        if effect.get("ci95"):
            low, high = effect["ci95"]
            yield Evidence(
                compared=f"boxes of {result.row.label} against the validation images' mean box",
                figure="IoU",
                effect=effect,
                margin=None,
                test="–",
                data=_data(result),
                holds=True if low > 0 else False if high < 0 else None,
            )


def _leak(statement, table, results, seed):
    """The figure with the leak against the right one, by intervals that need not touch."""
    for result in results.values():
        figures = [of.get(table.compared) for of in (result.found.get("leak") or {}, result.found)]
        if all(figure and figure.get("ci95") for figure in figures):
            compared = f"{result.row.label}: augmented before splitting against after"
            yield _above(result, compared, called(table, table.compared), *figures)


def _map(statement, table, results, seed):
    """One map is one measurement: it is shown, and decides nothing."""
    for result in results.values():
        found = (result.found.get("global_map") or {}).get("after") or {}
        if found.get("ratio") is not None:
            yield Evidence(
                compared=f"the map of {result.row.label} inside the region against outside",
                figure=f"rank {found['rank']:.2f}, ratio {found['ratio']:.2f}, mean",
                effect={"value": found["inside"] - found["outside"], "ci95": None},
                margin=None,
                test="–",
                data=_data(result),
                holds=None,
            )


def _above(result, compared, figure, one, other):
    """The evidence of two figures with intervals of their own, which is wider than a paired one."""
    (low, high), (least, most) = one["ci95"], other["ci95"]
    low, high = low - most, high - least
    return Evidence(
        compared=compared,
        figure=figure,
        effect={"value": one["value"] - other["value"], "ci95": [low, high]},
        margin=None,
        test="–",
        data=_data(result),
        holds=True if low > 0 else False if high < 0 else None,
    )


JUDGES = {
    "differences": _differences,
    "trainings": _trainings,
    "places": _places,
    "map": _map,
    "leak": _leak,
}


def _data(result):
    found, data = result.found, result.config["data"]
    unit = data.get("group_unit") or "group"
    said = f"{data['name']}: {counted_images(found['n'], found['groups'], unit)}"
    shortcut = best_shortcut(found)
    return f"{said}; {shortcut}" if shortcut else said
