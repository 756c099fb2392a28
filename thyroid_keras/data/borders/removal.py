"""Takes away what a scanner draws around and over the ultrasound."""

import cv2
import numpy as np

from thyroid_keras.data.borders.overlay import find_overlay
from thyroid_keras.data.borders.sector import find_sector

_REACH_PX = 3  # from which a hole is filled


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
    image = np.where(sector if image.ndim == 2 else sector[..., None], image, np.uint8(0))
    hole = sector & overlay
    if not hole.any():
        return image
    return cv2.inpaint(image, hole.astype(np.uint8), _REACH_PX, cv2.INPAINT_TELEA)


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
