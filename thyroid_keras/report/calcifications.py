"""The section on the predicted calcifications, and its plot."""

import numpy as np

from thyroid_keras.metrics import widest_interval
from thyroid_keras.report.page import paragraph, section, table
from thyroid_keras.report.style import BLUE, GREY, VERMILION, new_figure

ERRORS = (
    ("number", "Number", "predicted calcifications per nodule"),
    ("true_number", "True number", "of the true mask"),
    ("number_error", "Error of the number", "predicted less true; 0 is best"),
    ("number_off", "Size of that error", "whichever its sign; 0 is best"),
    ("found", "Found", "share of a nodule's true ones that the predicted mask touches"),
    ("false", "False", "predicted ones per nodule that touch no true one; 0 is best"),
    ("area_share", "Area", "of all of a nodule's, as a share of the nodule"),
    ("true_area_share", "True area", "likewise, of the true mask"),
    ("area_error", "Error of the area", "predicted less true; 0 is best"),
)
MEASURES = (
    ("area_share", "Area, share of the nodule"),
    ("area_px", "Area, px of the network's image"),
    ("area_mm2", "Area, mm²"),
    ("major_px", "Length, px"),
    ("major_mm", "Length, mm"),
    ("elongation", "Length over width"),
    ("place", "Place, from 0 in the middle to 1 at the nodule's margin"),
)


def calcifications(metrics):
    """How many calcifications were found, how large, of what shape and where; "" for none.

    Args:
        metrics: content of `metrics.json`.
    """
    found = metrics.get("calcifications")
    if not found:
        return ""
    unit = metrics.get("group_unit", "group")
    rows = [
        [f"{name}: {meaning}", _short(found[key]["value"]), _reach(found[key]), found[key]["n"]]
        for key, name, meaning in ERRORS
        if (found.get(key) or {}).get("value") is not None
    ]
    measured = [
        [name, _short(of["median"]), f"{_short(of['lower'])} – {_short(of['upper'])}"]
        for key, name in MEASURES
        if (of := found["measures"].get(key))
    ]
    return section(
        "Calcifications",
        paragraph(
            "Each part of the predicted mask whose pixels touch, inside the nodule's outline where "
            "the data have one, else inside the picture. All of them, with size, shape and place, "
            "are in calcifications.csv."
        ),
        table(
            ["Mean per nodule", "Value", f"95 % CI, by {unit}", "n"],
            rows,
            f"Over the {found['n']} images whose true mask is known; small ones may merge or "
            "vanish at the network's size, in both masks alike.",
            numbers=(1, 2, 3),
        ),
        table(
            ["The largest of each nodule", "Median", "Quartiles"],
            measured,
            f"Of the {found['given']} nodules that were given any.",
            numbers=(1, 2),
        ),
    )


def _reach(figure):
    interval = widest_interval(figure)
    return " – ".join(map(_short, interval)) if interval else "–"


def _short(number):
    """Three digits, of counts and of shares alike; all those before the point."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def calcification_plot(numbers, true_numbers, places, true_places):
    """Draws the predicted against the true number of each nodule, and where they lie.

    Args:
        numbers, true_numbers: `(N,)` ints, of nodules whose truth is known.
        places, true_places: `(M, 2)`, `(K, 2)`, centres, x and y as shares of the picture.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = new_figure(9.4, 4.7, 1, 2)
    left, right = axes[0]
    pairs, counts = np.unique(np.stack([true_numbers, numbers]), axis=1, return_counts=True)
    top = max(1, *pairs.max(axis=1)) if pairs.size else 1
    left.plot([0, top], [0, top], color=GREY, linestyle=":", linewidth=1)
    left.scatter(*pairs, s=18 * counts**0.7, color=BLUE, alpha=0.6)
    left.set(xlabel="True calcifications of a nodule", ylabel="Predicted calcifications")
    left.set_title(f"Number, {len(numbers)} nodules; larger dots: more of them", fontsize=11)
    for of, name, style in (
        (true_places, "true", {"facecolors": "none", "edgecolors": BLUE}),
        (places, "predicted", {"color": VERMILION, "alpha": 0.5, "linewidths": 0}),
    ):
        at = np.reshape(of, (-1, 2)).T
        right.scatter(*at, s=22, label=f"{name} ({at.shape[1]})", **style)
    right.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[], yticks=[])
    right.spines[:].set_visible(True)
    right.set_title("Centres, in the square about the nodule", fontsize=11)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    return figure
