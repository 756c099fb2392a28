"""The sections on how well the model does."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.report.page import (
    Markup,
    interval_bar,
    paragraph,
    section,
    table,
    text,
    warning,
)
from thyroid_keras.report.style import counted_images, doubt, with_interval

# name in metrics.json, name on the page, what it means
MEANINGS = (
    ("roc_auc", "ROC AUC", "chance that a positive image scores above a negative one"),
    ("accuracy", "Accuracy", "share of images answered rightly"),
    ("balanced_accuracy", "Balanced accuracy", "mean of the classes' sensitivities"),
    ("sensitivity", "Sensitivity", "share of the positive images that are found"),
    ("specificity", "Specificity", "share of the negative images that are left alone"),
    ("precision", "Precision", "share of the alarms that are right, at this prevalence"),
    ("f1", "F1", "harmonic mean of precision and sensitivity"),
    ("average_precision", "Average precision", "area under the precision-recall curve"),
    ("brier", "Brier score", "mean squared error of the probabilities; 0 is best"),
    ("ece", "Calibration error", "mean gap between promised and observed; 0 is best"),
    ("dice", "Dice", "overlap of predicted and true mask, where there is a true one"),
    ("sector_iou", "IoU of the sector", "overlap of the sector found and the true one"),
    ("text_removed", "Text removed", "share of text pixels blackened or filled"),
    ("text_in_sector_removed", "… inside the sector", "the same of those inside, which are filled"),
    ("sector_lost", "Sector lost", "share of the sector's other pixels blackened or filled"),
)
TILES = ("roc_auc", "accuracy", "sensitivity", "specificity", "dice", "sector_iou", "text_removed")
OVERLAP_IS_POOR, CLASS_IS_GOOD = 0.5, 0.8


def interval_text(figure, kind="ci95"):
    """Returns e.g. `0.73 – 0.92`, or a dash."""
    interval = figure.get(kind)
    return "{:.2f} – {:.2f}".format(*interval) if interval else "–"


def summary(config, metrics, rows):
    """One paragraph that a reader in a hurry can quote, and the warnings that go with it.

    Args:
        config, metrics: of the run.
        rows: of `split.csv`.
    """
    data = config.get("data", {})
    unit = data.get("group_unit") or "group"
    source, classes = data.get("name", "unnamed data"), data.get("class_names") or []
    learnt = [row for row in rows if row.get("split") == "train"]
    if learnt:
        num_groups = len({row.get("group") for row in learnt})
        source = f"{counted_images(len(learnt), num_groups, unit)} of {source}"
    aim = " from ".join(classes) if len(classes) == 2 else f"{len(classes)} classes apart"
    target = f" (target: {data['target']})" if data.get("target") else ""
    if num_folds := len(metrics.get("folds") or []):
        source = f"all but one of {num_folds} folds of {source}, {num_folds} times,"
    task = f"tell {aim}{target}"
    if "sector_iou" in metrics:
        task = "find the ultrasound sector and the text burned in, on screens made up around them"
    sentences = [f"{config.get('arch', 'The model')} was trained on {source} to {task}."]
    if metrics.get("n"):
        judged = counted_images(metrics["n"], metrics.get("groups", "?"), unit)
        sentences.append(
            f"All {judged} were judged, each by the model that had not seen it."
            if num_folds
            else f"It was judged on the {judged} in the {metrics.get('split', 'test')} split."
        )
        named = [
            f"{name} {with_interval(metrics[key])}"
            for key, name in (
                ("roc_auc", "ROC AUC"),
                ("sensitivity", "sensitivity"),
                ("specificity", "specificity"),
                ("dice", "mean Dice of images with a mask"),
                ("sector_iou", "mean IoU of the sector"),
            )
            if (metrics.get(key) or {}).get("value") is not None
        ]
        if named:
            sentences.append(f"There it reached {', '.join(named)} (95 % intervals in brackets).")
        if reason := doubt(metrics.get("roc_auc"), unit):
            sentences.append(f"The interval of the AUC is rough: {reason}.")
        sentences.append((metrics.get("majority") or {}).get("sentence", ""))
    warnings = []
    if config.get("scale") == "quick":
        warnings.append("A quick run: smaller and shorter than the paper's; not its result.")
    if metrics.get("majority") and not metrics["majority"].get("beaten"):
        warnings.append("The model does not reliably beat naming the most frequent class.")
    dice, auc = ((metrics.get(k) or {}).get("value") for k in ("dice", "roc_auc"))
    if dice is not None and auc is not None and dice < OVERLAP_IS_POOR and auc >= CLASS_IS_GOOD:
        warnings.append(
            f"The class is told well (AUC {auc:.2f}) but the place is not (mean Dice {dice:.2f}): "
            "do not read the predicted mask as where the finding lies."
        )
    return paragraph(" ".join(s for s in sentences if s), "lead") + warning(
        *warnings, *(data.get("notes") or [])
    )


def tiles(metrics):
    """The few figures to be seen first."""
    unit = metrics.get("group_unit", "group")
    boxes = []
    for key, name, _ in MEANINGS:
        figure = metrics.get(key) or {}
        if key in TILES and figure.get("value") is not None:
            interval = interval_text({"ci95": widest_interval(figure)})
            interval += f", rough: {reason}" if (reason := doubt(figure, unit)) else ""
            boxes.append(
                f'<div class="tile">{text(name)}<b>{figure["value"]:.2f}</b>'
                f'<span class="soft">95 % CI {text(interval)}</span></div>'
            )
    return f'<div class="tiles">{"".join(boxes)}</div>' if boxes else ""


def results(config, metrics):
    """The table of all figures, with their intervals."""
    if not metrics:
        return ""
    unit = (config.get("data") or {}).get("group_unit") or "group"
    header = ["Figure", "Value", "95 % CI, Wilson, by image", f"95 % CI, bootstrap, by {unit}"]
    header += ["n", "0 … 1"]
    honest = f"; where one {unit} has several, the interval by {unit} is the honest one"
    threshold = metrics.get("threshold")
    origin = metrics.get("threshold_origin", "not recorded")
    cut = f" Threshold {threshold:.3f}: {origin}." if threshold is not None else ""
    average = f" Averages are {metrics['average']}." if metrics.get("average") else ""
    split = f"{metrics.get('split', 'test').capitalize()} split"
    if metrics.get("folds"):
        split = "Pooled over the folds"
    judged = counted_images(metrics.get("n", "?"), metrics.get("groups", "?"), unit)
    caption = (
        f"{split}, {judged}.{cut}{average} Ticks: the constant answer's accuracy, an AUC of chance."
    )
    return section(
        "Results",
        table(header, _rows(metrics), caption, numbers=(1, 2, 3, 4)),
        paragraph(
            "Were all this repeated on fresh data of the same kind, 95 of 100 such intervals would "
            "hold the true figure. By image means that images are taken for independent"
            f"{'' if unit == 'image' else honest}. Neither covers another hospital, scanner or "
            "population.",
            "soft",
        ),
        paragraph(_validation(metrics.get("validation") or {})),
        _segmentation(metrics.get("segmentation") or {}),
        _classes(metrics),
    )


def _rows(metrics):
    majority = metrics.get("majority") or {}
    rows = []
    for key, name, meaning in MEANINGS:
        figure = metrics.get(key)
        if not figure:
            continue
        meaning = "; ".join([meaning, *_remarks(figure)])
        label = Markup(f'{text(name)}<br><span class="soft">{text(meaning)}</span>')
        if figure.get("value") is None:
            rows.append([label, "–", "–", "–", "–", ""])
            continue
        by_group = "ci95_groups" if "ci95_groups" in figure else "ci95" if "draws" in figure else ""
        wilson = interval_text(figure) if "draws" not in figure else "–"
        mark = majority.get("value") if key == "accuracy" else 0.5 if key == "roc_auc" else None
        n = figure.get("n", "")
        bar = interval_bar(figure, mark)
        rows.append(
            [label, f"{figure['value']:.3f}", wilson, interval_text(figure, by_group), n, bar]
        )
    if majority.get("value") is not None:
        label = Markup(
            f"Always “{text(majority.get('class'))}”<br>"
            '<span class="soft">accuracy of the most frequent class alone</span>'
        )
        value = f"{majority['value']:.3f}"
        bar = interval_bar(majority)
        rows.append([label, value, interval_text(majority), "–", majority.get("n", ""), bar])
    return rows


def _validation(found):
    named = [
        f"{name} {with_interval(found[key])}"
        for key, name, _ in MEANINGS[:4]
        if (found.get(key) or {}).get("value") is not None
    ]
    if not named:
        return ""
    return f"The validation images, by which choices were made: {', '.join(named)}."


def _remarks(figure):
    """What a reader must know about a figure beside its value."""
    if figure.get("reason"):
        yield figure["reason"]
    if figure.get("note"):
        yield figure["note"]
    if figure.get("dropped"):
        yield f"{figure['dropped']} of {figure['draws']} resamples held one class and were dropped"


def _segmentation(found):
    rows = [
        [name, f"{figure['value']:.3f}", interval_text(figure), figure.get("n", "")]
        for key, name in (
            ("dice", "Mean Dice"),
            ("iou", "Mean IoU"),
            ("false_alarms", "Images without a true mask that were given one"),
        )
        if (figure := found.get(key) or {}).get("value") is not None
    ]
    caption = f"Masks. Dice and IoU are over {found.get('over', 'the images')}, "
    caption += f"{found.get('n', '?')} of them; {found.get('negatives', '?')} have none."
    return table(["Masks", "Value", "95 % CI", "n"], rows, caption, numbers=(1, 2, 3))


def _classes(metrics):
    rows = metrics.get("per_class") or []
    if len(rows) < 3:
        return ""
    keys = ("sensitivity", "precision", "f1", "roc_auc")
    cells = [[r.get("class"), r.get("n"), *(with_interval(r.get(k)) for k in keys)] for r in rows]
    header = ["Class", "n", "Sensitivity", "Precision", "F1", "ROC AUC"]
    return table(header, cells, "Each class against all others.", numbers=range(1, 6))
