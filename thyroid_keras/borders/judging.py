"""How well borders are found, on screens made up around pictures not learned from."""

import collections

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.borders.pictures import draw_screens
from thyroid_keras.borders.remover import BorderRemover
from thyroid_keras.data.borders import find_classical
from thyroid_keras.data.borders.screens import compose, insides
from thyroid_keras.data.progress import track
from thyroid_keras.report import save_figure, write_plots
from thyroid_keras.report import write_report as write_page
from thyroid_keras.runs import write_csv, write_json

FIGURES = ("sector_iou", "text_removed", "text_in_sector_removed", "sector_lost")
SCREENS = 4  # made up around each picture
SHOWN = 6
SIZE = (360, 560)


def evaluate_borders(run, model, splits, *, seed=0, screens=SCREENS):
    """Judges a border network on the test split; writes what a run folder says about it.

    Views of each test picture are put on made-up screens, whose truth is known. What the
    classical method does with the same screens stands beside it.

    Args:
        run: `runs.Run` with `config.json`.
        model: `keras.Model`, `border_unet`.
        splits: `data.splits.Splits`.
        seed: of the screens and the bootstrap.
        screens: int >= 1, of each picture.

    Returns:
        The dict that is in `metrics.json`: for each of `FIGURES` a figure with its
        interval by group, and under `classical` the same of the classical method.

    Raises:
        ImageError: if a picture cannot be decoded.
    """
    table, rows, shown = splits.test, collections.defaultdict(list), []
    finders = {"network": BorderRemover(model).find, "classical": find_classical}
    for i, sample in enumerate(track(table.samples, "Judging borders")):
        views = insides(sample)
        for k in range(screens):
            screen = compose(views, np.random.default_rng([seed, 3, i, k]), size=SIZE)
            for name, find in finders.items():
                sector, text = find(screen.image)
                row = {"image": sample.name, "group": sample.group, "screen": k}
                rows[name].append(row | judge_screen(screen, sector, text))
                if name == "network" and k == 0 and i < SHOWN:
                    shown.append((sample.name, screen.image, sector, text))
    found = {"split": "test", "group_unit": table.group_unit, "n": len(table) * screens}
    found |= {"groups": len(set(table.groups)), "excluded": {"count": len(table.excluded)}}
    found |= summarise(rows["network"], seed) | {"classical": summarise(rows["classical"], seed)}
    write_json(run.metrics, found)
    write_csv(run.predictions, rows["network"])
    save_figure(draw_screens(shown), run.plots / "before_and_after.png")
    write_plots(run)
    write_page(run)
    return found


def judge_screen(screen, sector, text):
    """Holds a sector and a text that were found against those of a made-up screen.

    Args:
        screen: `data.borders.screens.Screen`.
        sector, text: bool `(H, W)`.

    Returns:
        dict: `sector_iou`, intersection over union; `text_removed`, the share of text
        pixels that lie outside the sector found or are filled, and
        `text_in_sector_removed`, of those inside the true sector, both NaN without any; and
        `sector_lost`, the share of the other sector pixels that are blackened or filled.
        All in [0, 1].
    """
    gone = ~sector | text
    tissue = screen.sector & ~screen.text
    union = np.count_nonzero(sector | screen.sector)
    return {
        "sector_iou": np.count_nonzero(sector & screen.sector) / union,
        "text_removed": _share(gone, screen.text),
        "text_in_sector_removed": _share(gone, screen.text & screen.sector),
        "sector_lost": _share(gone, tissue),
    }


def _share(part, whole):
    return float(part[whole].mean()) if whole.any() else np.nan


def summarise(rows, seed=0):
    """Means over screens with intervals by group, from rows of `judge_screen`.

    Args:
        rows: list of dicts with `FIGURES` and `group`.
        seed: of the bootstrap.

    Returns:
        dict from figure name to figure, see `metrics.mean_figures`.
    """
    columns = {name: np.array([row[name] for row in rows], float) for name in FIGURES}
    return metrics.mean_figures(columns, [row["group"] for row in rows], seed=seed)
