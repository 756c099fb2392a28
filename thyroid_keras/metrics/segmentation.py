"""How well masks are found, on the images that have one.

Masks are judged by three counts per image, so that nobody has to keep them: pixels in both
masks, in the true one, in the predicted one.
"""

import numpy as np

from thyroid_keras.metrics.curves import ratio
from thyroid_keras.metrics.intervals import bootstrap, proportion

MASK_THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2).tolist()


def overlaps(truth, predicted):
    """Counts the pixels that two masks share, and those of each.

    Args:
        truth, predicted: bool `(N, H, W)`.

    Returns:
        int64 `(3, N)`: pixels in both, in `truth`, in `predicted`.

    Raises:
        ValueError: if the shapes differ or the masks are not boolean.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 3:
        raise ValueError(
            "`truth` and `predicted` must be masks of one shape (N, H, W). "
            f"Received: truth.shape={truth.shape}, predicted.shape={predicted.shape}"
        )
    if truth.dtype != bool or predicted.dtype != bool:
        raise ValueError(
            "`truth` and `predicted` must be boolean: compare with a threshold first. "
            f"Received: truth.dtype={truth.dtype}, predicted.dtype={predicted.dtype}"
        )
    return np.stack(
        [np.count_nonzero(mask, axis=(1, 2)) for mask in (truth & predicted, truth, predicted)]
    )


def dice_scores(counts):
    """Dice coefficient of each image.

        dice = 2 |truth & predicted| / (|truth| + |predicted|)

    Args:
        counts: `(3, N)`, see `overlaps`.

    Returns:
        `(N,)` in [0, 1], NaN where both masks are empty or there is no count.
    """
    both, true, said = counts
    return ratio(2 * both, true + said)


def best_threshold(counts):
    """Chooses the one of `MASK_THRESHOLDS` with the largest mean Dice.

    Args:
        counts: `(3, N, T)`, see `overlaps`, at each threshold; those of images without a
            true mask, or with an empty one, do not count.

    Returns:
        `(threshold, origin)`: float in (0, 1), 0.5 where no image counts, and a sentence.
    """
    positive = counts[1, :, 0] > 0
    if not positive.any():
        return 0.5, "0.5, since no validation image has a mask"
    dice = dice_scores(counts[:, positive]).mean(axis=0)
    origin = f"largest mean Dice on {positive.sum()} validation images with a mask"
    return MASK_THRESHOLDS[int(np.argmax(dice))], origin


def segmentation_metrics(counts, groups, *, draws=1000, seed=0):
    """Mean Dice and IoU of the images with a true mask, false alarms of the others.

        iou = |truth & predicted| / |truth | predicted|

    An image without a true mask has a Dice of 0 or none at all, whatever the model does
    well, so such images are judged apart: by the share with any false pixel.

    Args:
        counts: `(3, N)`, see `overlaps`.
        groups: `(N,)`, the patient of each image.
        draws, seed: of the bootstrap over groups.

    Returns:
        `{"over", "n", "negatives", "dice", "iou", "false_alarms"}`: what it is over, the
        number of images with and without a true mask, and three figures.

    Raises:
        ValueError: if `groups` has another length.
    """
    both, true, said = counts
    if len(groups) != len(true):
        raise ValueError(
            "`groups` must name the group of each mask. "
            f"Received: {len(groups)} groups for {len(true)} masks"
        )
    positive = true > 0
    summary = {
        "over": "images with a non-empty true mask",
        "n": int(positive.sum()),
        "negatives": int((~positive).sum()),
        "false_alarms": proportion(
            (said[~positive] > 0).sum(), (~positive).sum(), "every image has a true mask"
        ),
    }
    if not positive.any():
        reason = "no image has a true mask"
        return summary | {k: {"value": None, "reason": reason} for k in ("dice", "iou")}
    scores = {
        "dice": dice_scores(counts)[positive],
        "iou": ratio(both, true + said - both)[positive],
    }

    def means(weights):
        return {name: weights @ s / weights.sum(axis=1) for name, s in scores.items()}

    members = np.asarray(groups, dtype=object)[positive]
    return summary | bootstrap(means, members, draws=draws, seed=seed)
