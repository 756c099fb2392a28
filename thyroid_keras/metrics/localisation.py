"""How well boxes are found, on the images that have a true one."""

import numpy as np

from thyroid_keras.metrics.intervals import bootstrap, missing

FIGURES = ("iou", "correct", "relative")
SHARE = 0.5  # of the union, and of the largest IoU of a class
NO_TRUE_BOX = "no image has a true box"


def box_iou(truth, predicted):
    """Intersection over union of each pair of boxes.

    Args:
        truth, predicted: `(N, 4)`, left, top, width, height; a box of no positive width
            and height is none, NaN an unknown one.

    Returns:
        float64 `(N,)` in [0, 1]; 0 where either box is none, NaN where either is unknown.
    """
    a, b = np.asarray(truth, float), np.asarray(predicted, float)
    first = np.maximum(a[:, :2], b[:, :2])
    last = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    both = np.maximum(last - first, 0).prod(axis=1)
    each = [np.maximum(box[:, 2:], 0).prod(axis=1) for box in (a, b)]
    union = sum(each) - both
    return np.where(union == 0, 0.0, both / np.where(union == 0, 1, union))


def localisation_metrics(ious, labels, groups, class_names, *, draws=1000, seed=0):
    """Mean IoU, correctness and relative correctness, of all images and by class.

        correct     share of images with iou > 0.5
        relative    share of images with iou > 0.5 max(iou of the image's class)

    Intervals are those of a bootstrap over groups; each draw has its own largest IoU.

    Args:
        ious: float `(N,)` in [0, 1], NaN where an image has no true box.
        labels: `(N,)` ints in [0, K), the true classes.
        groups: `(N,)`, the patient of each image.
        class_names: K strings.
        draws, seed: of the bootstrap.

    Returns:
        `{"n", "iou", "correct", "relative", "per_class"}`: the number of images with a
        true box, three figures, `iou` with its `"sd"`, and a list of the same for each
        class that has such images, with its name as `"class"`.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Table 3.
    """
    known = np.isfinite(ious)
    if not known.any():
        return {"n": 0, **{name: missing(NO_TRUE_BOX) for name in FIGURES}, "per_class": []}
    ious, labels = np.asarray(ious, float)[known], np.asarray(labels)[known]
    groups = np.asarray(groups, dtype=object)[known]

    def judge(chosen):
        return _figures(ious[chosen], labels[chosen], groups[chosen], draws, seed)

    each = [{"class": class_names[k]} | judge(labels == k) for k in np.unique(labels)]
    return judge(slice(None)) | {"per_class": each}


def _figures(ious, labels, groups, draws, seed):
    members = [labels == k for k in np.unique(labels)]

    def means(weights):
        relative = np.empty(weights.shape)
        for inside in members:
            largest = np.where(weights[:, inside] > 0, ious[inside], 0).max(axis=1)
            relative[:, inside] = ious[inside] > SHARE * largest[:, None]
        total = weights.sum(axis=1)
        sums = weights @ ious, weights @ (ious > SHARE), (weights * relative).sum(axis=1)
        return {name: s / total for name, s in zip(FIGURES, sums, strict=True)}

    found = bootstrap(means, groups, draws=draws, seed=seed)
    found["iou"]["sd"] = float(np.std(ious, ddof=1)) if len(ious) > 1 else None
    return {"n": len(ious)} | found
