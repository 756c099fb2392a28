"""Resizing in whole numbers, which every machine and library adds up alike."""

import numpy as np


def resize(image, size):
    """Resizes a uint8 image to `size` = `(height, width)`.

    The mean over each output pixel's area where neither axis grows, bilinear otherwise
    (half-pixel centres, the border repeated); rounded half to even. Sums are whole
    numbers, so that every road to the model gives the same pixels:
    `serving.resize` says the same in TensorFlow.

    Args:
        image: uint8 `(H, W)` or `(H, W, C)`.
        size: `(height, width)` in pixels.

    Returns:
        uint8 `(height, width)` or `(height, width, C)`.
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.rint(_resize_float(image, size)).astype(np.uint8)


def resize_mask(mask, size):
    """Resizes a mask (uint8, above 127 inside) to 0 and 255 at `size` = `(height, width)`.

    An output pixel is inside where at least half of its area is. A mask too thin for
    that anywhere would vanish: it keeps its most covered pixel, so that no positive
    mask ever turns empty. Thin structures beside large ones do get lost.
    """
    inside = mask > 127
    height, width = size
    rows, columns = np.nonzero(inside)
    if mask.shape != (height, width):
        inside = _resize_float(inside, size) >= 0.5
    if len(rows) and not inside.any():
        cells = (rows * height // mask.shape[0]) * width + columns * width // mask.shape[1]
        inside.flat[np.bincount(cells).argmax()] = True
    return inside.astype(np.uint8) * np.uint8(255)


def _resize_float(image, size):
    height, width = size
    if height <= image.shape[0] and width <= image.shape[1]:
        along_rows, scale = _area_sums, image.shape[0] * image.shape[1]
    else:
        along_rows, scale = _bilinear_sums, 4 * height * width
    sums = along_rows(along_rows(image, height).swapaxes(0, 1), width).swapaxes(0, 1)
    return sums / scale


def _area_sums(image, length):
    """Sums of rows over `length` equal stretches; a row cut in two counts by its parts.

    A row weighs `length` in all, a stretch as much as there are rows.
    """
    rows = len(image)
    first, cut_off = np.divmod(np.arange(length + 1) * rows, length)
    whole = length * np.add.reduceat(image, first[:-1], axis=0, dtype=np.int64)
    # what each stretch has in common with the one before
    shared = _column(cut_off, image) * image[np.minimum(first, rows - 1)]
    return whole - shared[:-1] + shared[1:]


def _bilinear_sums(image, length):
    """Rows interpolated at `length` positions; the two weights of each add up to 2 length."""
    last = len(image) - 1
    below, weight = np.divmod((2 * np.arange(length) + 1) * len(image) - length, 2 * length)
    weight = _column(weight, image)
    lower, upper = image[np.clip(below, 0, last)], image[np.clip(below + 1, 0, last)]
    return (2 * length - weight) * lower + weight * upper


def _column(values, image):
    return values.reshape(-1, *[1] * (image.ndim - 1))
