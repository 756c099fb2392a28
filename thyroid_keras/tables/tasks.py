"""Tables over several tasks: a paper's protocol and repeated trainings, side by side."""

import dataclasses
import warnings

import numpy as np
from scipy import stats

from thyroid_keras import metrics
from thyroid_keras.preparation import targets_of
from thyroid_keras.recipes import Task
from thyroid_keras.recipes.protocol import FILE
from thyroid_keras.runs import read_json
from thyroid_keras.tables.claims import p_text, verdict
from thyroid_keras.tables.results import text_of

OTHER = Task(name="other", label="These data", target=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What `protocol.json` of a run says.

    Args:
        epochs: test accuracies of the epochs that the paper would average, `(E,)`.
        right: `(R, N)`, whether each of R trainings is right about each test image.
        settings: those chosen, as text.
    """

    epochs: np.ndarray
    right: np.ndarray
    settings: str


def read_measured(result):
    """Returns the `Measured` of a row; of a run without the protocol its one training."""
    path = result.folder / FILE
    found = read_json(path) if path.exists() else {}
    repeats = [found[name] for name in sorted(found) if name.startswith("repeat_")]
    one = result.answers.predicted == result.answers.labels
    return Measured(
        epochs=np.array(found.get("measured") or [], float),
        right=np.array(repeats or [one], float),
        settings=", ".join((found.get("chosen") or {}).get("settings") or ()),
    )


def by_task(table, rows, options):
    """Returns each row once for each task whose labels the data has.

    Args:
        table: `Table`.
        rows: of `Row`.
        options: `cells.Options`.

    Returns:
        List of `Row`; as they are where the data has none of the tasks.
    """
    targets = [options.target]
    if options.data is not None and options.target is None:
        targets = targets_of(options.data, options.format)
    tasks = [task for task in table.tasks if task.target and task.target in targets]
    return [of_task(row, task) for task in tasks for row in rows] or list(rows)


def of_task(row, task):
    """Returns a row as that of one task."""
    return dataclasses.replace(
        row,
        name=f"{row.name}_{task.name}",
        label=f"{row.label}, {task.label}",
        target=task.target,
        against=None if row.against is None else f"{row.against}_{task.name}",
    )


def tasks_table(table, results, seed):
    """Sets ours, measured as the paper does and by repeated trainings, beside the paper's.

    Args:
        table: `Table` whose lines are `tasks`.
        results: sequence of `Result`.
        seed: of the bootstrap.

    Returns:
        `(csv rows, header, rows of text, sentences on how it was judged, claims)`.
    """
    tasks = [t for t in table.tasks if t.target in {r.row.target for r in results} - {None}]
    whole = {result.row.name: result for result in results if result.found}
    measured = {name: read_measured(result) for name, result in whole.items()}
    shown = [*table.tasks, *(() if tasks else (OTHER,))]
    header, rows, csv = [table.stub], [], []
    for task in shown:
        said = [] if task is OTHER else ["paper"]
        if task in tasks or task is OTHER:
            said += ["ours, measured likewise", "ours, repeated trainings (95 %)"]
        else:
            said.append("ours")
        header += [f"{task.label}: {words}" for words in said]
    for row in table.rows:
        cells = [row.label]
        for task in shown:
            name = row.name if task is OTHER else f"{row.name}_{task.name}"
            paper = (row.reported.get(task.name), row.reported.get(f"{task.name}_sd"))
            found = measured.get(name)
            cells += [] if task is OTHER else [_spread(*paper)]
            if task in tasks or task is OTHER:
                figure = accuracy_of(found, whole[name], seed) if found else None
                cells += [_mean_sd(found), _repeated(found, figure)]
                csv += [_csv_row(row, task, paper, found, figure)] if found else []
            else:
                cells.append("–")
        rows.append(cells)
    return csv, header, rows, _how(whole, measured), _claims(table, tasks, whole, measured, seed)


def accuracy_of(found, result, seed):
    """Returns the mean accuracy of repeated trainings, a figure whose interval is over images.

    Args:
        found: `Measured`.
        result: the `Result` that it is of.
        seed: of the bootstrap.
    """
    right = found.right.mean(axis=0)
    return metrics.bootstrap(
        lambda weights: {"accuracy": weights @ right / weights.sum(axis=1)},
        result.answers.groups,
        seed=seed,
    )["accuracy"]


def _spread(mean, sd):
    if mean is None:
        return "–"
    return f"{mean:.4f}" if sd is None else f"{mean:.4f} ± {sd:.4f}"


def _mean_sd(found):
    if found is None or not len(found.epochs):
        return "–"
    sd = found.epochs.std(ddof=1) if len(found.epochs) > 1 else None
    mean = found.epochs.mean()
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _repeated(found, figure):
    if found is None:
        return "–"
    seeds = found.right.mean(axis=1)
    over = f"; SD over {len(seeds)}: {seeds.std(ddof=1):.3f}" if len(seeds) > 1 else ""
    return f"{text_of(figure)}{over}"


def _csv_row(row, task, paper, found, figure):
    low, high = figure.get("ci95") or (None, None)
    epochs, seeds = found.epochs, found.right.mean(axis=1)
    return {
        "row": row.name,
        "label": row.label,
        "task": task.name,
        "paper": paper[0],
        "paper_sd": paper[1],
        "epochs": len(epochs) or None,
        "epochs_mean": epochs.mean() if len(epochs) else None,
        "epochs_sd": epochs.std(ddof=1) if len(epochs) > 1 else None,
        "trainings": len(seeds),
        "value": figure["value"],
        "ci95_low": low,
        "ci95_high": high,
        "trainings_sd": seeds.std(ddof=1) if len(seeds) > 1 else None,
        "n": figure["n"],
        "settings": found.settings,
    }


def _how(whole, measured):
    lines = [
        "Measured likewise: the mean test accuracy ± SD over epochs of one training that folds of "
        "the training images preferred, as the paper has it; no interval follows from it.",
        "Repeated trainings: of other seeds on the same images, each at its best epoch by "
        "validation loss; the mean of their accuracies. Its interval is over test images, SD that "
        "over trainings; LR and SVM are one fit of training and validation images.",
    ]
    for target, result in {r.row.target: r for r in whole.values()}.items():
        labels = result.answers.labels
        most = np.bincount(labels).max() / len(labels)
        of = f", {target}" if target else ""
        lines.append(f"Always the commonest class{of}: {most:.3f} of {len(labels)} test images.")
    chosen = [f"{whole[n].row.label}: {m.settings}" for n, m in measured.items() if m.settings]
    return lines + ([f"Chosen by the folds: {'; '.join(chosen)}."] if chosen else [])


def paired_gains(claims, endings, results, measured, seed):
    """How much more often one row is right than another, over their repeated trainings.

    Args:
        claims: of `Claim`.
        endings: of the rows' names, one of each task.
        results: dict from a row's name to its `Result`.
        measured: dict from the same to its `Measured`.
        seed: of the bootstrap.

    Yields:
        `(claim, names, figure)` of each claim and task whose two rows there are.
    """
    for claim in claims:
        for ending in endings:
            one, other = names = [f"{name}{ending}" for name in (claim.row, claim.other)]
            if set(names) <= set(results):
                right = (measured[name].right.mean(axis=0) for name in names)
                groups = results[one].answers.groups
                yield claim, names, metrics.paired_mean(*right, groups, seed=seed)


def _claims(table, tasks, whole, measured, seed):
    """The paper's claims by its own test, and by the pairs of repeated trainings."""
    sentences, endings = [], [f"_{task.name}" for task in tasks] or [""]
    for claim, names, gain in paired_gains(table.claims, endings, whole, measured, seed):
        answer = "Not judged: no interval."
        if interval := gain.get("ci95"):
            low, high = interval
            epochs = (measured[name].epochs for name in names)
            answer = (
                f"{verdict(claim, gain)} {gain['value']:+.3f} ({low:+.3f} to {high:+.3f}, "
                "paired by image over repeated trainings); by the paper's t-test over epochs p "
                f"{p_text(_t_test(*epochs))}."
            )
        labels = [whole[name].row.label for name in names]
        sentences.append(f"Is {labels[0]} better than {labels[1]}? {answer}")
    return sentences


def _t_test(a, b):
    """Welch's p of two series of epochs; `None` where neither varies or one is too short."""
    if min(len(a), len(b)) < 2 or not (np.ptp(a) or np.ptp(b)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of precision, where one of them is constant
        return float(stats.ttest_ind(a, b, equal_var=False).pvalue)
