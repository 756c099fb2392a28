"""Deletion and insertion: how a class's probability goes and comes with the image."""

import numpy as np

from thyroid_keras.report.style import BLUE, GREY, new_figure, unit_axes, with_interval

ORDERS = (("map", "by the class map", BLUE, "-"), ("centre", "from the centre", GREY, "--"))


def faithfulness(maps):
    """Draws the mean curves of deletion and insertion, by the class map and from the centre.

    Args:
        maps: what `metrics.json` says of maps, with `curves`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = new_figure(9.0, 4.6, 1, 2)
    for ax, name, better in zip(
        axes[0], ("deletion", "insertion"), ("lower", "higher"), strict=True
    ):
        verb = "blurred" if name == "deletion" else "shown"
        unit_axes(ax, f"Share of the image {verb}", "Mean probability of the answer")
        for who, label, colour, line in ORDERS:
            curve = maps["curves"][f"{who}_{name}"]
            area = with_interval((maps if who == "map" else maps[who])[name])
            style = {"color": colour, "linestyle": line, "linewidth": 2}
            ax.plot(np.linspace(0, 1, len(curve)), curve, label=f"{label}: {area}", **style)
        ax.set_title(f"{name.capitalize()}, {maps[name]['n']} images; {better} is better")
        ax.legend(loc="lower left" if name == "deletion" else "lower right", title="area (95 %)")
    return figure
