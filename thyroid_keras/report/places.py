"""The section on where the model looks, held against true boxes and masks."""

from thyroid_keras.report.figures import interval_text
from thyroid_keras.report.page import Markup, paragraph, section, table, text
from thyroid_keras.report.style import with_interval

MAPS = (
    ("pointing", "Pointing game", "share of images whose highest value lies inside the mask"),
    ("average_precision", "Average precision", "of the map as a score of every pixel"),
    ("dice", "Dice", "of the mask that a threshold makes of the map"),
    ("iou", "IoU", "of the same mask"),
    ("deletion", "Deletion", "mean probability of the answer as the image goes; lower is better"),
    ("insertion", "Insertion", "the same as the image comes; higher is better"),
)
HEADER = ["Class", "n", "IoU, mean (SD)", "95 % CI", "Correct", "Relatively correct"]


def places(metrics):
    """The tables of the maps' and the boxes' figures; "" where there are none."""
    return section("Where it looks", _maps(metrics), _boxes(metrics))


def _maps(metrics):
    """How well the class map finds what the masks outline, and what needs no network."""
    found = metrics.get("maps")
    if not found:
        return ""
    rule, unit = found["rule"], metrics.get("group_unit", "group")
    how = (
        "Nobody taught the network where to look. Its class map says what each place adds "
        f"to the answer; warm places count. Over {found['over']} ({found['truth']}). A point may "
        f"miss the mask by {rule['tolerance_px']:.1f} px. The map is cut at a share of its maximum"
        f" ({rule['map_origin']}). For deletion and insertion {rule['followed']} images, drawn by "
        f"the seed, were blurred ({rule['blur_sigma_px']:.1f} px) and shown by tenths, the "
        f"highest values first. Intervals by {unit} (bootstrap)."
    )
    rows = [
        [
            Markup(f'{text(name)}<br><span class="soft">{text(meaning)}</span>'),
            *(with_interval(part.get(key)) for part in (found, found["centre"], found["random"])),
            found[key].get("n", ""),
        ]
        for key, name, meaning in MAPS
    ]
    header = ["Figure", "Class map", "Centre of the image", "A random pixel", "n"]
    caption = (
        "The middle columns need no network: a Gaussian about the centre in place of the map, "
        "cut at a threshold of its own, and any pixel."
    )
    return paragraph(how) + table(header, rows, caption, numbers=(1, 2, 3, 4))


def _boxes(metrics):
    """The boxes' figures, of all images and by class."""
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
        f"One box for every image, the mean of the validation images' true ones, has an IoU of "
        f"{_mean_sd(constant)}: what their usual place alone gives away.{_above(found)}"
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
    shown = table(HEADER, rows, caption, numbers=(1, 2, 3, 4, 5))
    return "\n".join(part for part in (paragraph(how), shown, paragraph(aside)) if part)


def _above(found):
    effect = found.get("above_constant") or {}
    if not effect.get("ci95"):
        return ""
    return f" The network's, image by image, less that one's: {with_interval(effect)}."


def _cells(row):
    shares = (with_interval(row[name]) for name in ("correct", "relative"))
    return [row["n"], _mean_sd(row["iou"]), interval_text(row["iou"]), *shares]


def _mean_sd(figure):
    if figure.get("value") is None:
        return "–"
    sd = f" ({figure['sd']:.2f})" if figure.get("sd") is not None else ""
    return f"{figure['value']:.2f}{sd}"
