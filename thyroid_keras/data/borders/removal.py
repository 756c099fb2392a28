"""Takes away what a scanner draws around and over the ultrasound."""

import cv2
import numpy as np

from thyroid_keras.data.borders.overlay import find_overlay
from thyroid_keras.data.borders.sector import find_sector

FILL_PX = 7  # side of the square whose mean a hole's rim is filled with
MOST_LAYERS = 32  # strokes are thinner; a hostile hole is not filled for ever
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def remove(image, sector, overlay):
    """Blackens what lies outside the sector, and fills text inside it from around it.

    Filled and not blackened, lest a black text be read as well as a white one.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        sector: bool `(H, W)`.
        overlay: bool `(H, W)`, text and calipers, wherever they are.

    Returns:
        uint8 array of the image's shape.
    """
    return fill(image, sector & ~overlay, sector & overlay)


def fill(image, known, hole):
    """Fills a hole from what is known around it, one layer of pixels after the other.

    A layer is what has something known among its eight neighbours; each of its pixels
    becomes the mean of what is known in the `FILL_PX` square about it, rounded half up, and
    is known to the next layer. What is left of the hole after `MOST_LAYERS` of them, or is
    not joined to anything known, becomes the mean of all that was known at first.
    `serving.borders.filling` says the same in TensorFlow.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        known, hole: bool `(H, W)`, apart from each other.

    Returns:
        uint8 array of the image's shape, 0 outside of both, and where nothing is known.
    """
    filled = np.where(known if image.ndim == 2 else known[..., None], image, np.uint8(0))
    if not (hole.any() and known.any()):
        return filled
    mean = (2 * image[known].sum(0, dtype=np.int64) + known.sum()) // (2 * known.sum())
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    near = np.s_[
        max(top - FILL_PX, 0) : top + height + FILL_PX,
        max(left - FILL_PX, 0) : left + width + FILL_PX,
    ]
    part, known, hole = filled[near], known[near].astype(np.uint8), hole[near].astype(np.uint8)
    for _ in range(MOST_LAYERS):
        layer = cv2.dilate(known, _NEIGHBOURS) & hole & ~known
        if not layer.any():
            break
        total, count = _sums(part), _sums(known)
        count = count if image.ndim == 2 else count[..., None]
        means = (2 * total + count) // np.maximum(2 * count, 1)
        part[layer > 0] = means[layer > 0]
        known |= layer
    part[(hole & ~known) > 0] = mean
    return filled


def find_classical(image):
    """Finds sector and overlay by OpenCV alone.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.

    Returns:
        `(sector, overlay)`, two bool `(H, W)`; see `find_sector` and `find_overlay`.
    """
    sector = find_sector(image)
    return sector, find_overlay(image, sector)


def remove_classical(image):
    """Returns the picture without what `find_classical` finds; see `remove`."""
    return remove(image, *find_classical(image))


def _sums(planes):
    """Sums over the `FILL_PX` square about each pixel; nothing lies outside the picture."""
    box = (FILL_PX, FILL_PX)
    return cv2.boxFilter(planes, cv2.CV_32S, box, normalize=False, borderType=cv2.BORDER_CONSTANT)
