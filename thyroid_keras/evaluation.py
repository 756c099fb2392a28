"""From a trained model and its splits to everything that a run folder says about it."""

import functools

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.calcifications import describe, survey, with_numbers
from thyroid_keras.data.boxes import true_boxes
from thyroid_keras.data.progress import track
from thyroid_keras.data.store import PixelStore
from thyroid_keras.examples import write_gallery
from thyroid_keras.metrics import MASK_THRESHOLDS
from thyroid_keras.nodules import (
    choose_map_thresholds,
    facts_of,
    figures_of_maps,
    follow,
    has_nodules,
    look,
)
from thyroid_keras.places import figures_of_boxes, has_places, usual_box, with_boxes
from thyroid_keras.prediction import input_size, judge, locate, predict
from thyroid_keras.report import write_plots
from thyroid_keras.report import write_report as write_page
from thyroid_keras.runs import write_csv, write_json

UNCHOSEN = {"label": 0.5, "label_origin": "the likeliest class wins"}


def evaluate(run, model, splits, *, facts=None, batch_size=16, seed=0):
    """Judges a model on the test split and writes metrics, predictions, plots and page.

    Both thresholds, of the class and of the mask, and the box that boxes are held against are
    chosen on the validation split; where it is empty, since all was learned from, none is.

    Args:
        run: `runs.Run` with `config.json`.
        model: `keras.Model` that takes images in [0, 1].
        splits: `data.splits.Splits`.
        facts: dict of what else belongs into `metrics.json`.
        batch_size: int >= 1.
        seed: of the bootstrap.

    Returns:
        The dict that is in `metrics.json`.

    Raises:
        DataError: with every file that cannot be read.
    """
    options = {"batch_size": batch_size, "seed": seed}
    if not len(splits.val):
        return evaluate_table(run, model, splits.test, UNCHOSEN, facts=facts, **options)
    store = open_store(splits.val, model, "validation")
    probabilities, counts = judge(
        model, store, MASK_THRESHOLDS, batch_size=batch_size, label="Predicting validation images"
    )
    thresholds = choose_thresholds(splits.val, probabilities, counts)
    if has_nodules(model, splits.val):
        thresholds |= choose_map_thresholds(
            model, store, thresholds["label"], batch_size=batch_size
        )
    if has_places(model, splits.val):
        thresholds["box"] = usual_box(store)
    if counts is not None:
        counts = counts[..., MASK_THRESHOLDS.index(thresholds["mask"])]
    source = run.read_config()["data"].get("source") or {}
    if splits.leaked is not None:  # of which the validation images are part, too
        known = {"leak": _judge_leak(model, splits.leaked, thresholds["label"], batch_size, seed)}
    elif source.get("augment_before_split"):  # likewise, judged on other data
        known = {}
    else:
        known = figures_of(splits.val, probabilities, counts, thresholds, seed)
        names = ("n", "groups", "accuracy", "roc_auc", "dice")
        known = {"validation": {name: known[name] for name in names if name in known}}
    facts = known | (facts or {})
    return evaluate_table(run, model, splits.test, thresholds, facts=facts, **options)


def _judge_leak(model, table, threshold, batch_size, seed):
    store = open_store(table, model, "leaked test")
    options = {"batch_size": batch_size, "label": "Predicting leaked test images"}
    answers = [batch.probabilities for batch in predict(model, store, **options)]
    facts = table.groups, table.class_names, seed
    return metrics.brief(table.labels, np.concatenate(answers), threshold, *facts)


def evaluate_table(run, model, table, thresholds, *, facts=None, batch_size=16, seed=0):
    """Judges a model on one table with given thresholds, and writes what `evaluate` does.

    Args:
        run, model, batch_size, seed: as for `evaluate`.
        table: `SampleTable`, none of whose pictures the model has learned from.
        thresholds: see `choose_thresholds`.
        facts: dict of what else belongs into `metrics.json`.

    Returns:
        The dict that is in `metrics.json`.

    Raises:
        DataError: with every file that cannot be read.
    """
    store = open_store(table, model, "test")
    options = {"batch_size": batch_size, "label": "Predicting test images"}
    counts = boxes = truth = None
    surveys = []
    nodules = "map" in thresholds and has_nodules(model, table)
    if has_places(model, table):
        if nodules:
            options["look"] = functools.partial(look, thresholds=thresholds)
        probabilities, boxes, columns = locate(model, store, thresholds["label"], **options)
        truth = true_boxes(store)
    else:
        mask_at = thresholds.get("mask", 0.5)
        options["look"] = lambda batch: surveys.extend(survey(batch, store, mask_at))
        probabilities, counts = judge(model, store, [mask_at], **options)
        counts = None if counts is None else counts[..., 0]
    found = {"split": "test", "group_unit": table.group_unit}
    found["excluded"] = {"count": len(table.excluded)}
    found |= figures_of(table, probabilities, counts, thresholds, seed) | (facts or {})
    if boxes is not None:
        found["localisation"] = figures_of_boxes(store, truth, boxes, thresholds.get("box"), seed)
    if nodules:
        named = metrics.decide(probabilities, thresholds["label"])
        areas, curves = follow(model, store, named, seed=seed)
        columns |= areas
        facts = facts_of(store, thresholds) | {"curves": curves}
        found["maps"] = figures_of_maps(columns, table.groups, facts, seed)
    if surveys:
        found["calcifications"] = describe(run, surveys, store, seed)
    write_json(run.metrics, found)
    fold = (run.read_config()["data"].get("source") or {}).get("fold")
    rows = prediction_rows(table, probabilities, counts, thresholds, fold)
    if boxes is not None:
        rows = with_boxes(rows, truth, boxes, columns)
    rows = with_numbers(rows, surveys)
    write_csv(run.predictions, rows)
    gallery_of = (model, store, probabilities, thresholds)
    pages = ((write_plots, ()), (write_gallery, gallery_of), (write_page, ()))
    for write, arguments in track(pages, "Drawing the report"):
        write(run, *arguments)
    return found


def open_store(table, model, word):
    """Opens a table's pixels at the size that a model takes; `word` names them."""
    return PixelStore(table, *input_size(model), label=f"Reading {word} images")


def choose_thresholds(table, probabilities, counts):
    """Chooses the thresholds of class and mask on validation data.

    Args:
        table: `SampleTable`, the validation split.
        probabilities: `(N, K)`.
        counts: `(3, N, T)` at `MASK_THRESHOLDS`, see `prediction.judge`, or `None`.

    Returns:
        dict: `label` and `mask`, each a float, and for each `<name>_origin`, a sentence.
    """
    chosen = dict(UNCHOSEN)
    if probabilities.shape[1] == 2:
        chosen["label"], chosen["label_origin"] = metrics.choose_threshold(
            table.labels == 1, probabilities[:, 1]
        )
    if counts is None:
        return chosen
    best = metrics.best_threshold(counts)
    return chosen | dict(zip(("mask", "mask_origin"), best, strict=True))


def figures_of(table, probabilities, counts, thresholds, seed):
    """Everything `metrics.json` says of the answers to a table.

    Args:
        table: `SampleTable`; or what has its `labels`, `groups`, `class_names` and
            `mask_source`.
        probabilities: `(N, K)`.
        counts: `(3, N)`, see `prediction.judge`, or `None`.
        thresholds: see `choose_thresholds`; `label` may be one per image, `(N,)`.
        seed: of the bootstrap.
    """
    found = metrics.classification_metrics(
        table.labels,
        probabilities,
        table.groups,
        threshold=thresholds["label"],
        class_names=table.class_names,
        seed=seed,
    )
    found["threshold_origin"] = thresholds["label_origin"]
    if counts is None:
        return found
    known = np.isfinite(counts[1])
    if not known.any():
        return found | {"dice": {"value": None, "reason": "no image has a true mask"}}
    overlap = metrics.segmentation_metrics(counts[:, known], table.groups[known], seed=seed)
    overlap |= {
        "threshold": thresholds["mask"],
        "threshold_origin": thresholds["mask_origin"],
        "mask_source": table.mask_source,
    }
    return found | {"dice": overlap["dice"], "segmentation": overlap}


def prediction_rows(table, probabilities, counts, thresholds, fold=None):
    """The rows of `predictions.csv`, one per image.

    Where the network draws masks: `mask_px` and `true_mask_px`, the pixels of the
    predicted and the true one at the network's size, and `dice` where the true one is
    not empty.

    Args:
        table, probabilities, counts, thresholds: as for `figures_of`.
        fold: int, of a cross-validation.

    Returns:
        List of dicts; a missing value is `None` or NaN.
    """
    decided = metrics.decide(probabilities, thresholds["label"])
    rows = []
    for i, sample in enumerate(table.samples):
        rows.append(
            {
                "image": sample.name,
                "group": sample.group,
                "label": table.class_names[sample.label],
                "predicted": table.class_names[decided[i]],
                **{
                    f"p_{name}": p
                    for name, p in zip(table.class_names, probabilities[i], strict=True)
                },
                "split": "test",
                "fold": fold,
            }
        )
    if counts is not None:
        dice = np.where(counts[1] > 0, metrics.dice_scores(counts), np.nan)
        for row, value, (_, true, said) in zip(rows, dice, counts.T, strict=True):
            row |= {"dice": value, "mask_px": int(said)}
            row["true_mask_px"] = int(true) if np.isfinite(true) else None
    return rows
