"""How all figures look."""

import warnings

import numpy as np
from matplotlib.figure import Figure

from thyroid_keras.metrics import widest_interval
from thyroid_keras.runs import atomic
from thyroid_keras.spelling import counted

FEW_GROUPS = 20  # below which a bootstrap over them is rough

# Okabe and Ito's palette: told apart by colour-blind readers and in grey print
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
)
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
RED = "#F0142F"  # of boxes over maps, where vermilion drowns
GREY = "#6B6B6B"
DPI = 120


def new_figure(width, height, rows=1, columns=1, **options):
    """Returns a white figure, sizes in inches, and its axes as an array `(rows, columns)`."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure, path):
    """Writes a figure as PNG, atomically."""
    with atomic(path) as temporary, warnings.catch_warnings():
        # names in scripts that the font lacks are drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, format="png", bbox_inches="tight", pad_inches=0.08)


def plain(text, width=40):
    """Returns text that matplotlib draws as it stands: no formulas, no control codes."""
    text = "".join(c if c.isprintable() else "?" for c in str(text))
    text = text.encode("utf-8", "replace").decode()
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return text.replace("$", r"\$")


def counted_images(number, groups, unit):
    """Returns e.g. `20 images of 10 patients`, or `15 images` where each is its own group."""
    images = counted(number, "image")
    return images if unit == "image" else f"{images} of {counted(groups, unit)}"


def with_interval(figure):
    """Returns e.g. `0.91 (0.85–0.96)`, or a dash where there is no figure."""
    if not figure or figure.get("value") is None:
        return "–"
    if interval := widest_interval(figure):
        low, high = interval
        return f"{figure['value']:.2f} ({low:.2f}–{high:.2f})"
    return f"{figure['value']:.2f}"


def doubt(figure, unit="group"):
    """Returns why a resampled interval is rough, e.g. `4 patients are too few`; "" where it is not.

    Args:
        figure: see `metrics.bootstrap`; of another kind, or without interval, there is no doubt.
        unit: what a group is, e.g. `"patient"`.
    """
    if not figure or "draws" not in figure or not figure["ci95"]:
        return ""
    if few := too_few(figure["groups"], unit):
        return few
    return "every resampled set gave the same figure" if np.ptp(figure["ci95"]) == 0 else ""


def too_few(number, unit):
    """Returns e.g. `4 patients are too few`, for a bootstrap over them; "" of more."""
    if number >= FEW_GROUPS:
        return ""
    return f"{counted(number, unit)} {'is' if number == 1 else 'are'} too few"


def unit_axes(ax, x, y):
    """Makes both axes run from 0 to 1, with room for lines on the border."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
