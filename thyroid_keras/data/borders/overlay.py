"""Finds text and calipers drawn over the ultrasound itself."""

import cv2
import numpy as np

from thyroid_keras.data.borders.sector import to_grey

COLOURED = 32  # difference of channels; tissue is grey
TINGED = 10  # what is left of a colour at the edge of a stroke
DOPPLER = 0.02  # of the sector; more colour than that is blood flow
NEAR_PX = 7  # side of the square about a coloured pixel in which its strokes' edges lie
STROKE_PX = 5  # strokes are thinner
SHARP = 70  # grey levels from one column to the next, which no beam can draw
BRIGHT = 150
LINE_GAP = 1.2  # of a character's height
HALO_PX = 1  # about a stroke, which JPEG and scaling smear
# of a letter: pixels and height at least; height at most, px, or this part of the picture's
LEAST_PIXELS, LEAST_HEIGHT, USUAL_HEIGHT, HIGHEST = 5, 4, 14, 16
ALONE = 0.3  # share of sharp pixels from which a part needs no neighbours
# more than a tenth of the picture is no text, and specks beyond these form no lines: noise
MOST_TEXT, MOST_LETTERS = 10, 1000


def find_overlay(image, sector):
    """Finds text and calipers inside the sector, by colour and by strokes too sharp for it.

    An ultrasound beam is wide: what it draws fades over several columns. Strokes of letters
    and crosses end within one. Bright parts with such strokes are taken where they form a
    line, as letters do, or consist of little else, as calipers do.
    `serving.borders.overlay` says the same in TensorFlow.

    Limits: strokes that are dim, grey on bright tissue or horizontal alone stay; so does
    everything in a sector of colour Doppler but white text, and what is not coloured in a
    picture with more bright strokes than any text has, see `MOST_TEXT` and `MOST_LETTERS`.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        sector: bool `(H, W)`.

    Returns:
        bool `(H, W)`.
    """
    found = _strokes(to_grey(image)).astype(np.uint8)
    halo = np.ones((2 * HALO_PX + 1, 2 * HALO_PX + 1), np.uint8)
    return (cv2.dilate(found, halo) > 0) & sector | find_colours(image, sector)


def find_colours(image, sector):
    """Finds coloured text and calipers inside the sector, unless there is blood flow in it.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        sector: bool `(H, W)`.

    Returns:
        bool `(H, W)`.
    """
    if image.ndim == 2:
        return np.zeros_like(sector)
    spread = image.max(2).astype(int) - image.min(2)
    strong = (spread >= COLOURED) & sector
    if not 0 < np.count_nonzero(strong) <= DOPPLER * np.count_nonzero(sector):
        return np.zeros_like(sector)
    near = cv2.dilate(strong.astype(np.uint8), np.ones((NEAR_PX, NEAR_PX), np.uint8)) > 0
    return near & (spread >= TINGED) & sector


def _strokes(grey):
    narrow = np.ones((1, STROKE_PX), np.uint8)
    sharp = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, narrow) >= SHARP
    square = np.ones((2 * STROKE_PX - 1, 2 * STROKE_PX - 1), np.uint8)
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, square) >= SHARP
    bright = (thin & (grey >= BRIGHT)).astype(np.uint8)
    if MOST_TEXT * np.count_nonzero(bright) > bright.size:
        return np.zeros_like(thin)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    areas = stats[:, cv2.CC_STAT_AREA]
    share = np.bincount(labels[sharp], minlength=len(stats)) / areas
    widths, heights = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    low = heights <= max(USUAL_HEIGHT, len(grey) // HIGHEST)
    letters = low & (heights >= LEAST_HEIGHT) & (widths <= 2 * heights)
    letters &= (share >= ALONE / 2) & (areas >= LEAST_PIXELS)
    letters[0] = False  # what is not bright
    kept = letters & (share >= ALONE) & (widths >= LEAST_HEIGHT)
    if np.count_nonzero(letters) <= MOST_LETTERS:
        kept[letters] |= _in_line(*stats[letters, :4].T)
    return kept[labels]


def _in_line(left, top, width, height):
    """Which of the parts that may be letters have another beside them."""
    right, bottom = left + width, top + height
    apart = np.maximum(left - right[:, None], left[:, None] - right)
    overlap = np.minimum(bottom, bottom[:, None]) - np.maximum(top, top[:, None])
    beside = (apart <= LINE_GAP * height[:, None]) & (
        2 * overlap >= np.minimum(height, height[:, None])
    )
    np.fill_diagonal(beside, False)
    return beside.any(1)
