"""Everything `metrics.json` says about the classes."""

import numpy as np
from sklearn.metrics import confusion_matrix

from thyroid_keras.metrics.comparison import against_majority
from thyroid_keras.metrics.curves import (
    average_precision,
    expected_calibration_error,
    ratio,
    roc_auc,
)
from thyroid_keras.metrics.decisions import decide
from thyroid_keras.metrics.intervals import bootstrap, missing, proportion

BOTH = "needs images of at least two classes"
REASONS = {
    "sensitivity": "no image of the positive class",
    "specificity": "no image of the negative class",
    "precision": "no image was called positive",
    "f1": BOTH,
    "balanced_accuracy": BOTH,
    "roc_auc": BOTH,
    "average_precision": BOTH,
}
BRIEF = ("n", "groups", "roc_auc", "accuracy", "sensitivity", "specificity")


def _checked(labels, probabilities, groups, class_names):
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=float)
    num_images, num_classes = len(labels), len(class_names)
    if num_images == 0 or num_classes < 2:
        raise ValueError(
            "Metrics need at least one image and two classes. "
            f"Received: {num_images} images, class_names={tuple(class_names)}"
        )
    if probabilities.shape != (num_images, num_classes) or len(groups) != num_images:
        raise ValueError(
            "`probabilities` must have one row per label and one column per class, `groups` "
            f"one entry per label. Received: {num_images} labels, {num_classes} class names, "
            f"probabilities.shape={probabilities.shape}, {len(groups)} groups"
        )
    if not np.issubdtype(labels.dtype, np.integer) or not np.isin(labels, range(num_classes)).all():
        raise ValueError(
            f"`labels` must be integers from 0 to {num_classes - 1}. "
            f"Received: labels={np.unique(labels)[:10].tolist()}"
        )
    sums = probabilities.sum(axis=1)
    if not (np.abs(sums - 1) < 1e-3).all() or (probabilities < 0).any():
        row = int(np.argmax(~(np.abs(sums - 1) < 1e-3) | (probabilities < 0).any(axis=1)))
        raise ValueError(
            "`probabilities` must be finite, non-negative and sum to 1 in each row: apply softmax "
            f"to logits first. Received: probabilities[{row}]={probabilities[row].tolist()}"
        )
    return labels, np.clip(probabilities, 0, 1)


def _one_vs_rest(truth, predicted, scores, weights):
    """The figures of one class under each weighting: dict of `(D,)`."""
    tp, fn = weights @ (truth & predicted), weights @ (truth & ~predicted)
    fp, tn = weights @ (~truth & predicted), weights @ (~truth & ~predicted)
    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fn + fp),
        "roc_auc": roc_auc(truth, scores, weights),
        "average_precision": average_precision(truth, scores, weights),
    }


def class_statistics(labels, predicted, probabilities):
    """The statistics that are bootstrapped, as a function of weights.

    Args:
        labels, predicted: `(N,)` ints in [0, K).
        probabilities: `(N, K)`.

    Returns:
        Function from weights `(D, N)` to a dict from figure to `(D,)`, NaN where it is
        undefined.
    """
    num_classes = probabilities.shape[1]
    binary = num_classes == 2
    squared_error = ((probabilities - np.eye(num_classes)[labels]) ** 2).sum(axis=1)
    if binary:
        squared_error /= 2

    def statistics(weights):
        classes = [
            _one_vs_rest(labels == k, predicted == k, probabilities[:, k], weights)
            for k in ([1] if binary else range(num_classes))
        ]
        present = np.stack([weights @ (labels == k) > 0 for k in range(num_classes)])
        if binary:
            figures = classes[0]
            recalls = figures["sensitivity"], figures["specificity"]
            figures["balanced_accuracy"] = np.mean(recalls, axis=0)
        else:
            figures = {}
            for name in classes[0]:
                # a class never named has precision 0, one that never occurs has no figure
                rate = np.nan_to_num(np.stack([rates[name] for rates in classes])) * present
                figures[name] = ratio(rate.sum(axis=0), present.sum(axis=0))
            figures["balanced_accuracy"] = figures["sensitivity"]
        for name in figures:
            if not binary or REASONS[name] is BOTH:
                figures[name] = np.where(present.sum(axis=0) >= 2, figures[name], np.nan)
        total = weights.sum(axis=1)
        figures["accuracy"] = weights @ (labels == predicted) / total
        figures["brier"] = weights @ squared_error / total
        return figures

    return statistics


def _proportions(confusion):
    """The figures that are shares of counted images, with Wilson's interval."""
    total = confusion.sum()
    shares = {"accuracy": (confusion.trace(), total)}
    if len(confusion) == 2:
        (tn, fp), (fn, tp) = confusion
        shares["sensitivity"] = (tp, tp + fn)
        shares["specificity"] = (tn, tn + fp)
        shares["precision"] = (tp, tp + fp)
        shares["prevalence"] = (tp + fn, total)
    return {name: proportion(*share, REASONS.get(name)) for name, share in shares.items()}


def _class_table(confusion, labels, probabilities, class_names):
    """One row per class, each against all others."""
    rows = []
    for k, name in enumerate(class_names):
        hits, occurs, named = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
        auc = float(roc_auc(labels == k, probabilities[:, k])[0])
        f1 = float(ratio(2 * hits, occurs + named))
        rows.append(
            {
                "class": name,
                "n": int(occurs),
                "sensitivity": proportion(hits, occurs, "no image of this class"),
                "precision": proportion(hits, named, "no image was given this class"),
                "f1": {"value": f1} if occurs else missing("no image of this class"),
                "roc_auc": {"value": auc} if np.isfinite(auc) else missing(BOTH),
            }
        )
    return rows


def classification_metrics(
    labels, probabilities, groups, *, threshold=0.5, class_names, draws=1000, seed=0
):
    """Everything there is to say about a classifier's answers, with 95 % intervals.

    Two classes: the last is the positive one. Accuracy, sensitivity, specificity and
    precision have Wilson's interval, which takes images for independent, and where
    groups hold several images also `"ci95_groups"`, the bootstrap's. More classes:
    sensitivity, specificity, precision, F1, ROC AUC and average precision are means over
    the classes that occur, each against the rest; only accuracy has Wilson's interval.

        brier = mean (p_positive - label)^2, more classes: mean sum_k (p_k - [label = k])^2

    Args:
        labels: `(N,)` ints in [0, K).
        probabilities: `(N, K)` in [0, 1], rows summing to 1.
        groups: `(N,)`, the patient of each image.
        threshold: float in [0, 1], above or at which the last of two classes is named;
            or one per image `(N,)`, of which the mean is reported.
        class_names: K strings.
        draws, seed: of the bootstrap over groups.

    Returns:
        Dict of figures and facts, ready for `metrics.json`; `"confusion"` counts images by
        true class (rows) and answer (columns).

    Raises:
        ValueError: if an argument does not fit the others.
    """
    labels, probabilities = _checked(labels, probabilities, groups, class_names)
    predicted = decide(probabilities, threshold)
    binary = len(class_names) == 2
    num_groups = len(np.unique(np.asarray(groups, dtype=str)))
    confusion = confusion_matrix(labels, predicted, labels=range(len(class_names)))
    figures = bootstrap(
        class_statistics(labels, predicted, probabilities),
        groups,
        draws=draws,
        seed=seed,
        reasons=REASONS if binary else dict.fromkeys(REASONS, BOTH),
    )
    for name, figure in _proportions(confusion).items():
        resampled = figures.get(name, {}).get("ci95")
        figures[name] = figure
        if resampled and num_groups < len(labels):
            figure["ci95_groups"] = resampled
    correct = labels == predicted
    return {
        "n": len(labels),
        "groups": num_groups,
        "class_names": list(class_names),
        "threshold": float(np.mean(threshold)) if binary else None,
        "average": None if binary else "macro, over the classes that occur",
        **figures,
        "ece": expected_calibration_error(
            *((labels == 1, probabilities[:, 1]) if binary else (correct, probabilities.max(1)))
        ),
        "confusion": confusion.tolist(),
        "per_class": _class_table(confusion, labels, probabilities, class_names),
        "majority": against_majority(labels, predicted, class_names, groups, seed=seed),
    }


def brief(labels, probabilities, threshold, groups, class_names, seed=0):
    """The few figures by which judgements are held beside each other.

    Args:
        labels, probabilities, threshold, groups, class_names, seed: see
            `classification_metrics`.

    Returns:
        Dict of its `BRIEF`.
    """
    found = classification_metrics(
        labels, probabilities, groups, threshold=threshold, class_names=class_names, seed=seed
    )
    return {name: found[name] for name in BRIEF}
