"""The one map of a data set, drawn as in figures 4 to 6 of Xu et al., and what is said of it."""

import numpy as np

from thyroid_keras.report.page import paragraph, picture, section, table
from thyroid_keras.report.style import VERMILION, new_figure

PANEL_INCHES = 2.6
TITLES = {"before": "before learning", "after": "after learning", "prior": "prior"}
HEADER = ["Map", "Mean inside", "Mean outside", "Inside / outside", "Rank"]


def draw_global_map(maps, region, image, found=None):
    """Draws each map alone, dark where it is high, and the last one learned over the mean image.

    Each map is stretched to its own range, as in the paper; the range stands below it.

    Args:
        maps: dict from `"before"`, `"after"` and `"prior"` to float `(H, W)`.
        region: bool `(H, W)`, outlined, or `None`.
        image: float `(H, W, 3)` in [0, 1], the mean of some images.
        found: what `metrics.json` says, for the ratios below the maps.

    Returns:
        `matplotlib.figure.Figure`.
    """
    height, width = image.shape[:2]
    count = len(maps) + 2
    size = PANEL_INCHES * count, PANEL_INCHES * height / width + 0.6
    figure, axes = new_figure(*size, 1, count)
    for ax, (name, values) in zip(axes[0], maps.items(), strict=False):
        low, high = float(values.min()), float(values.max())
        ax.imshow(values, cmap="gray_r", vmin=low, vmax=high if high > low else low + 1)
        ax.set_title(TITLES[name], fontsize=10)
        said = f"{low:.3f} (white) to {high:.3f} (black)"
        ratio = ((found or {}).get(name) or {}).get("ratio")
        ax.set_xlabel(
            said + (f"\ninside / outside {ratio:.2f}" if ratio is not None else ""), fontsize=9
        )
    axes[0, -2].imshow(image)
    axes[0, -2].set_title("mean image", fontsize=10)
    stretched = maps["after"] - maps["after"].min()
    stretched = stretched / max(float(stretched.max()), 1e-9)
    axes[0, -1].imshow(image * (0.25 + 0.75 * stretched[..., None]))
    axes[0, -1].set_title("mean image under the map", fontsize=10)
    for ax in axes[0]:
        ax.set(xticks=[], yticks=[])
        if region is not None:
            ax.contour(np.asarray(region, float), [0.5], colors=VERMILION, linewidths=1)
    return figure


def global_map(run, metrics):
    """The section on the map of the data set; "" where a run has none."""
    found = metrics.get("global_map")
    if not found:
        return ""
    how = (
        "One map for all images, which multiplies each of them. Drawn dark where it is high, "
        "stretched to its own range, before any learning and after; orange: the region expected."
    )
    rows = [
        [TITLES[name], *(f"{found[name][key]:.3f}" for key in ("inside", "outside")),
         "–" if found[name]["ratio"] is None else f"{found[name]['ratio']:.2f}",
         f"{found[name]['rank']:.2f}"]
        for name in ("before", "after") if name in found
    ]  # fmt: skip
    source = (found.get("region") or {}).get("source", "")
    caption = (
        f"The region expected: {source}. Rank: how often of two pixels, one inside and one "
        "outside, the one inside has the higher value; .50 by chance."
    )
    aside = (
        f"The map that was learned reaches from {found['least']:.3f} to {found['most']:.3f}, mean "
        f"{found['mean']:.3f}. {found.get('fault', '')}"
    )
    shown = picture(run.plots / "global_map.png", "Map of the data set", how)
    return section(
        "One map for all images",
        shown,
        paragraph(aside),
        table(HEADER, rows, caption, numbers=(1, 2, 3, 4)),
    )
