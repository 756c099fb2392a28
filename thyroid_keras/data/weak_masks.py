"""Pixel labels of calcifications, made by threshold where nobody has drawn any."""

import cv2
import numpy as np

DEVIATIONS = 2.5
_MIN_SPOT_PX = 2


def polygon_mask(shape, polygons):
    """Draws polygons, filled, clipped to the picture: uint8 `(H, W)` of 0 and 255."""
    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        # one call each: together, overlapping polygons would cancel
        cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 255)
    return mask


def threshold_calcifications(image, polygon, deviations=DEVIATIONS):
    """Marks the bright spots of a nodule, a weak guess at its calcifications.

        bright = image > mean + deviations * sd
        spot   = image - opening(image) > deviations * sd

    mean and sd over the nodule. A pixel is marked where both hold: bright for the
    nodule, and brighter than its surroundings within a quarter of the nodule's
    smaller side. The nodule's rim, where its capsule shines, and single pixels are
    left out.

    Args:
        image: uint8 array `(H, W)`.
        polygon: the nodule's outline, `(x, y)` in pixels.
        deviations: float > 0.

    Returns:
        uint8 array `(H, W)` of 0 and 255; all 0 where nothing stands out.
    """
    nodule = polygon_mask(image.shape, [polygon])
    left, top, width, height = cv2.boundingRect(nodule)
    if not width:
        return nodule
    window = np.s_[top : top + height, left : left + width]
    pixels, inside = image[window], nodule[window] > 0
    smaller = min(width, height)
    spread = deviations * pixels[inside].std()
    opened = cv2.morphologyEx(pixels, cv2.MORPH_OPEN, _disk(max(5, smaller // 4)))
    spots = (pixels > pixels[inside].mean() + spread) & (pixels - opened > spread)
    rim = _disk(2 * max(1, smaller // 40) + 1)
    spots &= cv2.erode(nodule, rim, borderValue=0)[window] > 0
    _, parts, stats, _ = cv2.connectedComponentsWithStats(spots.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= _MIN_SPOT_PX
    large[0] = False  # the background
    mask = np.zeros_like(nodule)
    mask[window] = large[parts] * np.uint8(255)
    return mask


def _disk(diameter_px):
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter_px, diameter_px))
