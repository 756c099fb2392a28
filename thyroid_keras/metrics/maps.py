"""How well maps that nobody taught where to look find what the true masks hold."""

import cv2
import numpy as np

from thyroid_keras.metrics.curves import average_precision
from thyroid_keras.metrics.intervals import bootstrap, missing

TOLERANCE_PX, TOLERANCE_SIDE = 15, 224


def pointing_tolerance(size):
    """How far from a mask a point still hits it, px, in images of `(H, W)`.

    Reference: Zhang et al. 2016, arXiv:1608.00507, Sec. 4.1: 15 px.
    Deviation: in proportion to the smaller side, as if that were 224 px there.
    """
    return TOLERANCE_PX * min(size) / TOLERANCE_SIDE


def within(masks, tolerance_px):
    """Widens masks by a distance.

    Args:
        masks: bool `(N, H, W)`.
        tolerance_px: float >= 0.

    Returns:
        bool `(N, H, W)`, where a pixel of the mask is not further away.
    """
    near = [
        cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        <= tolerance_px
        if mask.any()
        else mask
        for mask in masks
    ]
    return np.array(near, bool).reshape(masks.shape)


def pointing_hits(maps, masks, tolerance_px):
    """Whether the highest value of each map lies in the mask, or nearly.

    Args:
        maps: float `(N, H, W)`, any scale.
        masks: bool `(N, H, W)`.
        tolerance_px: float >= 0, see `pointing_tolerance`.

    Returns:
        float64 `(N,)`, 1 or 0; 0 where a map is the same everywhere and points nowhere;
        NaN where a mask is empty.

    Reference: Zhang et al. 2016, arXiv:1608.00507, Sec. 4.1 (the pointing game).
    """
    flat = maps.reshape(len(maps), -1)
    near = within(masks, tolerance_px).reshape(len(maps), -1)
    hit = near[np.arange(len(maps)), flat.argmax(axis=1)] & (np.ptp(flat, axis=1) > 0)
    return np.where(masks.any(axis=(1, 2)), hit, np.nan)


def pixel_average_precision(maps, masks):
    """Average precision of each map as the score of its image's pixels.

    Args:
        maps: float `(N, H, W)`, any scale.
        masks: bool `(N, H, W)`.

    Returns:
        float64 `(N,)` in [0, 1], NaN where a mask is empty. Any order of the pixels that
        knows nothing of the mask has the mask's share of the image.
    """
    pairs = zip(masks, maps, strict=True)
    return np.array([average_precision(m.ravel(), v.ravel())[0] for m, v in pairs])


def curve_area(curves):
    """Area below curves of equal steps from 0 to 1, `(N, T)` to `(N,)`; trapezoids."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def mean_figures(columns, groups, *, draws=1000, seed=0):
    """Means over the images where each value is known, with a bootstrap over groups.

    Args:
        columns: dict from name to float `(N,)`, NaN where unknown.
        groups: `(N,)`, the patient of each image.
        draws, seed: of the bootstrap.

    Returns:
        dict from name to figure.
    """
    found = {}
    for name, values in columns.items():
        known = np.isfinite(values)
        if not known.any():
            found[name] = missing("no image has it")
            continue
        values = np.asarray(values, float)[known]

        def mean(weights, name=name, values=values):
            return {name: weights @ values / weights.sum(axis=1)}

        found |= bootstrap(mean, np.asarray(groups, object)[known], draws=draws, seed=seed)
    return found
