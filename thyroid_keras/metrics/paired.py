"""How far two classifiers' figures differ on the same images, by patients."""

import numpy as np

from thyroid_keras.metrics.classification import BOTH, REASONS, class_statistics
from thyroid_keras.metrics.intervals import bootstrap

COMPARED = ("roc_auc", "accuracy", "sensitivity", "specificity", "f1")


def paired_differences(labels, answers_a, answers_b, groups, *, draws=2000, seed=0):
    """Differences of two classifiers' figures, with intervals from resampled groups.

    Both see the same draws, so what makes an image hard for both cancels out.

    Args:
        labels: `(N,)` ints in [0, K).
        answers_a, answers_b: `(predicted, probabilities)`, `(N,)` ints and `(N, K)`.
        groups: `(N,)`, the patient of each image.
        draws, seed: of the bootstrap.

    Returns:
        Dict from name to a figure, a - b, in [-1, 1]; more than two classes: of means
        over the classes, as in `classification_metrics`.
    """
    of_a, of_b = (class_statistics(labels, *answers) for answers in (answers_a, answers_b))

    def differences(weights):
        a, b = of_a(weights), of_b(weights)
        return {name: a[name] - b[name] for name in COMPARED}

    binary = np.shape(answers_a[1])[1] == 2
    reasons = REASONS if binary else dict.fromkeys(REASONS, BOTH)
    return bootstrap(differences, groups, draws=draws, seed=seed, reasons=reasons)


def paired_mean(values_a, values_b, groups, *, draws=2000, seed=0):
    """Difference of the means of two values per image, e.g. Dice, from resampled groups.

    Args:
        values_a, values_b: `(N,)` finite floats.
        groups, draws, seed: as for `paired_differences`.

    Returns:
        A figure, a - b.
    """
    gain = np.asarray(values_a) - np.asarray(values_b)

    def difference(weights):
        return {"mean": weights @ gain / weights.sum(axis=1)}

    return bootstrap(difference, groups, draws=draws, seed=seed)["mean"]
