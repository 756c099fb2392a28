"""The decoder: every format right, every damaged file refused by name."""

import io
import re
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from tables import encode

from thyroid_keras.data.decode import (
    crop,
    decode,
    load_sample,
    pixel_hash,
    resize,
    resize_mask,
)
from thyroid_keras.data.pictures import ImageError, picture_size
from thyroid_keras.data.samples import Sample

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (37, 53), np.uint8)
COLOR = RNG.integers(0, 256, (37, 53, 3), np.uint8)


LOSSLESS = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("format", "options"), LOSSLESS)
def test_lossless_formats_give_their_pixels(format, options):
    np.testing.assert_array_equal(decode(encode(COLOR, format, **options), channels=3), COLOR)
    luma = np.array(Image.fromarray(COLOR).convert("L"))
    np.testing.assert_array_equal(decode(encode(COLOR, format, **options)), luma)
    np.testing.assert_array_equal(decode(encode(GRAY, format, **options)), GRAY)


def test_gray_becomes_three_equal_channels_and_back():
    color = decode(GRAY, channels=3)
    assert color.shape == (37, 53, 3)
    np.testing.assert_array_equal(decode(color), GRAY)


def test_gif_gives_its_first_frame():
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data), GRAY)


def test_palette_alpha_one_bit_and_cmyk():
    palette = Image.fromarray(COLOR).quantize(16)
    expected = np.array(palette.convert("RGB"))
    np.testing.assert_array_equal(decode(encode(palette), channels=3), expected)

    alpha = np.where(np.arange(53) < 20, 0, 255).astype(np.uint8) * np.ones((37, 1), np.uint8)
    over_black = COLOR * (alpha[..., None] > 0)
    rgba = np.dstack([COLOR, alpha])
    np.testing.assert_array_equal(decode(encode(rgba), channels=3), over_black)
    la = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha)])
    np.testing.assert_array_equal(decode(encode(la)), GRAY * (alpha > 0))

    palette.info["transparency"] = 3
    hidden = np.asarray(palette) == 3
    np.testing.assert_array_equal(
        decode(encode(palette), channels=3), expected * ~hidden[..., None]
    )

    one_bit = Image.fromarray(GRAY > 127)
    np.testing.assert_array_equal(decode(encode(one_bit)), (GRAY > 127) * np.uint8(255))

    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode(encode(cmyk, "JPEG", quality=95), channels=3)
    assert red[4, 4, 0] > 245 and red[4, 4, 1:].max() < 10


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_over_the_full_range(format):
    deep = np.linspace(0, 65535, 37 * 53).astype(np.uint16).reshape(37, 53)
    image = decode(encode(deep, format))
    np.testing.assert_array_equal(image, np.rint(deep / 257).astype(np.uint8))
    assert len(np.unique(image)) == 256


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_tiff_whose_white_is_zero_is_inverted(kind):
    full = 1 if kind is np.float32 else np.iinfo(kind).max
    stored = np.linspace(0, full, 37 * 53).astype(kind).reshape(37, 53)
    data = encode(stored, "TIFF")
    black_is_zero = b"\x06\x01\x03\x00\x01\x00\x00\x00\x01"  # tag 0x0106, one short
    assert data.count(black_is_zero) == 1
    inverted = data.replace(black_is_zero, black_is_zero[:-1] + b"\0")
    np.testing.assert_array_equal(decode(inverted), 255 - decode(data))


def test_floats_in_unit_range_only():
    unit = RNG.random((5, 7), np.float32)
    expected = np.rint(unit * 255).astype(np.uint8)
    np.testing.assert_array_equal(decode(encode(unit, "TIFF")), expected)
    for bad in (unit * 300, unit - 0.5, np.full_like(unit, np.nan)):
        with pytest.raises(ImageError, match=r"\[0, 1\].*Received: min="):
            decode(encode(bad, "TIFF"))


def test_wide_integers_beyond_sixteen_bits_are_refused():
    with pytest.raises(ImageError, match="65535"):
        decode(encode(np.full((4, 4), 70000, np.int32), "TIFF"))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_exif_orientation(format):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encode(COLOR, format, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        assert upright.size == ((53, 37) if orientation < 5 else (37, 53))
        np.testing.assert_array_equal(decode(data, channels=3), np.asarray(upright))
        assert picture_size(io.BytesIO(data), "x") == upright.size


def bad_files():
    png, jpeg = encode(COLOR), encode(COLOR, "JPEG")
    yield "empty", b"", "empty"
    yield "html", b"\n<!DOCTYPE html><html><body>404", "web page"
    yield "text", b"Dear diary,\nno picture today", "text"
    yield "lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"
    yield "zip", b"PK\x03\x04" + bytes(60), "unpack"
    yield "dicom", bytes(128) + b"DICM" + bytes(20), "DICOM"
    yield "random", RNG.bytes(2000), "no picture"
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text"
    yield "flipped_png", png[:200] + bytes([png[200] ^ 255]) + png[201:], "damaged"
    for name, data in {
        "png": png,
        "jpeg": jpeg,
        "bmp": encode(COLOR, "BMP"),
        "tiff": encode(COLOR, "TIFF"),
        "lzw": encode(COLOR, "TIFF", compression="tiff_lzw"),
        "webp": encode(COLOR, "WEBP"),
        "gif": encode(GRAY, "GIF"),
        "ppm": encode(COLOR, "PPM"),
        "png16": encode(RNG.integers(0, 65536, (37, 53), np.uint16)),
    }.items():
        for percent in (1, 5, 10, 50, 90, 97):
            yield (
                f"{name}_cut_to_{percent}",
                data[: len(data) * percent // 100],
                "damaged|text|no pic",
            )


def test_bad_files_are_refused_by_name(tmp_path):
    for name, data, fault in bad_files():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        try:
            decode(str(path))
        except ImageError as error:
            assert str(error).startswith(f"{path}: ") and re.search(fault, str(error)), error
        else:
            pytest.fail(f"{name} was accepted")


def test_any_cut_of_a_jpeg_is_refused_or_loses_nothing():
    whole = encode(GRAY, "JPEG")
    pixels = decode(whole)
    for end in range(0, len(whole), 7):
        try:
            image = decode(whole[:end])
        except ImageError:
            continue
        np.testing.assert_array_equal(image, pixels)


def test_missing_and_unreadable_paths(tmp_path):
    for path in (tmp_path / "none.png", tmp_path, "nul\0.png"):
        with pytest.raises(ImageError, match="cannot be opened"):
            decode(path)


@pytest.mark.parametrize("side", [8001, 10000, 20000])
def test_bombs_are_refused_before_decoding_and_without_warnings(side):
    bomb = bytearray(encode(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = side.to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="64 megapixels"):
            decode(bytes(bomb))


def test_arrays_and_arguments_are_checked():
    for bad in (GRAY.astype(np.float32), GRAY[None], GRAY[:0], COLOR[..., :2]):
        with pytest.raises(ImageError, match="Received: shape="):
            decode(bad)
    with pytest.raises(ValueError, match="Received: channels=2"):
        decode(GRAY, channels=2)


def test_roi_is_black_outside_and_refused_where_it_holds_nothing():
    out = decode(GRAY, roi=(-3, 30, 10, 20))
    assert out.shape == (20, 10)
    np.testing.assert_array_equal(out[:7, 3:], GRAY[30:, :7])
    assert not out[7:].any() and not out[:, :3].any()
    for roi in ((53, 0, 5, 5), (0, 0, 0, 5), (0, -9, 5, 9), (-1, -1, 10**6, 10**6)):
        with pytest.raises(ImageError, match="Received: roi="):
            crop(GRAY, roi)


def test_resize_is_the_area_mean_and_rounds_half_to_even():
    checks = np.array([[0, 1], [2, 3]], np.uint8)  # mean 1.5
    np.testing.assert_array_equal(resize(checks, (1, 1)), [[2]])
    np.testing.assert_array_equal(resize(checks - checks % 2, (1, 1)), [[1]])
    np.testing.assert_array_equal(resize(np.array([[0, 1], [1, 0]], np.uint8), (1, 1)), [[0]])
    blocks = COLOR[:36, :52].reshape(18, 2, 26, 2, 3).mean((1, 3), dtype=np.float64)
    np.testing.assert_array_equal(resize(COLOR[:36, :52], (18, 26)), np.rint(blocks))
    mixed = cv2.resize(GRAY.astype(np.float32), (20, 80), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize(GRAY, (80, 20)), np.rint(mixed))
    assert resize(GRAY, (37, 53)) is GRAY


def test_resized_masks_are_binary_keep_their_majority_and_never_vanish():
    mask = np.zeros((100, 100), np.uint8)
    mask[:50] = 200
    np.testing.assert_array_equal(np.unique(resize_mask(mask, (40, 30))), [0, 255])
    assert resize_mask(mask, (40, 30)).mean() == 127.5
    for size in ((7, 9), (300, 3), (3, 300)):
        thin = np.zeros((100, 100), np.uint8)
        thin[61, 42] = 255
        small = resize_mask(thin, size)
        assert small.any() and small[61 * size[0] // 100, 42 * size[1] // 100] == 255
        assert not resize_mask(thin * 0, size).any()


def test_pixel_hash_sees_shape_and_pixels_not_encoding():
    assert pixel_hash(decode(encode(GRAY))) == pixel_hash(decode(encode(GRAY, "BMP")))
    assert pixel_hash(decode(encode(decode(GRAY, channels=3)))) == pixel_hash(GRAY)
    assert pixel_hash(GRAY) != pixel_hash(GRAY.T)
    assert pixel_hash(GRAY) != pixel_hash(GRAY.reshape(53, 37))
    changed = GRAY.copy()
    changed[0, 0] ^= 1
    assert pixel_hash(GRAY) != pixel_hash(changed)


def sample(image, mask=None, **fields):
    return Sample(name="s", image=image, mask=mask, label=0, group="g", **fields)


def test_load_sample_crops_and_resizes_image_and_mask_alike():
    mask = (GRAY > 127) * np.uint8(255)
    image, out = load_sample(sample(GRAY, encode(mask), roi=(5, 5, 20, 10)))
    np.testing.assert_array_equal(image, GRAY[5:15, 5:25])
    np.testing.assert_array_equal(out, mask[5:15, 5:25])
    image, out = load_sample(sample(GRAY, mask), (16, 24), channels=3)
    assert image.shape == (16, 24, 3) and out.shape == (16, 24)
    assert load_sample(sample(GRAY), (8, 8))[1] is None


def test_masks_of_another_size_or_without_bright_pixels_are_refused():
    with pytest.raises(ImageError, match="mask of s: .*10x20.*53x37"):
        load_sample(sample(GRAY, np.zeros((20, 10), np.uint8)))
    with pytest.raises(ImageError, match="brightest pixel is 1; store 0 and 255"):
        load_sample(sample(GRAY, (GRAY > 127).astype(np.uint8)))
