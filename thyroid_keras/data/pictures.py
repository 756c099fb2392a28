"""From encoded bytes to 8-bit pixels, by Pillow, distrusting every byte."""

import contextlib
import math
import threading
import warnings

import numpy as np
from PIL import Image

MAX_PIXELS = 64_000_000
MAX_SCREEN_PIXELS = 16_000_000  # of those searched for borders; a scanner's have 2 million
PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".dcm")
)

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MAGIC = (b"\x89PNG", b"\xff\xd8", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"RIFF")
_EXIF_ORIENTATION = 0x0112
_TIFF_PHOTOMETRY = 0x0106
# EXIF value -> (swap the axes, then reverse the rows, then reverse the columns)
_UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
# `catch_warnings` changes the state of the whole process, so threads must take turns
_warnings_lock = threading.Lock()


class ImageError(ValueError):
    """A picture that cannot be used: names the file, the fault and the way out."""


def check_screen(image, name):
    """Refuses a picture that is too large for its borders to be removed.

    Args:
        image: `(H, W)` or `(H, W, 3)`.
        name: str, what the error calls it.

    Raises:
        ImageError: above `MAX_SCREEN_PIXELS`.
    """
    height, width = image.shape[:2]
    if height * width > MAX_SCREEN_PIXELS:
        raise ImageError(
            f"{name}: has {width}x{height} pixels, and borders are removed from at most "
            f"{MAX_SCREEN_PIXELS // 10**6} megapixels; crop it or scale it down first"
        )


def to_screen(image):
    """Reduces a picture that is too large to be searched for what a scanner draws.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.

    Returns:
        `(image, factor)`: as it is and 1 up to `MAX_SCREEN_PIXELS`; else the means of squares
        of `factor` pixels a side.
    """
    height, width = image.shape[:2]
    factor = math.ceil(math.sqrt(height * width / MAX_SCREEN_PIXELS))
    if factor <= 1:
        return image, 1
    return np.array(Image.fromarray(image).reduce(factor)), factor


@contextlib.contextmanager
def quiet():
    """Silences warnings about a file's oddities; one thread at a time."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_picture(stream, name):
    """Decodes the (first) picture of a seekable binary stream.

    Returns:
        uint8 array `(H, W)` or `(H, W, 3)`, upright.

    Raises:
        ImageError: with `name`, the fault and the way out.
    """
    with _opened(stream, name) as image:
        image.load()
        orientation = _orientation(image)  # after `load`, see there
        return _turn(_to_uint8(image, name), orientation)


def picture_size(stream, name):
    """Returns `(width, height)` as `read_picture` would, mostly without decoding.

    Raises:
        ImageError: with `name`, the fault and the way out.
    """
    with _opened(stream, name) as image:
        if image.format == "TIFF":
            image.load()
        swap, *_ = _UPRIGHT.get(_orientation(image), (False,))
        return image.size[::-1] if swap else image.size


def holds_several(stream, name):
    """Whether more pictures follow the first, as in an animation or a stack of pages."""
    try:
        with _opened(stream, name) as image, quiet():
            image.seek(1)
    except (EOFError, ImageError):  # what follows is no picture, which harms the first in nothing
        return False
    return True


@contextlib.contextmanager
def _opened(stream, name):
    """Opens a picture by Pillow if its size is allowed, and names whatever fails."""
    head = stream.read(512)
    stream.seek(0)
    try:
        with quiet():
            image = Image.open(stream, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {_too_large(error)}") from error
    except Exception as error:  # plugins raise anything on hostile bytes
        raise ImageError(f"{name}: {_diagnose(head)}") from error
    with image:
        width, height = image.size
        if width < 1 or height < 1:
            raise ImageError(f"{name}: has no pixels ({width}x{height}); export it again")
        if width * height > MAX_PIXELS:
            raise ImageError(f"{name}: {_too_large(f'{width}x{height}')}")
        try:
            yield image
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(
                f"{name}: is cut off or damaged ({error}); copy it again from its source"
            ) from error


def _orientation(image):
    """What EXIF says; of a TIFF only once it is loaded, when it has turned and dropped that."""
    with quiet():
        return image.getexif().get(_EXIF_ORIENTATION)


def _too_large(what):
    return f"is above {MAX_PIXELS // 10**6} megapixels ({what}); crop it or scale it down first"


def _diagnose(head):
    """Says what a file that is no picture appears to be, and what to do about it."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty (0 bytes); copy it again from its source"
    if head.startswith(_MAGIC):
        return "is cut off or damaged at its beginning; copy it again from its source"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the picture; run `git lfs pull`"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "is a web page, most likely a failed download; download it again"
    if head.startswith(b"PK"):
        return "is a ZIP archive; unpack it first"
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "is text, not a picture; remove it or put the picture in its place"
    return f"is no picture in a known format; save it as one of {', '.join(_FORMATS)}"


def _to_uint8(image, name):
    """Pixels of a loaded Pillow image as uint8 `(H, W)` or `(H, W, 3)`."""
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _scale_deep(np.asarray(image), name)
        # which Pillow heeds in 8 bits alone
        white_is_zero = getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRY) == 0
        return 255 - grey if white_is_zero else grey
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        black.alpha_composite(image.convert("RGBA"))
        return np.array(black.convert("RGB"))
    return np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _scale_deep(pixels, name):
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageError(
                f"{name}: floating-point pixels must lie in [0, 1], for their range is not "
                "stored; rescale them or save 8 bits. "
                f"Received: min={pixels.min()}, max={pixels.max()}"
            )
        return np.rint(pixels * 255).astype(np.uint8)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ImageError(
            f"{name}: integer pixels must lie in [0, 65535]; rescale them or save 8 bits. "
            f"Received: min={pixels.min()}, max={pixels.max()}"
        )
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _turn(pixels, orientation):
    swap, reverse_rows, reverse_columns = _UPRIGHT.get(orientation, (False, False, False))
    if swap:
        pixels = pixels.swapaxes(0, 1)
    if reverse_rows:
        pixels = pixels[::-1]
    if reverse_columns:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
