"""Learning curves."""

import math

import numpy as np

from thyroid_keras.report.style import BLUE, GREEN, GREY, VERMILION, new_figure, plain

# columns of history.csv that are not curves of the model's quality
NOT_CURVES = {"phase", "epoch", "seconds", "learning_rate", "best"}
MOST_PANELS = 6


def learning_curves(rows, *, best=None):
    """Draws every measure over all epochs, with the phases shaded and named.

    Args:
        rows: dicts, one per epoch in order: `"phase"` (str, optional), the measures, and
            `"val_..."` for those of the validation images. Values may be `None`.
        best: index of the row whose weights were kept; `None`: the last row with a true
            `"best"`, else the smallest `"val_loss"`, else none is marked.

    Returns:
        `matplotlib.figure.Figure` with the loss first, six measures at most.
    """
    names = _measures(rows)
    columns = min(2, len(names)) or 1
    figure, axes = new_figure(
        max(5.6, 4.6 * columns),
        3.3 * math.ceil(len(names) / columns) + 0.3,
        -(-len(names) // columns) or 1,
        columns,
    )
    best, reason = (best, "kept") if best is not None else _best(rows)
    for ax, name in zip(axes.flat, names, strict=False):
        _draw_measure(ax, rows, name)
        if best is not None:
            label = f"{reason}: epoch {best + 1}"
            ax.axvline(best + 1, color=GREEN, linestyle="--", label=label)
        ax.set(xlabel="Epoch, all phases", ylabel=plain(name.replace("_", " ")))
        ax.xaxis.get_major_locator().set_params(integer=True)
    shown = {}
    for ax in axes.flat:
        handles, labels = ax.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    if shown:
        figure.legend(
            shown.values(), shown, loc="outside lower center", ncols=3, fontsize=9, frameon=False
        )
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    if not names:
        axes[0, 0].text(0.5, 0.5, "nothing was recorded", ha="center", color=GREY)
    return figure


def _value(row, key):
    value = row.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _measures(rows):
    keys = dict.fromkeys(k.removeprefix("val_") for row in rows for k in row)
    found = [
        key
        for key in keys
        if key not in NOT_CURVES
        and any(math.isfinite(_value(row, k)) for row in rows for k in (key, f"val_{key}"))
    ]
    return sorted(found, key=lambda key: key != "loss")[:MOST_PANELS]


def _best(rows):
    """The row to be marked, and why."""
    marked = [i for i, row in enumerate(rows) if row.get("best")]
    if marked:
        return marked[-1], "kept"
    # phases may have different losses: only the last one's compare
    start = _phases(rows)[-1][1] if rows else 0
    losses = [_value(row, "val_loss") for row in rows[start:]]
    if not np.isfinite(losses).any():
        return None, ""
    return start + int(np.nanargmin(losses)), "lowest validation loss"


def _phases(rows):
    """Name, first row and row after the last of each phase."""
    names = [row.get("phase") or "" for row in rows]
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    return [(names[a], a, b) for a, b in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _draw_measure(ax, rows, name):
    """One measure, with a line per phase, since what is measured may change with it."""
    for number, (phase, start, end) in enumerate(_phases(rows)):
        ax.axvspan(start + 0.5, end + 0.5, color="#F3F3F3" if number % 2 else "white", zorder=0)
        middle = (start + end + 1) / 2
        style = {"ha": "center", "fontsize": 8, "color": GREY}
        ax.text(middle, 1.02, plain(phase, 18), transform=ax.get_xaxis_transform(), **style)
        for key, label, colour in (
            (name, "training", BLUE),
            (f"val_{name}", "validation", VERMILION),
        ):
            y = np.array([_value(row, key) for row in rows[start:end]])
            if np.isfinite(y).any():
                label = label if label not in ax.get_legend_handles_labels()[1] else None
                marker = "o" if len(rows) < 25 or len(y) == 1 else None
                x = np.arange(start, end) + 1
                ax.plot(x, y, color=colour, marker=marker, markersize=3.5, label=label)
    ax.set_xlim(0.5, len(rows) + 0.5)
