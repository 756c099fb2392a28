"""Cross-validation as it should be, and as it leaks.

Shape key: V views (the image itself, then its copies), N images, F features, K classes.
"""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.progress import track
from thyroid_keras.spelling import counted
from thyroid_keras.transfer.svm import INNER_FOLDS, fewest_groups


def cross_validate(features, labels, groups, folds, fit, label="Cross-validating"):
    """Answers to the images of each fold by a classifier of the others, copies included.

    Args:
        features: float32 `(V, N, F)`.
        labels: `(N,)` ints in [0, K).
        groups: `(N,)`.
        folds: `(N,)` ints from 0 on; whole groups.
        fit: function `(features, labels, groups) -> Classifier`.
        label: what the progress bar calls the work.

    Returns:
        `(probabilities, thresholds)`: float64 `(N, K)`; and float64 `(N,)`, that of each
        image's fold, chosen without it.

    Raises:
        DataError: if the training images of a fold are too few.
    """
    probabilities, thresholds = None, np.zeros(len(labels))
    for fold in track(range(folds.max() + 1), label):
        held = folds == fold
        fitted = fit(features[:, ~held], labels[~held], groups[~held])
        if probabilities is None:
            probabilities = np.zeros((len(labels), len(fitted.class_names)))
        probabilities[held] = fitted.probabilities(features[0][held])
        thresholds[held] = 0.5 if fitted.threshold is None else fitted.threshold
    return probabilities, thresholds


def leak(features, labels, groups, num_folds, fit, class_names, seed):
    """The figures that come of augmenting first and dealing single samples after.

    Copies of one image, and images of one patient, are then on both sides. Only to be
    shown beside figures that are right.

    Args:
        features, labels, groups, fit: as for `cross_validate`.
        num_folds: int >= 2.
        class_names: K strings.
        seed: int >= 0.

    Returns:
        dict of figures, see `metrics.brief`.
    """
    views, count, width = features.shape
    labels, alone = np.tile(labels, views), np.arange(views * count)
    held = deal_folds(labels, alone, num_folds, seed)
    samples = features.reshape(1, views * count, width)
    folds = np.argmax(held, axis=0)
    answers = cross_validate(samples, labels, alone, folds, fit, "Reproducing the leak")
    return metrics.brief(labels, *answers, np.tile(groups, views), class_names, seed)


def each_alone(features, dealt, num_folds, fit, joined, seed):
    """Each data set's figures: of classifiers of its own, and of those of all sets.

    Args:
        features, fit: as for `cross_validate`.
        dealt: `data.Folds`.
        num_folds: int >= 2.
        joined: result of `cross_validate` on all sets together.
        seed: int >= 0.

    Returns:
        List of dicts: `name`, and as dicts of figures `alone` and `joined`; instead of `alone`
        a `reason` where the data set's rarest class is in too few groups for that.
    """
    least = max(num_folds, 2 * INNER_FOLDS)
    rows, table = [], dealt.table
    for number, name in enumerate(dealt.set_names):
        own = dealt.sets == number
        labels, groups = table.labels[own], table.groups[own]
        facts = groups, table.class_names, seed
        answers = (of[own] for of in joined)
        rows.append({"name": name, "joined": metrics.brief(labels, *answers, *facts)})
        if (found := fewest_groups(labels, groups, len(table.class_names))) < least:
            few = counted(found, "group")
            rows[-1]["reason"] = f"a class of it is in {few}, and {least} are needed"
            continue
        folds = np.argmax(deal_folds(labels, groups, num_folds, seed), axis=0)
        alone = cross_validate(features[:, own], labels, groups, folds, fit, f"{name} alone")
        rows[-1]["alone"] = metrics.brief(labels, *alone, *facts)
    return rows
