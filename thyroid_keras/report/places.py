"""The section on where the model looks, held against true boxes."""

from thyroid_keras.report.figures import interval_text
from thyroid_keras.report.page import paragraph, section, table
from thyroid_keras.report.style import with_interval

HEADER = ["Class", "n", "IoU, mean (SD)", "95 % CI", "Correct", "Relatively correct"]


def places(metrics):
    """The table of the boxes' figures, of all images and by class; "" where there are none."""
    found = metrics.get("localisation")
    if not found:
        return ""
    unit = metrics.get("group_unit", "group")
    rule = found["rule"]
    caption = (
        f"Intersection over union (IoU) with {found['truth']}, over {found['over']}. Correct: "
        "IoU above 0.5; relatively correct: above half of the largest IoU of its class. "
        f"Intervals by {unit} (bootstrap)."
    )
    constant = found["constant"]
    aside = (
        f"One box for every image, the mean of the true ones, has an IoU of "
        f"{_mean_sd(constant)}: what their usual place alone gives away."
        if constant.get("value") is not None
        else ""
    )
    how = (
        "Nobody taught the network where to look: its box is that of what its maps agree on "
        f"({rule['map']}: blurred by {rule['sigma_px']:.1f} px, cut at {rule['threshold']:.0%} of "
        "the maximum, the component that overlaps with every scale's). It outlines what tells "
        "the class, which need not be the whole structure."
    )
    rows = [["All", *_cells(found)]]
    rows += [[row["class"], *_cells(row)] for row in found["per_class"]]
    return section(
        "Where it looks",
        paragraph(how),
        table(HEADER, rows, caption, numbers=(1, 2, 3, 4, 5)),
        paragraph(aside),
    )


def _cells(row):
    shares = (with_interval(row[name]) for name in ("correct", "relative"))
    return [row["n"], _mean_sd(row["iou"]), interval_text(row["iou"]), *shares]


def _mean_sd(figure):
    if figure.get("value") is None:
        return "–"
    sd = f" ({figure['sd']:.2f})" if figure.get("sd") is not None else ""
    return f"{figure['value']:.2f}{sd}"
