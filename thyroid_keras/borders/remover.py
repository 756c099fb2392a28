"""Which removal a run asks for, and how a trained network does it."""

import dataclasses
import os
import threading
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.borders import find_colours, remove, remove_classical, split_views
from thyroid_keras.data.decode import decode
from thyroid_keras.data.resize import resize
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import ModelError, load
from thyroid_keras.runs import write_bytes

METHODS = ("none", "classical")
VIEWS = ("keep", "split")
# of 255; a lost edge costs more than a black one gained, a stroke that stays more than speckle
# filled
SECTOR_AT, TEXT_AT = 77, 13
PARTS = 4  # a part of the sector smaller than a fourth of the largest is none
LEAST_SECTOR = 20  # less than a twentieth of the picture is no sector
KEPT = "borders.keras"  # in the folder of a run that removed borders by a network


class BorderRemover:
    """Removes borders, text and calipers by a trained `border_unet`.

    Args:
        model: `keras.Model` with the outputs `sector` and `text`.
    """

    def __init__(self, model):
        self.model = fold_batch_norm(model)
        self._lock = threading.Lock()  # pictures are read by several threads

    def __call__(self, image):
        """Returns a picture, uint8 `(H, W)` or `(H, W, 3)`, without them; see `remove`."""
        return remove(image, *self.find(image))

    def find(self, image):
        """Returns sector and text of a picture, two bool `(H, W)`; colours by `find_colours`."""
        _, *size, channels = self.model.input_shape
        grey = resize(decode(image), size)
        pixels = np.repeat(grey[None, ..., None], channels, axis=-1) * GREY_LEVEL
        with self._lock:
            found = self.model.predict_on_batch(pixels)
        # as 256 levels, whose resizing is the same everywhere
        sector, text = (
            np.rint(255 * found[name][0, ..., 0]).astype(np.uint8) for name in ("sector", "text")
        )
        shape = image.shape[:2]
        sector = resize(_whole_parts(sector), shape) >= SECTOR_AT
        return sector, (resize(text, shape) >= TEXT_AT) | find_colours(image, sector)


def finds_borders(model):
    """Whether a network is a `border_unet`."""
    return isinstance(model.output, dict) and set(model.output) == {"sector", "text"}


def border_remover(how):
    """Returns the removal that `--set borders=…` names.

    Args:
        how: `"none"`, `"classical"`, or the path of a run or `.keras` file of `border_unet`.

    Returns:
        Function of a picture, uint8 `(H, W)` or `(H, W, 3)`, to the same without borders;
        `None` for none.

    Raises:
        ModelError: if there is no such model at the path.
    """
    if how == "none":
        return None
    if how == "classical":
        return remove_classical
    if not os.path.exists(how):  # which takes any text
        raise ModelError(
            f"{how}: no such file. Borders are removed by `classical`, or by the run folder or "
            f".keras file of a border_unet, or not (`none`). Received: borders={how!r}"
        )
    model = load(how)
    if not finds_borders(model):
        raise ModelError(
            f"{how}: this network finds no borders; train one with --arch border_unet, or use "
            f"`classical`. Received: borders={how!r}"
        )
    return BorderRemover(model)


def with_borders(table, clean, views="keep"):
    """Returns a table whose pictures are read without borders.

    Args:
        table: `SampleTable`.
        clean: see `border_remover`.
        views: `"keep"`, or `"split"`: double views become two samples, see `split_views`.
    """
    if views == "split":
        table = split_views(table)
    return dataclasses.replace(table, clean=clean)


def keep_network(run, borders):
    """Copies the network that removes a run's borders into its folder, for later pictures."""
    kept = run.folder / KEPT
    if borders not in METHODS and not kept.exists():
        write_bytes(kept, network_file(borders).read_bytes())


def network_file(borders):
    """Returns the path of the model in `borders`, a run folder or a `.keras` file."""
    path = Path(borders)
    return path / "model.keras" if path.is_dir() else path


def borders_in(run, borders):
    """Returns what `border_remover` takes for a run: the network in its folder, if there is one.

    Args:
        run: `runs.Run`.
        borders: of its recipe.
    """
    kept = run.folder / KEPT
    return str(kept) if borders not in METHODS and kept.exists() else borders


def _whole_parts(levels):
    """Levels of the sector without holes and specks; everything where nothing was found."""
    inside = levels >= SECTOR_AT
    filled = binary_fill_holes(inside)
    # parts hang together by their sides
    _, parts, stats, _ = cv2.connectedComponentsWithStats(filled.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # what is outside
    kept = filled & (PARTS * areas >= areas.max())[parts]
    if LEAST_SECTOR * np.count_nonzero(kept) < kept.size:
        return np.full_like(levels, 255)
    return np.where(kept & ~inside, 255, np.where(inside & ~kept, 0, levels)).astype(np.uint8)
