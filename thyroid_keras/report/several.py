"""Several ROC curves in one plot: the folds of a cross-validation, or two classifiers."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.report.plots import roc
from thyroid_keras.report.style import (
    BLUE,
    CYCLE,
    GREY,
    VERMILION,
    counted_images,
    new_figure,
    plain,
    unit_axes,
    with_interval,
)


def fold_roc(answers, *, found=None, unit="group", seed=0):
    """Draws the pooled ROC curve with its band, and the curve of each fold.

    The point in use lies off the pooled curve where the folds have thresholds of their own.

    Args:
        answers: `Answers` with `folds`.
        found, unit, seed: as for `roc`.

    Returns:
        `matplotlib.figure.Figure`; more than two classes: the pooled curves alone.
    """
    names, truth = answers.class_names, answers.labels == 1
    scores = answers.probabilities
    quoted = {"class_names": names, "found": found, "unit": unit, "seed": seed}
    figure = roc(answers.labels, scores, answers.groups, **quoted)
    if len(names) > 2 or truth.all() or not truth.any():
        return figure
    ax = figure.axes[0]
    pooled = max(ax.lines, key=lambda line: line.get_linewidth())
    pooled.set_label(f"pooled: {pooled.get_label()}")
    for turn, fold in enumerate(np.unique(answers.folds)):
        of = answers.folds == fold
        if truth[of].all() or not truth[of].any():
            continue
        x, y, _ = metrics.roc_points(truth[of], scores[of, 1])
        auc = metrics.roc_auc(truth[of], scores[of, 1])[0]
        style = {"color": CYCLE[1:][turn % 5], "linewidth": 0.9, "alpha": 0.8}
        ax.plot(x[0], y[0], label=f"fold {fold}: AUC {auc:.2f}", **style)
    called = answers.predicted == 1
    sensitivity, false_alarms = called[truth].mean(), called[~truth].mean()
    label = f"own thresholds: {sensitivity:.2f} found, {false_alarms:.2f} false alarms"
    ax.plot(false_alarms, sensitivity, "o", color=VERMILION, markersize=9, label=label)
    figure.legends[0].remove()
    figure.set_figheight(6.2 + 0.12 * len(ax.lines))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def paired_roc(labels, scores, groups, *, class_names, unit="group", seed=0):
    """Draws the ROC curves of two classifiers on the same images.

    Args:
        labels: `(N,)` ints, 0 or 1.
        scores: dict from each classifier's name to its `(N,)`.
        groups: `(N,)`.
        class_names: two strings.
        unit: what a group is, e.g. `"patient"`.
        seed: of the resampling.

    Returns:
        `matplotlib.figure.Figure`.
    """
    truth = np.asarray(labels) == 1
    figure, axes = new_figure(5.6, 6.6)
    ax = axes[0, 0]
    ax.set_aspect("equal")
    unit_axes(ax, "1 − specificity (false alarms / negatives)", "Sensitivity (found / positives)")
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    styles = ({"color": BLUE}, {"color": VERMILION, "linestyle": "--"})
    for (name, values), style in zip(scores.items(), styles, strict=True):

        def statistic(weights, values=values):
            return {"auc": metrics.roc_auc(truth, values, weights)}

        auc = with_interval(metrics.bootstrap(statistic, groups, seed=seed)["auc"])
        x, y, _ = metrics.roc_points(truth, values)
        ax.plot(x[0], y[0], linewidth=2, label=f"{plain(name)}: AUC {auc}", **style)
    num_groups = len(np.unique(np.asarray(groups, dtype=str)))
    n = counted_images(len(truth), num_groups, plain(unit))
    ax.set_title(f"ROC: {plain(class_names[1])}\n{n}, {truth.sum()} positive", fontsize=11)
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure
