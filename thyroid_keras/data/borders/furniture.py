"""Draws what scanners write: words, scales, bars, banners, icons, calipers.

Everything is drawn on `ink`, uint8 `(H, W)`: how much of each pixel a stroke covers.
"""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "DER", "IZQ", "TIROIDES", "LOBULO DER", "NODULO", "LT", "RT", "THYROID", "SAG", "TRANS",
    "LONG", "ISTHMUS", "MID", "UPPER", "LOWER", "MI", "TIS", "TIB", "GAIN", "MAP", "FPS", "DR",
    "P", "2D", "DEPTH", "ID", "F", "M", "AGE", "DOB", "HOSPITAL", "LINEAR", "TIRADS", "CM",
)  # fmt: skip
_FONTS = (
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX_SMALL,
    None,  # Pillow's own
)


def draw_line(ink, at, height, rng):
    """Writes words and numbers from `at` = `(left, bottom)`, letters of `height` pixels."""
    text = " ".join(_word(rng) for _ in range(int(rng.integers(1, 4))))
    _write(ink, text, at, height, _FONTS[rng.integers(len(_FONTS))], rng)


def draw_column(ink, box, height, rng):
    """Writes short settings one below the other, from the top of a box."""
    left, top, _, room = box
    font = _FONTS[rng.integers(len(_FONTS))]
    for row in range(int(rng.integers(3, 14))):
        bottom = top + round((row + 1) * 1.5 * height)
        if bottom > top + room:
            return
        _write(ink, _word(rng), (left, bottom), height, font, rng)


def draw_scale(ink, box, rng):
    """Ticks along two sides of a box, and numbers at some of them."""
    left, top, width, height = box
    count, length = int(rng.integers(3, 12)), int(rng.integers(1, 6))
    gap = int(rng.integers(1, 6))
    outside = rng.random() < 0.7
    x = left - gap - length if outside else left + gap
    if rng.random() < 0.5:
        x = left + width + gap if outside else left + width - gap - length
    for tick in range(count + 1):
        y = top + tick * (height - 1) // count
        cv2.line(ink, (x, y), (x + length, y), 255, 1)
        if rng.random() < 0.2:
            _write(ink, str(tick), (x - 10, y + 4), 7, _FONTS[0], rng)
        if rng.random() < 0.8:
            across = left + tick * (width - 1) // count
            cv2.line(ink, (across, top - gap - 1), (across, top - gap), 255, 1)


def draw_icon(ink, at, size, rng):
    """The outline of a probe's place on the body, or a logo."""
    axes = (size, max(2, int(size * rng.uniform(0.4, 1))))
    cv2.ellipse(ink, at, axes, 0, int(rng.integers(0, 180)), 360, 255, int(rng.integers(1, 3)))
    corner = (at[0] + int(0.5 * size), at[1] + int(0.5 * size))
    cv2.rectangle(ink, at, corner, 255, int(rng.integers(1, 3)) if rng.random() < 0.7 else -1)


def draw_calipers(ink, box, rng):
    """Two crosses inside a box, at times with dots between them and a letter beside one."""
    left, top, width, height = box
    ends = rng.uniform((left + 6, top + 6), (left + width - 6, top + height - 6), (2, 2))
    ends = np.rint(ends).astype(int)
    arm, thick = int(rng.integers(3, 7)), 1 if rng.random() < 0.8 else 2
    hollow = arm > 3 and rng.random() < 0.4
    turned = rng.random() < 0.3
    for x, y in ends.tolist():
        for dx, dy in ((1, 1), (1, -1)) if turned else ((1, 0), (0, 1)):
            cv2.line(ink, (x - arm * dx, y - arm * dy), (x + arm * dx, y + arm * dy), 255, thick)
        if hollow:
            cv2.circle(ink, (x, y), 1, 0, -1)
    if rng.random() < 0.5:
        steps = max(2, int(np.hypot(*(ends[1] - ends[0])) // rng.integers(4, 10)))
        for x, y in np.rint(np.linspace(*ends, steps)).astype(int).tolist():
            ink[y, x] = 255
    if rng.random() < 0.5:
        x, y = ends[0].tolist()
        _write(ink, str(rng.choice(list("A1B2+D"))), (x + arm + 2, y + arm), 8, _FONTS[1], rng)


def draw_mark(ink, box, rng):
    """The probe's mark in an upper corner of a box, or an arrow of the focus at its side."""
    left, top, width, height = box
    if rng.random() < 0.5:
        x = left + int(rng.choice([0.06, 0.93]) * width)
        _write(ink, str(rng.choice(list("TVSP"))), (x, top + 16), 9, _FONTS[1], rng)
        return
    x, y = left + int(rng.choice([1, width - 7])), top + int(rng.uniform(0.1, 0.9) * height)
    cv2.fillConvexPoly(ink, np.array([(x, y - 3), (x, y + 3), (x + 5, y)]), 255)


def _word(rng):
    kind = rng.random()
    if kind < 0.55:
        return str(rng.choice(WORDS))
    if kind < 0.8:
        return f"{rng.uniform(0, 40):.{rng.integers(0, 3)}f}"
    letters = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/-.")
    return "".join(rng.choice(letters, int(rng.integers(2, 10))))


def _write(ink, text, at, height, font, rng):
    left, bottom = (int(value) for value in at)
    if font is None:
        canvas = Image.fromarray(ink)
        drawn = ImageFont.load_default(max(6, round(1.35 * height)))
        ImageDraw.Draw(canvas).text((left, bottom), text, 255, drawn, anchor="ls")
        ink[:] = np.asarray(canvas)
        return
    (_, tall), _ = cv2.getTextSize("T", font, 1, 1)
    thick = 2 if height > 11 and rng.random() < 0.3 else 1
    cv2.putText(ink, text, (left, bottom), font, height / tall, 255, thick, cv2.LINE_AA)
