"""Figures of each class against the rest, and how two classifiers differ in them.

Shape key: N images, K classes, D weightings of the images.
"""

import numpy as np

from thyroid_keras.metrics.comparison import mcnemar
from thyroid_keras.metrics.curves import ratio
from thyroid_keras.metrics.intervals import bootstrap, group_weights

NO_FIGURE = "no such image, or none given this class"


def class_rates(labels, predicted, num_classes, weights):
    """Precision, sensitivity and F1 of each class.

    Args:
        labels, predicted: `(N,)` ints in [0, K).
        num_classes: K.
        weights: `(D, N)` >= 0.

    Returns:
        dict from name to `(D, K)` in [0, 1], NaN where a denominator is 0.
    """
    truth, answer = np.eye(num_classes)[labels], np.eye(num_classes)[predicted]
    tp, support, answered = weights @ (truth * answer), weights @ truth, weights @ answer
    return {
        "precision": ratio(tp, answered),
        "sensitivity": ratio(tp, support),
        "f1": ratio(2 * tp, support + answered),
    }


def macro_rates(labels, predicted, num_classes, weights):
    """Means of `class_rates` over the classes that occur, and accuracy.

    A class never named has precision 0, as in `classification_metrics`.

    Args: as for `class_rates`.

    Returns:
        dict from name to `(D,)` in [0, 1].
    """
    present = weights @ np.eye(num_classes)[labels] > 0
    rates = class_rates(labels, predicted, num_classes, weights)
    means = {
        name: ratio((np.nan_to_num(rate) * present).sum(axis=1), present.sum(axis=1))
        for name, rate in rates.items()
    }
    return means | {"accuracy": weights @ (labels == predicted) / weights.sum(axis=1)}


def class_differences(labels, predicted_a, predicted_b, groups, class_names, *, draws=2000, seed=0):
    """How two classifiers of the same images differ in each class, and whether by chance.

    Two tests of each class: McNemar's, of the answers to "is it this class?", which takes
    images for independent; and the paired bootstrap over groups of the change in F1, whose
    two-sided p-value is twice the share of draws on the rarer side of 0. Either is
    corrected over the classes by Holm's method.

    Args:
        labels, predicted_a, predicted_b: `(N,)` ints in [0, K).
        groups: `(N,)`, the patient of each image.
        class_names: K strings.
        draws, seed: of the bootstrap.

    Returns:
        List of K dicts: `class`; `precision`, `sensitivity` and `f1`, figures a - b in
        [-1, 1]; `mcnemar`, see there; `f1_p_value`; and both p-values once more as
        `mcnemar_p_holm`, `f1_p_holm`. A p-value without a figure is `None`.
    """
    labels, predicted_a, predicted_b = map(np.asarray, (labels, predicted_a, predicted_b))
    num_classes = len(class_names)

    def changes(weights):
        a, b = (
            class_rates(labels, predicted, num_classes, weights)
            for predicted in (predicted_a, predicted_b)
        )
        return {(name, k): a[name][:, k] - b[name][:, k] for name in a for k in range(num_classes)}

    reasons = dict.fromkeys(changes(np.ones((1, len(labels)))), NO_FIGURE)
    figures = bootstrap(changes, groups, draws=draws, seed=seed, reasons=reasons)
    blocks = [changes(weights) for weights in group_weights(groups, draws, seed)]
    found = []
    for k, name in enumerate(class_names):
        right = [(predicted == k) == (labels == k) for predicted in (predicted_a, predicted_b)]
        row = {"class": name, "mcnemar": mcnemar(*right)}
        row |= {figure: figures[figure, k] for figure in ("precision", "sensitivity", "f1")}
        row["f1_p_value"] = _p_value(np.concatenate([block["f1", k] for block in blocks]))
        found.append(row)
    corrected = {
        "mcnemar_p_holm": holm([row["mcnemar"]["p_value"] for row in found]),
        "f1_p_holm": holm([row["f1_p_value"] for row in found]),
    }
    for k, row in enumerate(found):
        row |= {name: values[k] for name, values in corrected.items()}
    return found


def _p_value(drawn):
    """Twice the share of draws on the rarer side of 0; one is added, so that it is never 0."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None
    rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return float(min(1, 2 * (rarer + 1) / (len(drawn) + 1)))


def holm(p_values):
    """Corrects p-values for their number, so that any error at all has the stated chance.

        adjusted_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)), of the m values in order

    Args:
        p_values: sequence of floats in [0, 1]; `None` is left out of the count.

    Returns:
        List of the adjusted values, `None` where there was none.

    Reference: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    known = [i for i, p in enumerate(p_values) if p is not None]
    adjusted, highest = [None] * len(p_values), 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(known) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
