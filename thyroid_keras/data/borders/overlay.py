"""Finds text and calipers drawn over the ultrasound itself."""

import cv2
import numpy as np

from thyroid_keras.data.borders.sector import to_grey

COLOURED = 32  # difference of channels; tissue is grey
TINGED = 10  # what is left of a colour at the edge of a stroke
DOPPLER = 0.02  # of the sector; more colour than that is blood flow
NEAR_PX = 7  # side of the square about a coloured pixel in which its strokes' edges lie
_STROKE_PX = 5  # strokes are thinner
_SHARP = 70  # grey levels from one column to the next, which no beam can draw
_BRIGHT = 150
_LINE_GAP = 1.2  # of a character's height
_HALO_PX = 1  # about a stroke, which JPEG and scaling smear
_ALONE = 0.3  # share of sharp pixels from which a part needs no neighbours


def find_overlay(image, sector):
    """Finds text and calipers inside the sector, by colour and by strokes too sharp for it.

    An ultrasound beam is wide: what it draws fades over several columns. Strokes of letters
    and crosses end within one. Bright parts with such strokes are taken where they form a
    line, as letters do, or consist of little else, as calipers do.

    Limits: strokes that are dim, grey on bright tissue or horizontal alone stay; so does
    everything in a sector of colour Doppler but white text.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        sector: bool `(H, W)`.

    Returns:
        bool `(H, W)`.
    """
    found = _strokes(to_grey(image)).astype(np.uint8)
    halo = np.ones((2 * _HALO_PX + 1, 2 * _HALO_PX + 1), np.uint8)
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
    narrow = np.ones((1, _STROKE_PX), np.uint8)
    sharp = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, narrow) >= _SHARP
    square = np.ones((2 * _STROKE_PX - 1, 2 * _STROKE_PX - 1), np.uint8)
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, square) >= _SHARP
    bright = (thin & (grey >= _BRIGHT)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    areas = stats[:, cv2.CC_STAT_AREA]
    share = np.bincount(labels[sharp], minlength=len(stats)) / areas
    widths, heights = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    small = (heights >= 4) & (heights <= max(14, len(grey) // 16)) & (widths <= 2 * heights)
    small[0] = False  # what is not bright
    letters = small & (share >= _ALONE / 2) & (areas >= 5)
    lone = letters & (share >= _ALONE) & (widths >= 4)
    kept = lone | (letters & _in_line(stats, letters))
    return kept[labels]


def _in_line(stats, letters):
    """Which of the parts that may be letters have another beside them."""
    found = np.zeros(len(stats), bool)
    chosen = np.flatnonzero(letters)
    left, top, width, height = stats[chosen, :4].T
    for i, number in enumerate(chosen):
        reach = _LINE_GAP * height[i]
        apart = np.maximum(left - (left[i] + width[i]), left[i] - (left + width))
        overlap = np.minimum(top + height, top[i] + height[i]) - np.maximum(top, top[i])
        beside = (apart <= reach) & (overlap >= 0.5 * np.minimum(height, height[i]))
        beside[i] = False
        found[number] = beside.any()
    return found
