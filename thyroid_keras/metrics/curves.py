"""Curves of a score against the truth, and the figures that sum them up.

Shape key: N images, D weightings of them, U distinct scores. All functions take many
weightings at once, which makes a bootstrap of a thousand draws one array operation; with
weights of 1 they equal scikit-learn's.
"""

import numpy as np

from thyroid_keras.metrics.intervals import proportion


def ratio(numerator, denominator):
    """Divides, with NaN where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=float)
    return np.asarray(numerator) / np.where(denominator == 0, np.nan, denominator)


def _counts(truth, scores, weights):
    """Weights of positives and negatives at each distinct score, highest first: `(D, U)`."""
    truth, scores = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=float)
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    positive = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * ~truth)[:, order], starts, axis=1)
    return positive, negative, scores[order][starts]


def _unit(truth, weights):
    return np.ones((1, len(truth))) if weights is None else np.asarray(weights, dtype=float)


def roc_auc(truth, scores, weights=None):
    """The chance that a positive image scores above a negative one; ties count half.

        auc = sum_p sum_n w_p w_n ([s_p > s_n] + [s_p = s_n] / 2) / (sum_p w_p sum_n w_n)

    Args:
        truth: `(N,)` bool, positive or not.
        scores: `(N,)` finite floats.
        weights: `(D, N)` >= 0; `None`: 1 for all.

    Returns:
        `(D,)` in [0, 1], NaN where one class has no weight.
    """
    positive, negative, _ = _counts(truth, scores, _unit(truth, weights))
    totals = positive.sum(axis=1), negative.sum(axis=1)
    outranked = totals[1][:, None] - np.cumsum(negative, axis=1)
    return ratio((positive * (outranked + negative / 2)).sum(axis=1), totals[0] * totals[1])


def average_precision(truth, scores, weights=None):
    """Precision averaged over the steps in sensitivity.

        ap = sum_u (sensitivity_u - sensitivity_{u-1}) precision_u

    Args and Returns: as `roc_auc`; NaN where no positive has weight.
    """
    positive, negative, _ = _counts(truth, scores, _unit(truth, weights))
    hits = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(ratio(hits, hits + np.cumsum(negative, axis=1)))
    return ratio((positive * precision).sum(axis=1), hits[:, -1])


def roc_points(truth, scores, weights=None):
    """Points of the ROC curve, from the strictest threshold to the laxest.

    Args: as `roc_auc`.

    Returns:
        `false_positive_rate`, `sensitivity`, each `(D, U + 1)` in [0, 1] and beginning at
        0, and `thresholds` `(U + 1,)` beginning at infinity.
    """
    positive, negative, distinct = _counts(truth, scores, _unit(truth, weights))
    rates = [
        np.pad(ratio(np.cumsum(part, axis=1), part.sum(axis=1)[:, None]), ((0, 0), (1, 0)))
        for part in (negative, positive)
    ]
    return *rates, np.concatenate([[np.inf], distinct])


def precision_recall_points(truth, scores, weights=None):
    """Points of the precision-recall curve, from the strictest threshold to the laxest.

    Args: as `roc_auc`.

    Returns:
        `sensitivity`, `precision`, each `(D, U)` in [0, 1], and `thresholds` `(U,)`.
    """
    positive, negative, distinct = _counts(truth, scores, _unit(truth, weights))
    hits, alarms = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    return ratio(hits, hits[:, -1:]), ratio(hits, hits + alarms), distinct


def calibration_bins(truth, scores, bins=10):
    """Compares what the model promises with what happens, in bins of equal width.

    Args:
        truth: `(N,)` bool.
        scores: `(N,)` in [0, 1], the probabilities promised.
        bins: int >= 1.

    Returns:
        A list with one dict per bin that is not empty: `"low"`, `"high"`, `"promised"`
        (mean score) and `"observed"`, a figure with Wilson's interval.
    """
    truth, scores = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=float)
    index = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "promised": float(scores[index == b].mean()),
            "observed": proportion(truth[index == b].sum(), (index == b).sum()),
        }
        for b in np.unique(index).tolist()
    ]


def expected_calibration_error(truth, scores, bins=10):
    """The gap between promise and outcome, averaged over images.

        ece = sum_b n_b / N |observed_b - promised_b|

    Args: as `calibration_bins`.

    Returns:
        `{"value", "n", "bins"}`, value in [0, 1]. It has no interval: with few images it
        exceeds 0 even for a perfectly calibrated model.

    Reference: Naeini et al. 2015, AAAI, "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning".
    """
    filled = calibration_bins(truth, scores, bins)
    gaps = [b["observed"]["n"] * abs(b["observed"]["value"] - b["promised"]) for b in filled]
    return {"value": float(sum(gaps) / len(truth)), "n": len(truth), "bins": bins}
