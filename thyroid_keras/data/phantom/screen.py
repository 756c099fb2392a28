"""What a scanner draws around and over the picture: frame, scales, words."""

import cv2
import numpy as np

LEAKING_WORDS = (("TIRADS 2", "TIRADS 3"), ("TIRADS 4b", "TIRADS 4c", "TIRADS 5"))
WORDS = ("DER", "IZQ", "TIROIDES", "LOBULO DER", "LOBULO IZQ", "TRANS", "LONG", "NODULO")


def sector_box(size, border):
    """`(left, top, width)` of the square sector within an image of `size` pixels."""
    if not border:
        return 0, 0, size
    width = round(0.8 * size)
    return (size - width) // 2, round(0.04 * size), width


def paint_border(canvas, box, rng):
    """Scale ticks at the sector's edges and a grey wedge beside it; in place."""
    left, top, width = box
    size = len(canvas)
    ticks = int(rng.integers(4, 9))
    for tick in range(ticks + 1):
        at = top + min(width - 1, tick * width // ticks)
        canvas[at, min(size - 1, left + width + 2) : left + width + 5] = 200
        canvas[max(0, top - 3), left + min(width - 1, tick * width // ticks)] = 200
    wedge = np.linspace(255, 0, width // 2)[:, None].astype(np.uint8)
    canvas[top + width // 4 :][: width // 2, left // 4 : left // 4 + max(2, left // 4)] = wedge


def words_for(rng, *, text, text_leak, label):
    """The words burned into one image: `(line, ...)`, empty without any.

    Args:
        rng: `numpy.random.Generator`.
        text: bool, whether there are harmless words.
        text_leak: in [0, 1], probability of a word that gives the label away.
        label: 0 or 1.
    """
    leaks, pick = rng.random() < text_leak, rng.integers(1 << 30)
    depth, megahertz = rng.uniform(3, 5), rng.integers(8, 15)
    lines = (str(rng.choice(WORDS)), f"{depth:.1f}cm {megahertz}MHz") if text else ()
    telling = LEAKING_WORDS[label]
    return (*lines, telling[pick % len(telling)]) if leaks else lines


def paint_words(canvas, lines):
    """Writes lines from the lower left corner upwards, in place."""
    size = len(canvas)
    scale = max(0.35, size / 300)
    for row, line in enumerate(reversed(lines)):
        at = (round(0.03 * size), size - round(0.02 * size) - round(row * 14 * scale))
        cv2.putText(canvas, line, at, cv2.FONT_HERSHEY_PLAIN, scale, 225, 1, cv2.LINE_AA)
