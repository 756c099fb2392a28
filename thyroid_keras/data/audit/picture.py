"""What the audit learns of one picture, and of one mask, in a single decoding."""

import dataclasses
import hashlib
import os

import cv2
import numpy as np

from thyroid_keras.data.audit.burned_in import find_text, margin_share
from thyroid_keras.data.audit.similar import thumbnail
from thyroid_keras.data.decode import check_mask, crop, decode, pixel_hash
from thyroid_keras.data.dicom import is_dicom, split_frame
from thyroid_keras.data.pictures import ImageError, holds_several, to_screen

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
    "PGM or PPM": (".pgm", ".ppm"),
}
_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II": "TIFF",
    b"MM": "TIFF",
    b"RIFF": "WebP",
    b"P": "PGM or PPM",
}
_MID_LEVELS = (64, 191)
_MAX_MID_SHARE = {"areas": 0.05, "pixels": 0.5}  # of what is not background


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Facts of a whole picture.

    Args:
        size: `(width, height)` in pixels.
        channels: 1 or 3, as stored.
        digest: SHA-256 of its decoded grey pixels, see `pixel_hash`.
        levels: int64 array `(256,)`, how many pixels have each grey level.
        characters: int, burned in, and `longest_line` of them, see `find_text`.
        margin: share of the area, see `margin_share`.
        misnamed: what it is although its name says otherwise, e.g. `"PNG"`; else `None`.
        is_first: whether other pictures follow it in its file, which are not read.
        thumbnail: uint8 array, see `similar.thumbnail`.
    """

    size: tuple[int, int]
    channels: int
    digest: str
    levels: np.ndarray
    characters: int
    longest_line: int
    margin: float
    misnamed: str | None
    is_first: bool
    thumbnail: np.ndarray


def inspect(sample):
    """Decodes the whole picture of a sample, once.

    Args:
        sample: `Sample`.

    Returns:
        `(Picture, uint8 array (H, W))`.

    Raises:
        ImageError: if it cannot be decoded, or is not the file that `sample.sha256` names.
    """
    is_file = isinstance(sample.image, str)
    name = sample.image if is_file else sample.name
    file = split_frame(sample.image)[0] if is_file else None
    stored = decode(sample.image, channels=None, name=name)
    if is_file and sample.sha256 and _file_hash(file) != sample.sha256:
        raise ImageError(
            f"{name}: is not the file it was (its SHA-256 differs from the manifest's); copy it "
            "again from its source"
        )
    grey = decode(stored, name=name)
    characters, longest_line = find_text(to_screen(grey)[0])
    misnamed, is_first = _kind(file) if is_file else (None, False)
    picture = Picture(
        size=grey.shape[::-1],
        channels=1 if stored.ndim == 2 else 3,
        digest=pixel_hash(grey),
        levels=cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.int64),
        characters=characters,
        longest_line=longest_line,
        margin=margin_share(grey),
        misnamed=misnamed,
        is_first=is_first,
        thumbnail=thumbnail(grey),
    )
    return picture, grey


def inspect_parts(sample, image):
    """Checks the region, the box and the mask of a sample.

    Args:
        sample: `Sample`.
        image: uint8 array `(H, W)`, its whole picture.

    Returns:
        Share of the sample's pixels that its mask marks; `None` without a mask.

    Raises:
        ImageError: naming what is wrong with either.
    """
    if sample.box is not None:
        _check_box(sample, image)
    if sample.roi is not None:
        crop(image, sample.roi, name=sample.name)
    if sample.mask is None:
        return None
    name = sample.mask if isinstance(sample.mask, str) else f"mask of {sample.name}"
    mask = decode(sample.mask, name=name)
    check_mask(mask, name, image, sample.name)
    _check_levels(mask, name)
    if sample.roi is not None:
        mask = crop(mask, sample.roi, name=sample.name)
    return float((mask > 127).mean())


def _check_box(sample, image):
    left, top, width, height = sample.box
    image_height, image_width = image.shape
    inside = left + width <= image_width and top + height <= image_height
    if not inside or min(left, top) < 0 or min(width, height) < 1:
        name = sample.image if isinstance(sample.image, str) else sample.name
        raise ImageError(
            f"{name}: the box is empty or reaches out of the picture of {image_width}x"
            f"{image_height} pixels; correct it. Received: box={sample.box}"
        )


def _check_levels(mask, name):
    """Refuses a mask of more than two levels, but for soft edges and traces of JPEG.

    Those are few and narrow: nothing is left of them when the areas of middling levels are
    eroded by a pixel.
    """
    middling = cv2.inRange(mask, *_MID_LEVELS)
    if not middling.any() or len(np.unique(mask)) <= 2:
        return
    areas = cv2.erode(middling, np.ones((3, 3), np.uint8), borderValue=0)
    drawn = np.count_nonzero(mask >= _MID_LEVELS[0])
    if (
        np.count_nonzero(areas) > _MAX_MID_SHARE["areas"] * drawn
        or np.count_nonzero(middling) > _MAX_MID_SHARE["pixels"] * drawn
    ):
        levels = np.unique(mask[middling > 0])
        raise ImageError(
            f"{name}: a mask has two levels, this one has others (from {levels[0]} to "
            f"{levels[-1]}) that are no soft edge; store 0 outside and 255 inside"
        )


def _kind(path):
    """What a file is although its name says otherwise, and whether it holds several pictures."""
    with open(path, "rb") as file:
        head = file.read(4)
        held = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
        file.seek(0)
        stacked = held in ("GIF", "TIFF") and not is_dicom(file)
        is_first = stacked and holds_several(file, path)
    named = os.path.splitext(path)[1].lower()
    return held if held and named not in _SUFFIXES[held] else None, is_first


def _file_hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
