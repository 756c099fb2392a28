"""From scores to answers."""

import numpy as np

from thyroid_keras.metrics.curves import roc_points


def choose_threshold(truth, scores):
    """The threshold with the largest Youden index, for validation data.

        youden = sensitivity + specificity - 1, of calling `scores >= threshold` positive

    Candidates lie midway between neighbouring scores; among equals the one nearest to
    0.5 is taken, and of two as near, the lower.

    Args:
        truth: `(N,)` bool.
        scores: `(N,)` in [0, 1], the probability of the positive class.

    Returns:
        `(threshold, origin)`: a float, and a sentence on where it comes from. The
        threshold is 0.5 where one class is absent or no candidate beats chance.

    Reference: Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.
    """
    truth = np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        return 0.5, "0.5, since the validation images are all of one class"
    false_positive_rate, sensitivity, scores = roc_points(truth, scores)
    # the last point calls everything positive: no neighbour below it
    youden = (sensitivity - false_positive_rate)[0, 1:-1]
    if not len(youden) or youden.max() <= 0:
        return 0.5, "0.5, since no threshold beats chance on the validation images"
    above, below = scores[1:-1], scores[2:]
    middle = (above + below) / 2
    middle = np.where(middle > below, middle, above)  # neighbours one rounding apart
    best = middle[youden >= youden.max() - 1e-12]
    threshold = float(min(best, key=lambda t: (abs(t - 0.5), t)))
    return threshold, f"largest Youden index on {len(truth)} validation images"


def decide(probabilities, threshold=0.5):
    """The class each image is given.

    Args:
        probabilities: `(N, K)`, K >= 2.
        threshold: of the last class where K = 2, or `(N,)` of them; more classes: the
            likeliest wins.

    Returns:
        `(N,)` int64 in [0, K).
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(np.int64)
    return probabilities.argmax(axis=1)
