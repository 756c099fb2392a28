"""True boxes of what is to be found, in pixels of the images that a network takes."""

import cv2
import numpy as np

from thyroid_keras.data.decode import decode
from thyroid_keras.data.progress import map_threads


def true_boxes(store, indices=None):
    """Returns the box of each sample: that which its data give, or that around its mask.

    Args:
        store: `data.store.PixelStore`.
        indices: sequence of N ints, of the samples; `None`: all.

    Returns:
        float64 `(N, 4)`: left, top, width, height in pixels of the store's images; NaN
        where a sample has neither box nor mask, or its mask is empty.

    Raises:
        ImageError: if a picture that has a box can no longer be read.
    """
    indices = range(len(store.table)) if indices is None else indices
    boxes = map_threads(lambda i: _true_box(store, i), indices, "Reading true boxes")
    return np.array(list(boxes), float).reshape(-1, 4)


def move_box(box, region, size):
    """Moves a box from a picture to the resized region of it.

    Args:
        box, region: `(left, top, width, height)` in pixels of the picture.
        size: `(H, W)`, to which the region is resized.

    Returns:
        `[left, top, width, height]`, floats; what lies outside the region is cut off, and
        all are NaN where nothing is left.
    """
    (left, top, width, height), (x0, y0, region_width, region_height) = box, region
    scale = np.array([size[1] / region_width, size[0] / region_height])
    first = np.clip([left - x0, top - y0] * scale, 0, size[::-1])
    last = np.clip([left + width - x0, top + height - y0] * scale, 0, size[::-1])
    inside = (last > first).all()
    return [*first, *(last - first)] if inside else [np.nan] * 4


def region_of(sample):
    """Returns the part of a sample's picture that is the sample, `(left, top, width, height)`."""
    if sample.roi is not None:
        return sample.roi
    height, width = decode(sample.image, channels=None, name=sample.name).shape[:2]
    return 0, 0, width, height


def _true_box(store, index):
    sample = store.table.samples[index]
    if sample.box is not None:
        return move_box(sample.box, region_of(sample), store.size)
    if sample.mask is not None:
        mask = store.read([index])[1][0, ..., 0]
        if mask.any():
            return list(cv2.boundingRect(mask))
    return [np.nan] * 4
