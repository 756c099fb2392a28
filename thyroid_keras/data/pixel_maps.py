"""What is known of pixels beforehand: how much they matter, and where one should look."""

import os
import zipfile

import cv2
import numpy as np

from thyroid_keras.data.array_file import read_array
from thyroid_keras.data.decode import decode
from thyroid_keras.data.resize import resize, resize_mask
from thyroid_keras.data.samples import DataError

SUREST = 0.99  # what white and black of a picture mean at the most


def read_prior(path, size):
    """Reads a map from domain knowledge as logits.

    Args:
        path: of a picture, whose grey is the probability that a pixel matters, from black
            (.01) to white (.99); or of an .npy file, a finite array `(h, w)` of logits.
        size: `(H, W)`, to which it is resized.

    Returns:
        float32 `(H, W)`.

    Raises:
        DataError: if an .npy file is none, or not such an array.
        ImageError: if a picture cannot be read.
    """
    if not path.lower().endswith(".npy"):
        share = np.clip(resize(decode(path), size) / 255, 1 - SUREST, SUREST)
        return np.log(share / (1 - share)).astype(np.float32)
    if zipfile.is_zipfile(path):
        raise DataError([f"{path}: is an archive of arrays; save one by numpy.save"])
    try:
        with open(path, "rb") as stream:
            logits = read_array(stream, "prior")
    except (OSError, ValueError) as error:
        raise DataError([f"{path}: cannot be read ({error}); save it by numpy.save"]) from error
    numbers = logits.size and logits.ndim == 2 and logits.dtype.kind in "fiu"
    if not numbers or not np.isfinite(logits).all():
        raise DataError(
            [
                f"{path}: must hold finite numbers (h, w), the logits of pixels; save those. "
                f"Received: shape={logits.shape}, dtype={logits.dtype}"
            ]
        )
    return cv2.resize(logits.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def read_region(text, size):
    """Reads where one expects a map to be high.

    Args:
        text: path of a mask, above 127 inside, framed as the network's images are; or
            `x,y,width,height` of an ellipse about x, y, in shares of the image's sides.
        size: `(H, W)`, of the result.

    Returns:
        bool `(H, W)`, true inside.

    Raises:
        DataError: if the region is empty or everything, or the text is neither.
        ImageError: if a mask cannot be read.
    """
    try:
        x, y, across, down = (float(part) for part in text.split(","))
    except ValueError:
        if not os.path.exists(text):
            raise DataError(
                [f"{text}: no such file, nor x,y,width,height in shares of the image; correct it"]
            ) from None
        inside = resize_mask(decode(text), size) > 0
    else:
        inside = draw_region((x, y, across, down), size)
    if inside.all() or not inside.any():
        raise DataError([f"{text}: all or none of the image is inside; draw another region"])
    return inside


def draw_region(region, size):
    """Draws an ellipse.

    Args:
        region: `(x, y, width, height)`, about x, y, in shares of the image's sides.
        size: `(H, W)`, of the result.

    Returns:
        bool `(H, W)`, true inside.
    """
    (height, width), (x, y, across, down) = size, region
    rows, columns = np.mgrid[:height, :width] + 0.5
    right, below = columns / width - x, rows / height - y
    return np.hypot(right / max(across, 1e-9), below / max(down, 1e-9)) <= 0.5
