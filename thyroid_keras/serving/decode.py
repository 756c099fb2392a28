"""`data.decode` inside the graph, for PNG, JPEG and BMP; any other picture is an error."""

import numpy as np
import tensorflow as tf

from thyroid_keras.data.pictures import MAX_PIXELS
from thyroid_keras.serving.octets import number, octets, require
from thyroid_keras.serving.upright import is_upright

LUMA = (19595, 38470, 7471)  # of 65536: what Pillow turns colour to grey with
TOO_LARGE = f"is above {MAX_PIXELS // 10**6} megapixels; crop it or scale it down first"
TURNED = "its EXIF or XMP data ask for it to be turned; store it upright first"
DAMAGED = "is cut off or damaged at its beginning; copy it again from its source"
_HEADER_BYTES = 54  # of a BMP, the longest of the three
_PIXELS_AT_ONCE = 8


def decode(data, name, channels):
    """Decodes the bytes of a picture to the pixels that `data.decode` reads from them.

    Args:
        data: scalar string: a PNG, a JPEG of grey or colour, or an uncompressed BMP of
            8 (with palette), 24 or 32 bits, of at most 64 megapixels.
        name: scalar string, what errors call the picture.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 `(H, W, channels)`.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if the picture is anything
            else, is damaged, or is to be turned before it is looked at.
    """
    header = octets(data, _HEADER_BYTES)
    starts = {b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8\xff": _jpeg, b"BM": _bmp}
    found = [tf.reduce_all(header[: len(s)] == list(s)) for s in starts]
    known = "is no PNG, JPEG or BMP; save it as one of them"
    data = require(data, name, [(tf.reduce_any(found), known), (is_upright(data), TURNED)])
    branches = [lambda read=read: read(data, header, name, channels) for read in starts.values()]
    return tf.switch_case(tf.argmax(found, output_type=tf.int32), branches)


def _png(data, header, name, channels):
    width, height = number(header, 16, 4, "big"), number(header, 20, 4, "big")
    depth, color_type = header[24], header[25]
    before_pixels = tf.strings.regex_replace(data, rb"(?s)IDAT\C*", b"", replace_global=False)
    keyed = tf.strings.regex_full_match(before_pixels, r"(?s)\C*\x00\x00[\x00\x01]\CtRNS\C*")
    # the libraries disagree on whether such a colour is meant before or after scaling
    ambiguous = keyed & ((color_type == 0) & (depth < 8) | (color_type == 2) & (depth > 8))
    rules = [
        (_has_pixels(width, height), DAMAGED),
        (_fits(width, height), TOO_LARGE),
        (~ambiguous, "is a PNG with a transparent colour of a depth other than 8 bits; flatten it"),
    ]
    data = require(data, name, rules)

    def deep_grey():
        grey = tf.cast(tf.io.decode_png(data, channels=1, dtype=tf.uint16), tf.int32)
        return tf.repeat(tf.cast((grey + 128) // 257, tf.uint8), channels, axis=2)

    def over_black():
        rgba = tf.io.decode_png(data, channels=4)
        rgb, alpha = tf.cast(rgba[..., :3], tf.int32), tf.cast(rgba[..., 3:], tf.int32)
        return as_channels(channels, tf.cast((rgb * alpha + 127) // 255, tf.uint8))

    def opaque():
        # with four channels TensorFlow makes shallow pictures nearly transparent
        return as_channels(channels, tf.io.decode_png(data, channels=3))

    has_alpha = keyed | (color_type == 4) | (color_type == 6)
    cases = [((depth == 16) & (color_type == 0), deep_grey), (has_alpha, over_black)]
    if channels == 1:
        cases.append((color_type == 0, lambda: tf.io.decode_png(data, channels=1)))
    return tf.case(cases, default=opaque)


def _jpeg(data, header, name, channels):
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
    rules = [
        (_fits(shape[1], shape[0]), TOO_LARGE),
        ((shape[2] == 1) | (shape[2] == 3), "is a CMYK JPEG; save it as RGB"),
    ]
    data = require(data, name, rules)
    # the other method is faster, and a grey level off
    method = {"dct_method": "INTEGER_ACCURATE"}
    if channels == 1:
        return tf.cond(
            shape[2] == 1,
            lambda: tf.io.decode_jpeg(data, channels=1, **method),
            lambda: _grey(tf.io.decode_jpeg(data, channels=3, **method)),
        )
    return tf.io.decode_jpeg(data, channels=3, **method)


def _bmp(data, header, name, channels):
    start, info_bytes = number(header, 10, 4), number(header, 14, 4)
    width, height = number(header, 18, 4), number(header, 22, 4)
    height = tf.where(height < 2**31, height, 2**32 - height)  # negative: from top to bottom
    bits, colors = number(header, 28, 2), number(header, 46, 4)
    paletted = bits == 8
    colors = tf.where((bits != 8) | (colors > 0), colors, 256)
    plain = paletted & (colors > 2) & (colors <= 256) | (bits == 24) | (bits == 32)
    pixels_after = 14 + info_bytes + tf.where(paletted, 4 * colors, 0)
    rules = [
        (_has_pixels(width, height), DAMAGED),
        (_fits(width, height), TOO_LARGE),
        (
            plain & (number(header, 30, 4) == 0) & (info_bytes >= 40),
            "is no uncompressed BMP of 8, 24 or 32 bits; save it as PNG",
        ),
        ((info_bytes <= 124) & (start >= pixels_after), DAMAGED),
    ]
    data = require(data, name, rules)
    pixels = tf.io.decode_bmp(data)

    def by_palette():
        palette = tf.reshape(octets(data, 4 * 256, tf.cast(14 + info_bytes, tf.int32)), [256, 4])
        rgb = tf.cast(palette[:colors, 2::-1], tf.uint8)
        return tf.gather(rgb, tf.cast(pixels[..., 0], tf.int32))

    return as_channels(channels, tf.cond(paletted, by_palette, lambda: pixels[..., :3]))


def _has_pixels(width, height):
    return (width > 0) & (height > 0)


def _fits(width, height):
    # the sides first: the product of two huge ones would wrap round
    return (width <= MAX_PIXELS) & (height <= MAX_PIXELS) & (width * height <= MAX_PIXELS)


def as_channels(channels, rgb):
    """An RGB picture, uint8 `(H, W, 3)`, with 1 or 3 channels: grey by Pillow's luma, or itself."""
    return rgb if channels == 3 else _grey(rgb)


def _grey(rgb):
    # multiples of 2**-16 below 2**8, which float32 multiplies and adds up without rounding; of
    # several pixels at once, zeros and all, for a product over three numbers is slower by far
    weights = np.kron(np.eye(_PIXELS_AT_ONCE), np.divide(LUMA, 2**16)[:, None])
    padded = tf.pad(tf.reshape(rgb, [-1]), [[0, -tf.size(rgb) % len(weights)]])
    pixels = tf.cast(tf.reshape(padded, [-1, len(weights)]), tf.float32)
    grey = tf.cast(pixels @ tf.constant(weights, tf.float32) + 0.5, tf.uint8)  # rounds down
    shape = tf.concat([tf.shape(rgb)[:2], [1]], axis=0)
    return tf.reshape(tf.reshape(grey, [-1])[: tf.reduce_prod(shape)], shape)
