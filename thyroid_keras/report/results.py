"""What a run folder holds, as arrays, and the plots drawn from it."""

import dataclasses
import re

import numpy as np

from thyroid_keras.report.faithfulness import faithfulness
from thyroid_keras.report.learning import learning_curves
from thyroid_keras.report.plots import calibration, confusion, precision_recall, roc
from thyroid_keras.report.several import fold_roc
from thyroid_keras.report.style import save_figure
from thyroid_keras.runs import RunError, read_csv

MAP_COLUMN = re.compile("(map|centre|random)_(hit|ap|dice|iou|deletion|insertion)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """The rows of `predictions.csv` of one split, as arrays.

    Args:
        images, groups: `(N,)` str.
        labels, predicted: `(N,)` int64 in [0, K).
        probabilities: `(N, K)`.
        class_names: K strings.
        folds: `(N,)` int64, which model of a cross-validation answered; `None`: the only.
        ious: float64 `(N,)`, of each image's box with the true one, NaN where there is no
            true one; `None` where none was found.
        maps: dict from column to float64 `(N,)`, NaN where unknown: what each image's maps
            are worth, see `nodules.look` and `follow`; empty where nobody judged them.
        counts: float64 `(3, N)`, pixels in both masks, in the true one (NaN where nobody
            drew one) and in the predicted one; `None` where none was predicted.
    """

    images: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    folds: np.ndarray | None = None
    ious: np.ndarray | None = None
    maps: dict = dataclasses.field(default_factory=dict)
    counts: np.ndarray | None = None


def read_answers(run, class_names, split="test"):
    """Reads the answers to the images of a split.

    Args:
        run: `thyroid_keras.runs.Run`.
        class_names: K strings; the columns are `p_<class name>`.
        split: rows of another split are left out; all are taken where no row says.

    Returns:
        `Answers`, or `None` where there are none.

    Raises:
        RunError: if a column is missing or a cell is not what it should be.
    """
    if not run.predictions.exists():
        return None
    # not as numbers: classes may be called 1 and 2
    rows = [r for r in read_csv(run.predictions) if r.get("split", "") in ("", split)]
    if not rows or "label" not in rows[0]:  # of a network without classes
        return None
    try:
        return Answers(
            images=np.array([r["image"] for r in rows], dtype=object),
            groups=np.array([r["group"] for r in rows], dtype=object),
            labels=np.array([class_index(r["label"], class_names) for r in rows]),
            predicted=np.array([class_index(r["predicted"], class_names) for r in rows]),
            probabilities=np.array([[float(r[f"p_{c}"]) for c in class_names] for r in rows]),
            class_names=tuple(class_names),
            folds=np.array([int(r["fold"]) for r in rows]) if rows[0].get("fold") else None,
            ious=_numbers(rows, "iou") if "iou" in rows[0] else None,
            maps={name: _numbers(rows, name) for name in rows[0] if MAP_COLUMN.fullmatch(name)},
            counts=_mask_counts(rows) if "mask_px" in rows[0] else None,
        )
    except (LookupError, ValueError, TypeError) as error:
        raise RunError(
            f"{run.predictions}: does not fit the classes {tuple(class_names)} of config.json. "
            f"Repeat the run's evaluation. Received: {error}"
        ) from error


def _numbers(rows, column):
    return np.array([float(row[column] or "nan") for row in rows])


def _mask_counts(rows):
    """What `metrics.overlaps` counted, from the columns of `predictions.csv`."""
    dice, true, said = (_numbers(rows, name) for name in ("dice", "true_mask_px", "mask_px"))
    both = np.where(true > 0, np.rint(dice * (true + said) / 2), true)
    return np.stack([both, true, said])


def class_index(cell, class_names):
    """The index of a class given by name or, where no class is called so, by index."""
    if cell in class_names:
        return list(class_names).index(cell)
    class_names[int(cell)]  # an index out of range is an error here, not later
    return int(cell)


def write_plots(run):
    """Draws all plots that need no images, from the files of a run, into `plots/`.

    What the run lacks is left out. The gallery needs images: see `gallery`.

    Args:
        run: `thyroid_keras.runs.Run` with `config.json`.

    Raises:
        RunError: if a file of the run is damaged.
    """
    data = run.read_config()["data"]
    class_names = data["class_names"]
    found = run.read_metrics() if run.metrics.exists() else {}
    answers = read_answers(run, class_names, found.get("split", "test"))
    figures = {}
    if answers is not None:
        arrays = answers.labels, answers.probabilities
        common = {"class_names": class_names}
        folded = bool(found.get("folds") or found.get("per_fold"))
        quoted = {"found": found, "unit": data.get("group_unit", "group")}
        threshold = None if folded else found.get("threshold")  # each fold has its own
        marked = common | quoted | {"threshold": threshold}
        counts = np.zeros((len(class_names), len(class_names)), dtype=int)
        np.add.at(counts, (answers.labels, answers.predicted), 1)
        if folded:
            figures["roc"] = fold_roc(answers, **quoted)
        else:
            figures["roc"] = roc(*arrays, answers.groups, **marked)
        figures["precision_recall"] = precision_recall(*arrays, answers.groups, **marked)
        figures["confusion"] = confusion(counts, **common)
        figures["calibration"] = calibration(*arrays, **common)
    if run.history.exists():
        figures["learning_curves"] = learning_curves(run.read_history())
    if "curves" in found.get("maps", {}):
        figures["faithfulness"] = faithfulness(found["maps"])
    for name, figure in figures.items():
        save_figure(figure, run.plots / f"{name}.png")
