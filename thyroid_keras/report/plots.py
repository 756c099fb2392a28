"""What a classifier's answers look like, drawn from arrays.

Shape key: N images, K classes. Throughout `labels` is `(N,)` ints in [0, K),
`probabilities` `(N, K)`, `groups` `(N,)`; of two classes the last is the positive one.
"""

import numpy as np

from thyroid_keras import metrics
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


def _curves(labels, probabilities, class_names):
    """The classes to be drawn, each against the rest, with line styles."""
    positives = [1] if len(class_names) == 2 else range(len(class_names))
    for k in positives:
        turn = k if len(class_names) > 2 else 0
        style = {"color": CYCLE[turn % 6], "linestyle": ("-", "--", "-.")[turn // 6 % 3]}
        yield k, plain(class_names[k], 24), labels == k, probabilities[:, k], style


def _interval(statistic, truth, scores, groups, seed):
    """The figure of one class against the rest; resamples without both are dropped."""

    def statistics(weights):
        both = (weights @ truth > 0) & (weights @ ~truth > 0)
        return {"x": np.where(both, statistic(truth, scores, weights), np.nan)}

    return metrics.bootstrap(statistics, groups, seed=seed)["x"]


def _canvas(class_names):
    """A square plot, with room for the legend below it."""
    many = len(class_names) > 2
    figure, axes = new_figure(5.6, 6 + 0.2 * max(4, len(class_names) + 1))
    if not many:
        axes[0, 0].set_aspect("equal")
    return figure, axes[0, 0], many


def _legend(figure):
    if figure.axes[0].get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)


def _no_curve(ax, reason):
    ax.text(0.5, 0.5, reason, ha="center", va="center", color=GREY, transform=ax.transAxes)


def roc(
    labels, probabilities, groups, *, class_names, threshold=None, found=None, unit="group", seed=0
):
    """Draws the ROC curve with its 95 % band, pointwise, from resampled groups.

    Args:
        threshold: marks the point in use; for two classes.
        found: content of `metrics.json`, whose figure of two classes is quoted; `None`: it
            is found here.
        unit: what a group is, e.g. `"patient"`.
        seed: of the resampling.

    Returns:
        `matplotlib.figure.Figure`; more than two classes: one curve each, without band.
    """
    figure, ax, many = _canvas(class_names)
    unit_axes(ax, "1 − specificity (false alarms / negatives)", "Sensitivity (found / positives)")
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    for _, name, truth, scores, style in _curves(labels, probabilities, class_names):
        if truth.all() or not truth.any():
            if not many:
                _no_curve(ax, "no curve: all images are of one class")
            continue
        auc = None if many else (found or {}).get("roc_auc")
        auc = with_interval(auc or _interval(metrics.roc_auc, truth, scores, groups, seed))
        x, y, thresholds = metrics.roc_points(truth, scores)
        label = f"AUC {auc}" + (f"  {name}, n = {truth.sum()}" if many else "")
        ax.plot(x[0], y[0], linewidth=2, label=label, **style)
        if not many:
            low, high = roc_band(truth, scores, groups, seed)
            grid = np.linspace(0, 1, len(low))
            ax.fill_between(grid, low, high, color=BLUE, alpha=0.18, label="95 % band, pointwise")
            if threshold is not None:
                at = max(np.flatnonzero(thresholds >= threshold))
                label = (
                    f"threshold {threshold:.2f}: sensitivity {y[0, at]:.2f}, "
                    f"specificity {1 - x[0, at]:.2f}"
                )
                ax.plot(x[0, at], y[0, at], "o", color=VERMILION, markersize=9, label=label)
    ax.set_title(_title("ROC", labels, groups, class_names, unit), fontsize=11)
    _legend(figure)
    return figure


def roc_band(truth, scores, groups, seed=0, draws=1000):
    """The 95 % band of a ROC curve, pointwise, from resampled groups.

    Returns:
        `(2, 101)`, the least and the largest sensitivity at even steps of the false positive
        rate; NaN where no resample holds both classes.
    """
    grid = np.linspace(0, 1, 101)
    curves = []
    for weights in metrics.group_weights(groups, draws, seed):
        for x, y in zip(*metrics.roc_points(truth, scores, weights)[:2], strict=True):
            if np.isfinite(x).all() and np.isfinite(y).all():
                curves.append(np.interp(grid, x, y))
    if not curves:
        return np.full((2, 101), np.nan)
    return np.percentile(curves, [2.5, 97.5], axis=0)


def _title(kind, labels, groups, class_names, unit):
    num_groups = len(np.unique(np.asarray(groups, dtype=str)))
    n = counted_images(len(labels), num_groups, plain(unit))
    if len(class_names) > 2:
        return f"{kind}, each class against the rest\n{n}"
    return f"{kind}: {plain(class_names[1])}\n{n}, {int((labels == 1).sum())} positive"


def precision_recall(
    labels, probabilities, groups, *, class_names, threshold=None, found=None, unit="group", seed=0
):
    """Draws precision against sensitivity, with the prevalence as the line of chance.

    Args and Returns: as `roc`.
    """
    figure, ax, many = _canvas(class_names)
    unit_axes(ax, "Sensitivity (found / positives)", "Precision (right / called positive)")
    for _, name, truth, scores, style in _curves(labels, probabilities, class_names):
        if not truth.any():
            if not many:
                _no_curve(ax, "no curve: no positive image")
            continue
        average = None if many else (found or {}).get("average_precision")
        average = average or _interval(metrics.average_precision, truth, scores, groups, seed)
        x, y, thresholds = metrics.precision_recall_points(truth, scores)
        label = f"average precision {with_interval(average)}" + (f"  {name}" if many else "")
        ax.step(
            np.r_[0, x[0]], np.r_[y[0, 0], y[0]], where="pre", linewidth=2, label=label, **style
        )
        if not many:
            share = truth.mean()
            label = f"prevalence {share:.2f}: calling at random"
            ax.axhline(share, color=GREY, linestyle=":", linewidth=1, label=label)
            called = np.flatnonzero(thresholds >= threshold) if threshold is not None else []
            if len(called):
                at = max(called)
                label = f"threshold {threshold:.2f}: precision {y[0, at]:.2f}"
                ax.plot(x[0, at], y[0, at], "o", color=VERMILION, markersize=9, label=label)
    ax.set_title(
        _title("Precision and sensitivity", labels, groups, class_names, unit), fontsize=11
    )
    _legend(figure)
    return figure


def confusion(counts, *, class_names):
    """Draws the confusion matrix: counts, and shares of each true class.

    Args:
        counts: `(K, K)` ints, rows the truth, columns the answer.
        class_names: K strings.
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    num_classes = len(class_names)
    side = max(4.6, 1.6 + 0.75 * num_classes)
    figure, axes = new_figure(side + 0.8, side)
    ax = axes[0, 0]
    drawn = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{shares[row, column]:.0%}" if totals[row, 0] else "0\n–"
        colour = "white" if shares[row, column] > 0.55 else "black"
        size = 13 if num_classes == 2 else 9
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    names = [plain(name, 22) for name in class_names]
    turned = {"rotation": 40, "ha": "right"} if num_classes > 3 else {}
    ax.set_xticks(range(num_classes), names, **turned)
    ax.set_yticks(
        range(num_classes), [f"{n}\n(n = {t})" for n, t in zip(names, totals[:, 0], strict=True)]
    )
    ax.set(xlabel="Answer of the model", ylabel="Truth")
    ax.set_title(f"Confusion, {counts.sum()} images", fontsize=11)
    ax.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=ax, shrink=0.8, label="Share of the true class")
    return figure


def calibration(labels, probabilities, *, class_names, bins=10):
    """Draws promised against observed shares, and below how often each score was given.

    Two classes: the probability of the positive one. More: that of the answer, against
    how often the answer was right.
    """
    if len(class_names) == 2:
        truth, scores = labels == 1, probabilities[:, 1]
        x, y = f"Promised probability of {plain(class_names[1], 24)}", "Observed share"
        parts = [(plain(n, 24), scores[labels == k]) for k, n in enumerate(class_names)]
    else:
        truth, scores = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
        x, y = "Promised probability of the answer", "Share of answers that were right"
        parts = [("wrong answers", scores[~truth]), ("right answers", scores[truth])]
    figure, axes = new_figure(5.6, 6.6, 2, height_ratios=(3, 1), sharex=True)
    top, bottom = axes[:, 0]
    unit_axes(top, "", y)
    top.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    filled = metrics.calibration_bins(truth, scores, bins)
    promised = [b["promised"] for b in filled]
    observed = np.array([b["observed"]["value"] for b in filled])
    reach = np.abs(np.array([b["observed"]["ci95"] for b in filled]) - observed[:, None]).T
    error = metrics.expected_calibration_error(truth, scores, bins)["value"]
    top.errorbar(promised, observed, reach, fmt="o", color=BLUE, capsize=3)
    summary = f"expected calibration error {error:.2f} ({bins} bins), bars: 95 % Wilson"
    top.set_title(f"Calibration, {len(labels)} images\n{summary}", fontsize=11)
    edges = np.linspace(0, 1, 2 * bins + 1)
    bottom.hist(
        [scores for _, scores in parts],
        edges,
        stacked=True,
        color=[BLUE, VERMILION],
        label=[f"{name} (n = {len(scores)})" for name, scores in parts],
    )
    bottom.set(xlabel=x, ylabel="Images")
    bottom.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure
