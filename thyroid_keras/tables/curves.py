"""How an accuracy depends on one setting: the paper's sensitivity curves."""

import numpy as np

from thyroid_keras.report import save_figure
from thyroid_keras.report.style import BLUE, VERMILION, new_figure
from thyroid_keras.tables.tasks import accuracy_of, read_measured

PANEL_INCHES = 3.4
NAME = "sensitivity"
LOGARITHMIC = 6  # times as large is the last value as the first


def write_curves(run, table, results, seed=0):
    """Draws `plots/sensitivity.png`, a panel for each of a table's curves.

    Args:
        run: `Run` of the table's folder.
        table: `Table`.
        results: sequence of `Result`.
        seed: of the bootstrap.

    Returns:
        dict from the picture's name to its caption; empty without curves or rows.
    """
    whole = {result.row.name: result for result in results if result.found}
    points = {curve: curve_points(curve, whole, seed) for curve in table.curves}
    if not any(points.values()):
        return {}
    figure, axes = new_figure(PANEL_INCHES * len(points), 3.2, 1, len(points), sharey=True)
    for ax, (curve, found) in zip(axes[0], points.items(), strict=True):
        x = np.array([value for value, _, _ in found])
        means = np.array([figure["value"] for _, figure, _ in found])
        bounds = np.array([f["ci95"] or (f["value"], f["value"]) for _, f, _ in found])
        reach = np.abs(bounds - means[:, None]).T
        ax.errorbar(x, means, reach, fmt="o-", color=BLUE, capsize=3)
        for value, _, seeds in found:
            ax.plot([value] * len(seeds), seeds, "x", color=VERMILION, markersize=5)
        if min(x, default=0) > 0 and max(x) / min(x) > LOGARITHMIC:
            ax.set_xscale("log")
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.set_xticks([], minor=True)
        ax.set(xlabel=curve.title)
        ax.grid(color="#E5E5E5", linewidth=0.8)
    axes[0, 0].set_ylabel("test accuracy")
    save_figure(figure, run.plots / f"{NAME}.png")
    return {
        NAME: "How the accuracy depends on one setting, the others as in the base row. Dots: the "
        "mean of the repeated trainings with its 95 % interval over test images; crosses: single "
        "trainings."
    }


def curve_points(curve, whole, seed):
    """Returns `(value of the setting, figure, accuracy of each training)`, by value.

    Args:
        curve: `Curve`.
        whole: dict from a row's name to its `Result`.
        seed: of the bootstrap.
    """
    points = []
    for name in curve.rows:
        if name in whole:
            found = read_measured(whole[name])
            value = whole[name].config["recipe"][curve.field]
            figure = accuracy_of(found, whole[name], seed)
            points.append((value, figure, found.right.mean(axis=1)))
    return sorted(points, key=lambda point: point[0])
