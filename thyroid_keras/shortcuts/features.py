"""What can be known of a picture without looking at the nodule, as numbers.

Shape key: N samples, F numbers of each.
"""

import cv2
import numpy as np

from thyroid_keras.data.audit.burned_in import LONG_CHARACTERS, find_text
from thyroid_keras.data.borders import find_sector, find_views
from thyroid_keras.data.boxes import move_box, region_of
from thyroid_keras.data.decode import load_sample
from thyroid_keras.data.pictures import ImageError, to_screen
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError

# name -> what it stands for, in a report
MEANINGS = {
    "size": "width, height and shape of the picture",
    "sector": "place and shape of the ultrasound sector, and how many views there are",
    "text": "burned-in text: how many characters, how long the longest line",
    "border strip": "brightness along the four edges of the picture",
    "outside the sector": "the picture with the ultrasound sector blanked",
    "outside the nodule": "the picture with the nodule, or what else its mask outlines, blanked, "
    "by squares of one size",
}
NODULE = "outside the nodule"
_STRIP = 0.1  # of the sides
_FINE, _COARSE = 64, 32  # sides of the pictures whose pixels are numbers
_QUANTILE = 0.9  # of nodules that lie wholly within the square that blanks them


def read_features(table, progress=True):
    """Reads what `MEANINGS` names of every sample, as the table's pictures are read.

    Args:
        table: `SampleTable` of N samples.
        progress: whether to show a progress bar.

    Returns:
        dict from name to float32 `(N, F)`; rows of `outside the nodule` are NaN for samples
        of which nobody has said where the nodule is.

    Raises:
        DataError: with every file that cannot be read.
    """

    def look(sample):
        try:
            return _look(sample, table.clean), None
        except ImageError as error:
            return None, str(error)

    found = list(map_threads(look, table.samples, "Looking beside the nodule", progress))
    if problems := [problem for _, problem in found if problem]:
        raise DataError(problems)
    looks = [look for look, _ in found]
    side = _square([look["box"] for look in looks])
    features = {name: [look[name] for look in looks] for name in MEANINGS if name != NODULE}
    features[NODULE] = [_without(look["small"], look["box"], side) for look in looks]
    return {name: np.array(rows, np.float32) for name, rows in features.items()}


def _look(sample, clean):
    image, mask = load_sample(sample, clean=clean)
    height, width = size = image.shape
    image, _ = to_screen(image)
    sector = find_sector(image)
    line = find_text(image)
    views = find_views(image, sector)
    rest = np.where(sector, np.uint8(0), image)
    return {
        "size": [np.log(width), np.log(height), width / height],
        "sector": [*_box_of(sector), sector.mean(), len(views)],
        "text": [*line, line[1] >= LONG_CHARACTERS],
        "border strip": _strips(image),
        "outside the sector": _reduced(rest, _FINE).ravel(),
        "small": _reduced(image, _COARSE),
        "box": _nodule(sample, mask, size),
    }


def _box_of(sector):
    """Left, top, width and height of a sector, as shares of the picture."""
    height, width = sector.shape
    left, top, across, down = cv2.boundingRect(sector.astype(np.uint8))
    return left / width, top / height, across / width, down / height


def _strips(image):
    """Mean, SD, dark and bright share of the strip at each edge."""
    rows, columns = (max(1, round(_STRIP * side)) for side in image.shape)
    strips = image[:rows], image[-rows:], image[:, :columns], image[:, -columns:]
    return [
        value
        for strip in strips
        for value in (strip.mean(), strip.std(), (strip < 8).mean(), (strip > 200).mean())
    ]


def _reduced(image, side):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _nodule(sample, mask, size):
    """Where the nodule is, `(left, top, width, height)` as shares of the picture, or `None`."""
    height, width = size
    if mask is not None and mask.any():
        box = cv2.boundingRect(mask)
    elif sample.box is not None:
        box = move_box(sample.box, region_of(sample), size)
    else:
        return None
    return np.array(box) / (width, height, width, height)


def _square(boxes):
    """Side of the square that holds nine of ten nodules, as a share of the picture."""
    sides = [max(box[2:]) for box in boxes if box is not None and np.isfinite(box).all()]
    return np.quantile(sides, _QUANTILE) if sides else 0.0


def _without(image, box, side):
    """Pixels of a small picture with a square about the nodule blanked; NaN without a box."""
    if box is None or not np.isfinite(box).all():
        return np.full(image.size, np.nan)
    middle = box[:2] + box[2:] / 2
    first, last = (np.rint((middle + half) * len(image)) for half in (-side / 2, side / 2))
    left, top = np.maximum(first, 0).astype(int)
    right, bottom = last.astype(int)
    image = image.copy()
    image[top:bottom, left:right] = 0
    return image.ravel()
