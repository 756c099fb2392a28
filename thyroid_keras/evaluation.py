"""From a trained model and its splits to everything that a run folder says about it."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import attention_maps
from thyroid_keras.prediction import input_size, predict
from thyroid_keras.report import Example, choose_examples, gallery, save_figure, write_plots
from thyroid_keras.report import write_report as write_page
from thyroid_keras.runs import write_csv, write_json

MASK_THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)


def evaluate(run, model, splits, *, batch_size=16, seed=0):
    """Judges a model on the test split and writes metrics, predictions, plots and page.

    Both thresholds, of the class and of the mask, are chosen on the validation split.

    Args:
        run: `runs.Run` with `config.json`.
        model: `keras.Model` that takes images in [0, 1].
        splits: `data.splits.Splits`.
        batch_size: int >= 1.
        seed: of the bootstrap.

    Returns:
        The dict that is in `metrics.json`.

    Raises:
        DataError: with every file that cannot be read.
    """
    size, channels = input_size(model)
    stores, answers = {}, {}
    for part, word in (("val", "validation"), ("test", "test")):
        stores[part] = PixelStore(
            splits.parts[part], size, channels, label=f"Reading {word} images"
        )
        answers[part] = predict(
            model, stores[part], batch_size=batch_size, label=f"Predicting {word} images"
        )
    thresholds = choose_thresholds(stores["val"], answers["val"])
    found = {"split": "test", "group_unit": splits.test.group_unit} | _figures(
        stores["test"], answers["test"], thresholds, seed
    )
    validation = _figures(stores["val"], answers["val"], thresholds, seed)
    found["validation"] = {
        name: validation[name]
        for name in ("n", "groups", "accuracy", "roc_auc", "dice")
        if name in validation
    }
    write_json(run.metrics, found)
    write_predictions(run, {"test": splits.test}, answers, thresholds)
    gallery_of = (model, stores["test"], answers["test"], thresholds)
    pages = ((write_plots, ()), (write_gallery, gallery_of), (write_page, ()))
    for write, arguments in track(pages, "Drawing the report"):
        write(run, *arguments)
    return found


def choose_thresholds(store, answers):
    """Chooses the thresholds of class and mask on validation data.

    Args:
        store: `PixelStore` of the validation split.
        answers: `Predictions` for it.

    Returns:
        dict: `label` and `mask`, each a float, and for each `<name>_origin`, a sentence.
    """
    chosen = {"label": 0.5, "label_origin": "the likeliest class wins"}
    if answers.probabilities.shape[1] == 2:
        chosen["label"], chosen["label_origin"] = metrics.choose_threshold(
            store.table.labels == 1, answers.probabilities[:, 1]
        )
    if answers.masks is None:
        return chosen
    truth = drawn_masks(store)
    positive = [i for i, mask in enumerate(truth) if mask is not None and mask.any()]
    if not positive:
        return chosen | {"mask": 0.5, "mask_origin": "0.5, since no validation image has a mask"}
    true = np.stack([truth[i] for i in positive])
    dice = [
        np.nanmean(metrics.dice_scores(true, answers.masks[positive] >= t)) for t in MASK_THRESHOLDS
    ]
    return chosen | {
        "mask": float(MASK_THRESHOLDS[int(np.argmax(dice))]),
        "mask_origin": f"largest mean Dice on {len(positive)} validation images with a mask",
    }


def drawn_masks(store):
    """Returns per sample the true mask, bool `(H, W)`, or `None` where nobody drew one."""
    masks = []
    for i, sample in enumerate(store.table.samples):
        masks.append(None if sample.mask is None else store.read([i])[1][0, ..., 0] >= 128)
    return masks


def _figures(store, answers, thresholds, seed):
    table = store.table
    found = metrics.classification_metrics(
        table.labels,
        answers.probabilities,
        table.groups,
        threshold=thresholds["label"],
        class_names=table.class_names,
        seed=seed,
    )
    found["threshold_origin"] = thresholds["label_origin"]
    if answers.masks is None:
        return found
    truth = drawn_masks(store)
    known = [i for i, mask in enumerate(truth) if mask is not None]
    if not known:
        return found | {"dice": {"value": None, "reason": "no image has a true mask"}}
    overlap = metrics.segmentation_metrics(
        np.stack([truth[i] for i in known]),
        answers.masks[known] >= thresholds["mask"],
        table.groups[known],
        seed=seed,
    )
    overlap |= {
        "threshold": thresholds["mask"],
        "threshold_origin": thresholds["mask_origin"],
        "mask_source": table.mask_source,
    }
    return found | {"dice": overlap["dice"], "segmentation": overlap}


def write_predictions(run, tables, answers, thresholds, fold=None):
    """Writes `predictions.csv`: a row per image of each table.

    Args:
        run: `runs.Run`.
        tables: dict from split name to `SampleTable`.
        answers: dict from split name to `Predictions`.
        thresholds: see `choose_thresholds`.
        fold: int, of a cross-validation.
    """
    rows = []
    for split, table in tables.items():
        given = answers[split].probabilities
        decided = metrics.decide(given, thresholds["label"])
        for i, sample in enumerate(table.samples):
            rows.append(
                {
                    "image": sample.name,
                    "group": sample.group,
                    "label": table.class_names[sample.label],
                    "predicted": table.class_names[decided[i]],
                    **{f"p_{name}": p for name, p in zip(table.class_names, given[i], strict=True)},
                    "split": split,
                    "fold": fold,
                }
            )
    write_csv(run.predictions, rows)


def write_gallery(run, model, store, answers, thresholds, *, count=2):
    """Draws `plots/gallery.png`: successes and failures with masks and attention maps."""
    table = store.table
    picks = choose_examples(
        table.labels, answers.probabilities, threshold=thresholds["label"], count=count
    )
    chosen = np.array([index for _, index in picks])
    pixels, masks = store.read(chosen)
    maps = attention_maps(model, pixels * GREY_LEVEL)
    shown = {
        "attention, gate 3 of the mask": "mask_gate3",
        "attention, gate 1 of the label": "label_gate1",
    }
    decided = metrics.decide(answers.probabilities, thresholds["label"])
    mask_name = "weak mask" if "weak" in (table.mask_source or "") else "true mask"
    examples = []
    for row, (kind, i) in enumerate(picks):
        sample = table.samples[i]
        drawn = masks is not None and sample.mask is not None
        examples.append(
            Example(
                name=sample.name,
                kind=kind,
                image=pixels[row],
                label=sample.label,
                predicted=int(decided[i]),
                probabilities=answers.probabilities[i],
                mask=masks[row, ..., 0] >= 128 if drawn else None,
                maps={title: maps[name][row] for title, name in shown.items() if name in maps},
                predicted_mask=None if answers.masks is None else answers.masks[i],
                mask_threshold=thresholds.get("mask", 0.5),
                mask_name=mask_name,
            )
        )
    save_figure(gallery(examples, class_names=table.class_names), run.plots / "gallery.png")
