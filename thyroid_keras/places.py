"""Boxes that a network found beside the true ones: figures, and columns of `predictions.csv`."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.boxes import true_boxes
from thyroid_keras.explain import can_localise, rule_of

OVER = "all images with a true box, by the map of the class that the network names"
CONSTANT = ("constant", "above_constant")
SIDES = ("box_left", "box_top", "box_width", "box_height")


def has_places(model, table):
    """Whether a model finds boxes and a table has any to hold them against."""
    known = any(sample.box is not None or sample.mask is not None for sample in table.samples)
    return known and can_localise(model)


def usual_box(store):
    """Returns the mean true box of images, `[left, top, width, height]` in pixels.

    What knows of an image no more than where others were outlined answers with that of
    validation images.

    Args:
        store: `data.store.PixelStore`.

    Returns:
        List of four floats; `None` where no image has a true box.
    """
    truth = true_boxes(store)
    known = truth[np.isfinite(truth[:, 0])]
    return known.mean(axis=0).tolist() if len(known) else None


def figures_of_boxes(store, truth, boxes, usual, seed):
    """What `metrics.json` says of boxes, see `metrics.localisation_metrics`.

    Args:
        store: `data.store.PixelStore` of the N images.
        truth: float `(N, 4)`, see `data.boxes.true_boxes`.
        boxes: int `(N, 4)`, see `explain.Localisation`.
        usual: see `usual_box`, of the validation images.
        seed: of the bootstrap.

    Returns:
        Dict of figures, with `"over"`, what they are over; `"truth"`, where the true boxes
        come from; `"rule"`, how the others were found; `"usual_box"`; `"constant"`, the IoU
        of that as the answer to every image; and `"above_constant"`, by how much `iou` is
        above it, resampled by group.
    """
    table = store.table
    ious = metrics.box_iou(truth, boxes)
    arrays = table.labels, table.groups, table.class_names
    sources = {"boxes given with the data": any(s.box is not None for s in table.samples)}
    sources[f"boxes around the masks ({table.mask_source})"] = any(
        s.box is None and s.mask is not None for s in table.samples
    )
    found = metrics.localisation_metrics(ious, *arrays, seed=seed)
    known = np.isfinite(ious)
    return (
        found
        | _against_constant(truth[known], ious[known], usual, table.groups[known], seed)
        | {
            "over": OVER,
            "truth": ", ".join(source for source, used in sources.items() if used),
            "rule": rule_of(store.size),
            "usual_box": usual,
        }
    )


def with_boxes(rows, truth, boxes, columns):
    """Adds `iou` and the box, in pixels of the network's input, to rows of `predictions.csv`.

    Args:
        rows: list of dicts, one per image.
        truth, boxes: as for `figures_of_boxes`.
        columns: dict from the name of a further column to its `(N,)` values.

    Returns:
        List of dicts; a missing value is NaN or `None`.
    """
    known = [box if box[2] > 0 else (None,) * 4 for box in boxes.tolist()]
    found = zip(rows, metrics.box_iou(truth, boxes), known, strict=True)
    return [
        row
        | {"iou": iou}
        | dict(zip(SIDES, box, strict=True))
        | {name: values[i] for name, values in columns.items()}
        for i, (row, iou, box) in enumerate(found)
    ]


def _against_constant(truth, ious, usual, groups, seed):
    if not len(truth):
        return dict.fromkeys(CONSTANT, metrics.missing(metrics.NO_TRUE_BOX))
    if usual is None:
        return dict.fromkeys(CONSTANT, metrics.missing("no validation image has a true box"))
    constant = metrics.box_iou(truth, np.broadcast_to(usual, truth.shape))
    own = {"value": float(constant.mean()), "sd": float(constant.std(ddof=len(truth) > 1))}
    above = metrics.paired_mean(ious, constant, groups, seed=seed)
    return dict(zip(CONSTANT, (own, above), strict=True))
