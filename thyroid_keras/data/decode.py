"""The one decoder that training and prediction share, and samples read by it."""

import hashlib
import io
import os

import numpy as np
from PIL import Image

from thyroid_keras.data.dicom import SUFFIX, is_dicom, read_dicom, split_frame
from thyroid_keras.data.pictures import MAX_PIXELS, ImageError, check_screen, read_picture
from thyroid_keras.data.resize import resize, resize_mask


def decode(source, *, channels=1, roi=None, name=None):
    """Decodes a picture to 8-bit grey or RGB.

    Reads PNG, JPEG, BMP, GIF and TIFF (first frame), WebP, PGM, PPM and, with pydicom, DICOM
    (the first frame, or that of a path `file.dcm#frame`, which must end so; see
    `dicom.read_dicom`); turns pictures upright as EXIF says; composites transparency over
    black; turns colour to grey by Pillow's luma (0.299 R + 0.587 G + 0.114 B). Grey of 16 bits
    counts as full range, `round(x / 257)`; 32-bit integers must lie in [0, 65535] and count as
    16 bits; floating-point greys must lie in [0, 1]. Colour of 16 bits keeps its upper byte.
    A TIFF whose white is zero is inverted.

    Args:
        source: path, bytes of an encoded picture, or uint8 array `(H, W)` or
            `(H, W, 3)`.
        channels: 1 (grey), 3 (RGB), or `None`: as it is stored.
        roi: `(left, top, width, height)` in pixels, cut out after decoding; parts
            outside the picture are black.
        name: what errors call the picture; by default its path.

    Returns:
        uint8 array `(H, W)` for one channel, `(H, W, 3)` for three.

    Raises:
        ImageError: if `source` is missing, damaged, no picture, above 64 megapixels,
            or in a pixel format without a safe way to 8 bits.
    """
    if channels not in (1, 3, None):
        raise ValueError(f"`channels` must be 1, 3 or None. Received: channels={channels}")
    if isinstance(source, np.ndarray):
        image = _check_array(source, name or "array")
    elif isinstance(source, bytes):
        image = _read(io.BytesIO(source), name or "encoded picture")
    else:
        name = name or os.fspath(source)
        image = _read_file(source, name)
    if image.ndim == 2 and channels == 3:
        image = np.repeat(image[..., None], 3, axis=2)
    elif image.ndim == 3 and channels == 1:
        image = np.array(Image.fromarray(image).convert("L"))
    return image if roi is None else crop(image, roi, name=name or "picture")


def crop(image, roi, *, name="picture"):
    """Cuts `roi` = `(left, top, width, height)` out; what lies outside is black."""
    left, top, width, height = (int(value) for value in roi)
    image_height, image_width = image.shape[:2]
    x0, x1 = max(left, 0), min(left + width, image_width)
    y0, y1 = max(top, 0), min(top + height, image_height)
    if x0 >= x1 or y0 >= y1 or width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: the region holds nothing of the picture of {image_width}x{image_height} "
            f"pixels, or more than {MAX_PIXELS} pixels; correct it. Received: roi={tuple(roi)}"
        )
    out = np.zeros((height, width, *image.shape[2:]), np.uint8)
    out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return out


def pixel_hash(image):
    """SHA-256 of the shape and the decoded pixels, as 64 hexadecimal digits."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def load_sample(sample, size=None, channels=1, *, clean=None):
    """Decodes, cleans, crops, mirrors and resizes one sample.

    Args:
        sample: `Sample`.
        size: `(height, width)`; `None` keeps the size of the picture or its region.
        channels: 1 (grey) or 3 (RGB), of the image.
        clean: see `SampleTable`.

    Returns:
        `(image, mask)`: uint8 `(H, W)` or `(H, W, 3)`, and uint8 `(H, W)` of 0 and 255,
        or `None` where the sample has no mask.

    Raises:
        ImageError: if either cannot be decoded, their sizes differ, or the mask has
            bright pixels but none above 127.
    """
    name = _name(sample.image, sample.name)
    image = decode(sample.image, channels=channels if clean is None else None, name=name)
    if clean is not None:
        check_screen(image, name)
        image = decode(clean(image), channels=channels, name=name)
    mask = None
    if sample.mask is not None:
        mask_name = _name(sample.mask, f"mask of {sample.name}")
        mask = decode(sample.mask, name=mask_name)
        check_mask(mask, mask_name, image, sample.name)
    if sample.roi is not None:
        image = crop(image, sample.roi, name=sample.name)
        mask = None if mask is None else crop(mask, sample.roi, name=sample.name)
    if sample.mirrored:
        image, mask = image[:, ::-1], None if mask is None else mask[:, ::-1]
    size = image.shape[:2] if size is None else size
    return resize(image, size), None if mask is None else resize_mask(mask, size)


def check_mask(mask, mask_name, image, image_name):
    """Refuses a mask of another size than its image's, and one that is dark but not black.

    Raises:
        ImageError: naming the mask and the image.
    """
    if mask.shape != image.shape[:2]:
        (height, width), (image_height, image_width) = mask.shape, image.shape[:2]
        raise ImageError(
            f"{mask_name}: the mask has {width}x{height} pixels, its image {image_name} "
            f"{image_width}x{image_height}; draw or export it at the image's size"
        )
    brightest = int(mask.max())
    if 0 < brightest <= 127:
        raise ImageError(
            f"{mask_name}: inside a mask is above 127, this one's brightest pixel is "
            f"{brightest}; store 0 and 255"
        )


def _name(source, fallback):
    return source if isinstance(source, str) else fallback


def _read(stream, name, frame=None):
    return read_dicom(stream, name, frame) if is_dicom(stream) else read_picture(stream, name)


def _read_file(path, name):
    path, frame = split_frame(os.fspath(path))
    try:
        if not os.path.isfile(path):
            missing = "no plain file" if os.path.exists(path) else "no such file"
            raise FileNotFoundError(2, missing)
        with open(path, "rb") as stream:
            if is_dicom(stream) and not path.lower().endswith(SUFFIX):
                # which would be read as its first frame alone, and as a whole screen
                raise ImageError(f"{name}: is a DICOM file; let its name end in {SUFFIX}")
            return _read(stream, name, frame)
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{name}: cannot be opened ({reason}); check the path and its permissions"
        ) from error


def _check_array(image, name):
    gray_or_rgb = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not gray_or_rgb or 0 in image.shape:
        raise ImageError(
            f"{name}: must be a uint8 array (H, W) or (H, W, 3) with at least one pixel; "
            f"convert it first. Received: shape={image.shape}, dtype={image.dtype}"
        )
    return image
