"""A sheet of attention maps, laid out as figures 3 to 5 of Schlemper et al. 2018."""

from thyroid_keras.report.gallery import draw_panel, map_columns
from thyroid_keras.report.style import BLUE, VERMILION, new_figure, plain

PANEL_INCHES = 1.9


def map_sheet(examples, *, class_names):
    """Draws one row per example: the image, then each of its maps over it.

    Each map is scaled to its own range. Boxes are on the last map, the model's red, the
    true one blue, with their IoU.

    Args:
        examples: sequence of `Example`, at least one.
        class_names: K strings; a row is named by the true class, and by the answer where
            that is another.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns = [lambda ax, example: "", *map_columns(examples)]
    titles = ["image", *(draw.keywords["name"] for draw in columns[1:])]
    height, width = examples[0].image.shape[:2]
    figure, axes = new_figure(
        PANEL_INCHES * len(columns) + 0.4,
        (PANEL_INCHES * height / width + 0.22) * len(examples) + 0.3,
        len(examples),
        len(columns),
    )
    for row, example in zip(axes, examples, strict=True):
        for ax, draw, title in zip(row, columns, titles, strict=True):
            said = draw_panel(ax, example, draw).removeprefix(title).lstrip(",: ")
            ax.set_xlabel(plain(said, 30), fontsize=8)
        right = example.predicted == example.label
        name = plain(class_names[example.label], 22)
        if not right:
            name += f"\ncalled {plain(class_names[example.predicted], 15)}"
        row[0].set_ylabel(name, fontsize=9, color=BLUE if right else VERMILION)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9.5)
    return figure
