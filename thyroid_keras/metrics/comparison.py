"""Is one classifier better than another on the same images?"""

import numpy as np
from scipy import stats

from thyroid_keras.metrics.intervals import bootstrap, missing, proportion


def _same_length(**arrays):
    if len({len(a) for a in arrays.values()}) != 1 or not len(next(iter(arrays.values()))):
        received = ", ".join(f"{name} of length {len(a)}" for name, a in arrays.items())
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in arrays)} must describe the same images, "
            f"at least one. Received: {received}"
        )


def mcnemar(correct_a, correct_b):
    """Exact McNemar test of two classifiers' answers to the same images.

    Under the null hypothesis the images that only one of them gets right are a fair
    coin's; the p-value is the two-sided binomial one. Images are taken as independent.

    Args:
        correct_a, correct_b: `(N,)` bool.

    Returns:
        `{"only_a", "only_b", "n", "p_value"}`, p = 1 where they never differ.

    Reference: McNemar 1947, doi:10.1007/BF02295996.
    """
    _same_length(correct_a=correct_a, correct_b=correct_b)
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    differ = only_a + only_b
    p_value = float(stats.binomtest(only_a, differ).pvalue) if differ else 1.0
    return {"only_a": only_a, "only_b": only_b, "n": len(a), "p_value": p_value}


def delong(truth, scores_a, scores_b):
    """Difference of two ROC AUCs on the same images, by DeLong's variance.

    With V_p the share of negatives that positive p outranks, and V_n the share of
    positives that outrank negative n (ties half),

        difference = auc_a - auc_b
        variance = var_p(V_a - V_b) / num_positives + var_n(V_a - V_b) / num_negatives

    Images are taken as independent; with several per patient prefer `bootstrap`.

    Args:
        truth: `(N,)` bool.
        scores_a, scores_b: `(N,)` finite floats.

    Returns:
        A figure `{"value", "ci95", "n", "auc_a", "auc_b", "p_value"}`, the value in
        [-1, 1]; missing where a class has fewer than two images or the variance is 0
        though the AUCs differ.

    Reference: DeLong et al. 1988, doi:10.2307/2531595; the midranks of Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313.
    """
    _same_length(truth=truth, scores_a=scores_a, scores_b=scores_b)
    truth = np.asarray(truth, dtype=bool)
    num_positives, num_negatives = int(truth.sum()), int((~truth).sum())
    if min(num_positives, num_negatives) < 2:
        return missing("needs at least two images of either class")

    def placements(scores):
        scores = np.asarray(scores, dtype=float)
        ranks = stats.rankdata(scores)  # midranks: ties share their mean
        of_positives = ranks[truth] - stats.rankdata(scores[truth])
        of_negatives = ranks[~truth] - stats.rankdata(scores[~truth])
        return of_positives / num_negatives, 1 - of_negatives / num_positives

    (p_a, n_a), (p_b, n_b) = placements(scores_a), placements(scores_b)
    auc_a, auc_b = float(p_a.mean()), float(p_b.mean())
    difference = auc_a - auc_b
    error = np.sqrt(
        np.var(p_a - p_b, ddof=1) / num_positives + np.var(n_a - n_b, ddof=1) / num_negatives
    )
    if error == 0 and difference != 0:
        return missing("the variance is 0: one score separates the classes entirely")
    z = difference / error if error else 0.0
    reach = stats.norm.ppf(0.975) * error
    return {
        "value": difference,
        "ci95": [max(-1.0, float(difference - reach)), min(1.0, float(difference + reach))],
        "n": len(truth),
        "auc_a": auc_a,
        "auc_b": auc_b,
        "p_value": float(2 * stats.norm.sf(abs(z))),
    }


def against_majority(labels, predicted, class_names, groups=None, *, seed=0):
    """Does the model beat always naming the most frequent class of the same images?

    McNemar's test takes images as independent; where groups hold several images, the
    bootstrap over groups of the difference has to agree.

    Args:
        labels, predicted: `(N,)` ints, indices into `class_names`.
        class_names: sequence of str.
        groups: `(N,)`, the patient of each image; `None`: each its own.
        seed: of the bootstrap.

    Returns:
        The accuracy of the constant answer, a figure, with `"class"`, `"p_value"` (exact
        McNemar), `"difference"` (a figure, by group), `"beaten"` (more right answers,
        p < 0.05 and a difference above 0 by group) and a plain `"sentence"`.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    majority = int(np.bincount(labels, minlength=len(class_names)).argmax())
    right, constant = predicted == labels, labels == majority
    test = mcnemar(right, constant)
    gain = right.astype(float) - constant
    difference = bootstrap(
        lambda weights: {"difference": weights @ gain / weights.sum(axis=1)},
        np.arange(len(labels)) if groups is None else groups,
        seed=seed,
    )["difference"]
    low, high = difference["ci95"] or (0.0, 0.0)
    if gain.sum() > 0:
        beaten = test["p_value"] < 0.05 and low > 0
        verdict = "beats" if beaten else "is right more often than, but not reliably better than,"
    else:
        beaten = False
        worse = test["p_value"] < 0.05 and high < 0
        verdict = "is reliably worse than" if worse else "is not right more often than"
    interval = f"{low:+.3f} to {high:+.3f} by group"
    if not difference["ci95"]:
        interval = f"no interval, {difference['reason']}"
    p_value = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
    sentence = (
        f"The model {verdict} always answering “{class_names[majority]}”: "
        f"{right.mean():.1%} against {constant.mean():.1%} of {len(labels)} images right "
        f"(exact McNemar test by image, {p_value}; difference {gain.mean():+.3f}, "
        f"{interval})."
    )
    return proportion(constant.sum(), len(labels)) | {
        "class": class_names[majority],
        "p_value": test["p_value"],
        "difference": difference,
        "beaten": beaten,
        "sentence": sentence,
    }
