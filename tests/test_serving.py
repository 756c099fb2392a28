"""The decoder and the resizing of the graph, held against those of training, pixel by pixel."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tables import encode

from thyroid_keras.data.decode import decode
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.resize import resize
from thyroid_keras.serving.decode import decode as decode_in_graph
from thyroid_keras.serving.resize import resize as resize_in_graph

RNG = np.random.default_rng(0)
Y, X = np.mgrid[:37, :53]
WAVES = np.stack([90 * np.sin(X / 7), 90 * np.cos(Y / 5), (X + Y) * 2 % 200 - 100], axis=-1)
COLOR = (128 + WAVES + RNG.uniform(-20, 20, WAVES.shape)).astype(np.uint8)
GRAY = COLOR[..., 0]
DEEP = RNG.integers(0, 65536, (37, 53), np.uint16)
ALPHA = RNG.integers(0, 256, (37, 53), np.uint8)
PALETTE = Image.fromarray(COLOR).quantize(16)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)] * 2)
def read(data, name):
    return tuple(decode_in_graph(data, name, channels) for channels in (1, 3))


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, depth, color_type, *chunks, interlaced=False, size=None):
    """A PNG of packed rows, of the kinds that Pillow does not write."""
    width, height = size or (len(rows[0]) * 8 // depth, len(rows))
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def interlaced(image):
    """The same pixels in Adam7's seven passes."""
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2)]
    rows = [row for y, dy, x, dx in [*passes, (1, 2, 0, 1)] for row in image[y::dy, x::dx]]
    return png(rows, 8, 0, interlaced=True, size=image.shape[::-1])


def opencv_png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def exif(orientation, order="<", thumbnail=False):
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    other = struct.pack(order + "HHIHH", 0x0128, 3, 1, 2, 0)
    mark = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    directory = struct.pack(order + "H", 2) + entry + other + bytes(4)
    # what looks like an entry, but stands in no directory
    return (
        b"Exif\0\0" + mark + directory + thumbnail * struct.pack(order + "HHIHH", 0x112, 3, 1, 6, 0)
    )


def bmp(bits, rows, palette=b"", *, height=None, compression=0, colors=0):
    start = 54 + len(palette)
    body = b"".join(bytes(row) + bytes(-len(row) % 4) for row in rows)
    width = len(rows[0]) * 8 // bits
    info = (40, width, height or len(rows), 1, bits, compression, 0, 0, 0, colors, 0)
    header = struct.pack("<2sIII", b"BM", start + len(body), 0, start)
    return header + struct.pack("<IiiHHIIiiII", *info) + palette + body


GREYS = b"".join(bytes([v, v, v, 0]) for v in range(256))
RAINBOW = b"".join(bytes([v, 255 - v, v // 2, 0]) for v in range(256))
BGR = COLOR[..., ::-1].reshape(37, -1)
NIBBLES = GRAY[:, :52:2] // 16 * 16 + GRAY[:, 1:52:2] // 16
WIDE = DEEP.astype(">u2").view(np.uint8)[:, :104]
READ = {
    "png of grey": encode(GRAY),
    "png of colour": encode(COLOR),
    "png with alpha": encode(np.dstack([COLOR, ALPHA])),
    "png of grey with alpha": encode(Image.merge("LA", [*map(Image.fromarray, (GRAY, ALPHA))])),
    "png with a palette": encode(PALETTE),
    "png with a palette of 1 bit": encode(Image.fromarray(COLOR).quantize(2), bits=1),
    "png with a transparent index": encode(PALETTE, transparency=3),
    "png with a palette of alphas": encode(PALETTE, transparency=bytes(range(0, 160, 10))),
    "png with a transparent grey": encode(GRAY, transparency=int(GRAY[5, 5])),
    "png with a transparent colour": encode(COLOR, transparency=tuple(map(int, COLOR[5, 5]))),
    "png of 1 bit": encode(Image.fromarray(GRAY > 127)),
    "png of 4 bits": png(NIBBLES, 4, 0),
    "png of 16 bits": encode(DEEP),
    "png of 16 bits with a transparent grey": encode(DEEP, transparency=int(DEEP[5, 5])),
    "png of 16-bit colour": opencv_png(np.dstack([DEEP, DEEP.T.reshape(37, 53), 65535 - DEEP])),
    "png of 16-bit colour and alpha": opencv_png(np.dstack([DEEP, 65535 - DEEP, DEEP, DEEP])),
    "png of 16-bit grey and alpha": png(WIDE, 16, 4, size=(26, 37)),
    "png, interlaced": interlaced(GRAY),
    "png with a text that names tRNS": png(NIBBLES, 4, 0, chunk(b"tEXt", b"Comment\0tRNS")),
    "png of 1x1": encode(GRAY[:1, :1]),
    "png upright by EXIF": encode(GRAY, exif=exif(1, ">")),
    "jpeg of grey": encode(GRAY, "JPEG"),
    "jpeg, progressive": encode(COLOR, "JPEG", progressive=True),
    "jpeg of RGB": encode(COLOR, "JPEG", keep_rgb=True),
    "jpeg with restarts": encode(COLOR, "JPEG", restart_marker_blocks=3),
    "jpeg of 1x1": encode(COLOR[:1, :1], "JPEG"),
    "jpeg upright by EXIF": encode(COLOR, "JPEG", exif=exif(1, "<", thumbnail=True)),
    "jpeg upright by EXIF, big-endian": encode(COLOR, "JPEG", exif=exif(1, ">", thumbnail=True)),
    "jpeg of a camera that writes 0": encode(COLOR, "JPEG", exif=exif(0)),
    "bmp of colour": encode(COLOR, "BMP"),
    "bmp of grey": encode(GRAY, "BMP"),
    "bmp with a palette": encode(PALETTE, "BMP"),
    "bmp with a palette of 256": bmp(8, GRAY, RAINBOW),
    "bmp of 32 bits": encode(np.dstack([COLOR, ALPHA]), "BMP"),
    "bmp from top to bottom": bmp(24, BGR, height=-37),
    "bmp of 1x1": encode(COLOR[:1, :1], "BMP"),
} | {
    f"jpeg {subsampling} of quality {quality}, {height}x{width}": encode(
        COLOR[:height, :width], "JPEG", subsampling=subsampling, quality=quality
    )
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
    for quality, height, width in ((20, 37, 53), (95, 17, 1), (75, 1, 33))
}  # fmt: skip


def test_the_graph_reads_the_pixels_of_training():
    for case, data in READ.items():
        grey, color = read(data, case)
        np.testing.assert_array_equal(grey[..., 0], decode(data), case)
        np.testing.assert_array_equal(color, decode(data, channels=3), case)


def test_all_alphas_and_all_colours():
    value, alpha = np.mgrid[:256, :256].astype(np.uint8)
    data = encode(np.dstack([value, 255 - value, alpha, alpha]))
    np.testing.assert_array_equal(read(data, "")[1], decode(data, channels=3))
    data = encode(RNG.integers(0, 256, (500, 500, 3), np.uint8))
    np.testing.assert_array_equal(read(data, "")[0][..., 0], decode(data))


def bomb(kind, side):
    if kind == "png":
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT") + chunk(b"IEND")
    if kind == "bmp":
        data = bytearray(encode(GRAY, "BMP"))
        data[18:26] = struct.pack("<ii", side, side)
        return bytes(data)
    data = bytearray(encode(GRAY, "JPEG"))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = struct.pack(">HH", side, side)
    return bytes(data)


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
HIDDEN_XMP = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)
TURNED = {f"jpeg, EXIF {n}": encode(COLOR, "JPEG", exif=exif(n, ">")) for n in range(2, 9)}
TURNED |= {
    "jpeg, EXIF little-endian": encode(COLOR, "JPEG", exif=exif(6)),
    "jpeg, EXIF without end": encode(COLOR, "JPEG", exif=exif(1)[:20] + b"\xff\xff" * 3),
    "png, EXIF": encode(COLOR, exif=exif(6)),
    "png, EXIF after the pixels": READ["png of grey"][:-12] + chunk(b"eXIf", exif(8)[6:])
    + chunk(b"IEND"),
    "png, EXIF as text": png(GRAY, 8, 0, chunk(b"tEXt", b"Raw profile type exif\0\nexif\n0\n")),
    "jpeg, XMP": encode(COLOR, "JPEG", xmp=XMP),
    "png, XMP": png(GRAY, 8, 0, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
    "png, XMP compressed": png(GRAY, 8, 0, chunk(b"iTXt", HIDDEN_XMP)),
}  # fmt: skip
DEEP_KEY = png(WIDE[:, :102], 16, 2, chunk(b"tRNS", bytes(6)), size=(17, 37))
REFUSED = {
    "empty": (b"", "is no PNG, JPEG or BMP"),
    "text": (b"Dear diary,\nno picture today", "is no PNG, JPEG or BMP"),
    "a page": (b"<!DOCTYPE html><html>404</html>", "is no PNG, JPEG or BMP"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "is no PNG, JPEG or BMP"),
    **{f: (encode(GRAY, f), "is no PNG, JPEG or BMP") for f in ("GIF", "TIFF", "WEBP", "PPM")},
    "cmyk": (encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "CMYK"),
    **{case: (data, "to be turned") for case, data in TURNED.items()},
    **{f"png of {n}x{n}": (bomb("png", n), "64 megapixels") for n in (8001, 2**31 - 1)},
    "png of 2**32 pixels twice": (bomb("png", 2**32 - 1), "64 megapixels"),
    "jpeg of 65500x65500": (bomb("jpeg", 65500), "64 megapixels"),
    "bmp of 8001x8001": (bomb("bmp", 8001), "64 megapixels"),
    "png without pixels": (bomb("png", 0), "damaged"),
    "png of 4 bits and a key": (png(NIBBLES, 4, 0, chunk(b"tRNS", b"\0\3")), "flatten"),
    "png of 16-bit colour and a key": (DEEP_KEY, "flatten"),
    "bmp of 1 bit": (encode(Image.fromarray(GRAY > 127), "BMP"), "no uncompressed BMP"),
    "bmp of 4 bits": (bmp(4, NIBBLES, GREYS[:64], colors=16), "no uncompressed BMP"),
    "bmp of 16 bits": (bmp(16, DEEP.view(np.uint8)), "no uncompressed BMP"),
    "bmp, run-length": (bmp(8, GRAY, GREYS, compression=1), "no uncompressed BMP"),
    "bmp with fields": (bmp(32, BGR[:, :52], bytes(12), compression=3), "no uncompressed BMP"),
    "bmp of OS/2": (struct.pack("<2sIIIIHHHH", b"BM", 0, 0, 26, 12, 4, 4, 1, 24) + bytes(48), ""),
    "bmp whose pixels are its palette": (bmp(8, GRAY, colors=256), "damaged"),
    "bmp of an index beyond its palette": (bmp(8, GRAY, GREYS[:64], colors=16), ""),
}  # fmt: skip


def test_what_it_cannot_read_is_an_error_by_name():
    for case, (data, fault) in REFUSED.items():
        try:
            read(data, case)
        except tf.errors.InvalidArgumentError as error:
            assert fault in error.message, case
            assert f"{case}: " in error.message or not fault
        else:
            pytest.fail(f"{case} was accepted")


def answers(data):
    """What training reads from the bytes, and what the graph reads; `None` where refused."""
    try:
        expected = decode(data)
    except ImageError:
        expected = None
    try:
        return expected, read(data, "")[0][..., 0].numpy()
    except tf.errors.InvalidArgumentError:
        return expected, None


DAMAGED = ["png of colour", "png of 16 bits", "jpeg of grey", "jpeg, progressive", "bmp of grey"]


def test_cut_files_are_refused_or_lose_nothing():
    for case in DAMAGED:
        whole = READ[case]
        for end in range(0, len(whole), len(whole) // 40):
            _, found = answers(whole[:end])
            if found is not None:
                np.testing.assert_array_equal(found, decode(whole), case)


def test_flipped_bits_are_never_read_in_two_ways():
    rng = np.random.default_rng(1)
    refused = []
    for case in DAMAGED * 60:
        data = bytearray(READ[case])
        data[rng.integers(len(data) if rng.random() < 0.5 else 100)] ^= 1 << rng.integers(8)
        expected, found = answers(bytes(data))
        refused.append(found is None)
        if found is not None:
            np.testing.assert_array_equal(found, expected, case)
    assert 100 < sum(refused) < 250


SIZES = [(32, 32), (17, 40), (112, 112)]
SHAPES = [
    (1, 1),
    (1, 500),
    (3000, 20),
    (32, 32),
    (33, 31),
    (37, 53),
    (96, 64),
    (361, 557),
    (20, 90),
]


@pytest.mark.parametrize("size", SIZES)
def test_resizing_is_the_same_in_the_graph_to_the_last_pixel(size):
    graph = tf.function(
        lambda image: resize_in_graph(image, size),
        input_signature=[tf.TensorSpec((None, None, None), tf.uint8)],
    )
    shapes = [*SHAPES, *RNG.integers(1, 130, (60, 2))]
    for height, width in shapes:
        # a few grey levels, so that means often lie midway between two
        image = RNG.integers(0, 4, (height, width, 3), np.uint8) * np.uint8(RNG.integers(1, 85))
        np.testing.assert_array_equal(graph(image), resize(image, size))


SIDE = tf.TensorSpec((), tf.int64)


@tf.function(input_signature=[tf.TensorSpec((None, None, None), tf.uint8), SIDE, SIDE])
def resized(image, height, width):
    return resize_in_graph(image, (height, width))


def test_resizing_between_any_sizes_and_of_extremes():
    rng = np.random.default_rng(2)
    for levels in ([255], [0, 255], [127, 128], range(256)) * 60:
        *size, height, width = rng.integers(1, 2 ** rng.integers(1, 9, 4))
        image = rng.choice(levels, (height, width, rng.choice([1, 3]))).astype(np.uint8)
        np.testing.assert_array_equal(resized(image, *size), resize(image, size))


def test_resizing_tells_ties_from_what_is_next_to_them():
    for low, means in ((126, (126, 126, 127)), (127, (127, 128, 128))):
        image = np.full((2000, 3000, 1), low, np.uint8)
        image[:1000] += 1
        for brightest, mean in enumerate(means, start=low):
            image[0, 0] = brightest
            assert resized(image, 1, 1).numpy() == resize(image, (1, 1)) == mean


@pytest.mark.parametrize("rows", [2**22, 2**24])
def test_resizing_does_not_overflow(rows):
    image = np.full((rows, 1, 1), 255, np.uint8)
    assert (resized(image, rows - 1, 1).numpy() == 255).all()
