"""Screens made up around real or simulated ultrasound, whose sector and text are known."""

import dataclasses

import cv2
import numpy as np

from thyroid_keras.data.borders import furniture
from thyroid_keras.data.borders.removal import find_classical, remove
from thyroid_keras.data.borders.sector import find_views, to_grey
from thyroid_keras.data.decode import decode
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError

INK = 32  # of 255; a pixel that a stroke covers more than this is text
_MARK = 0.07  # of a view's height, at its top, where scanners put marks of their own


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A picture and what is true of it.

    Args:
        image: uint8 `(H, W)`.
        sector: bool `(H, W)`, where there is ultrasound.
        text: bool `(H, W)`, what is written or drawn, inside the sector or out of it.
    """

    image: np.ndarray
    sector: np.ndarray
    text: np.ndarray


def views_of(table, label="Looking inside the borders"):
    """Returns the views of all pictures of a table without what surrounds them.

    Args:
        table: `SampleTable`.
        label: str, what the progress bar calls the work.

    Returns:
        List of uint8 arrays `(h, w)`, see `insides`.

    Raises:
        DataError: with every file that cannot be read.
    """

    def look(sample):
        try:
            return insides(sample), None
        except ImageError as error:
            return [], str(error)

    found = list(map_threads(look, table.samples, label))
    if problems := [problem for _, problem in found if problem]:
        raise DataError(problems)
    return [view for views, _ in found for view in views]


def insides(sample):
    """Returns the views of a sample's picture without what surrounds them.

    Text inside is filled as `remove` does, and the uppermost part is left out where a
    border was found: what scanners mark there would pass for tissue.

    Args:
        sample: `data.samples.Sample`.

    Returns:
        List of uint8 arrays `(h, w)`.

    Raises:
        ImageError: if the picture cannot be decoded.
    """
    image = decode(sample.image, channels=None, name=sample.name)
    sector, overlay = find_classical(image)
    framed = not sector.all()
    grey = to_grey(remove(image, sector, overlay) if framed else image)
    found = []
    for left, top, width, height in find_views(image, sector):
        cut = round(_MARK * height) if framed else 0
        found.append(grey[top + cut : top + height, left : left + width])
    return found


def compose(views, rng, *, size=(360, 560)):
    """Puts views of ultrasound on a made-up screen.

    Args:
        views: list of uint8 arrays `(h, w)`, to be drawn from.
        rng: `numpy.random.Generator`.
        size: `(H, W)` in pixels, each at least 64.

    Returns:
        `Screen`.
    """
    image = np.full(size, rng.integers(4, 48) if rng.random() < 0.2 else 0, np.uint8)
    sector, ink = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    box = _place(size, rng)
    for part, shape in _layout(box, rng):
        _paste(image, sector, part, shape, views[rng.integers(len(views))], rng)
    height = int(rng.integers(7, 15) * max(1, size[0] / 400))
    _surround(image, ink, box, height, rng)
    _annotate(ink, box, height, rng)
    level = int(rng.integers(150, 256))
    if rng.random() < 0.15:  # a dark rim, as some scanners give their letters
        image[cv2.dilate(ink, np.ones((3, 3), np.uint8)) > INK] //= 3
    share = ink.astype(np.float32) / 255
    image = np.rint(image + (level - image.astype(np.float32)) * share).clip(0, 255)
    return Screen(image=_compress(image.astype(np.uint8), rng), sector=sector > 0, text=ink > INK)


def _place(size, rng):
    """The box of all views, `(left, top, width, height)`."""
    height, width = size
    if rng.random() < 0.08:
        return 0, 0, width, height
    box_width, box_height = (round(side * rng.uniform(0.5, 0.96)) for side in (width, height))
    left = int(rng.integers(0, width - box_width + 1))
    return left, int(rng.integers(0, height - box_height + 1)), box_width, box_height


def _layout(box, rng):
    """The views' boxes, and whether each is a rectangle or a fan."""
    left, top, width, height = box
    if rng.random() < 0.3:
        gap = int(rng.integers(0, 8)) if rng.random() < 0.5 else 0
        first = round(width * rng.uniform(0.42, 0.58)) - gap
        yield (left, top, first, height), "rectangle"
        yield (left + first + gap, top, width - first - gap, height), "rectangle"
    else:
        yield box, "fan" if rng.random() < 0.25 else "rectangle"


def _paste(image, sector, box, shape, view, rng):
    left, top, width, height = box
    rows, columns = (max(8, round(side * rng.uniform(0.6, 1))) for side in view.shape)
    y, x = (
        int(rng.integers(0, s - n + 1)) for s, n in zip(view.shape, (rows, columns), strict=True)
    )
    part = cv2.resize(view[y : y + rows, x : x + columns], (width, height))
    part = part[:, ::-1] if rng.random() < 0.5 else part
    grey = (part / np.float32(255)) ** np.float32(rng.uniform(0.7, 1.4)) * rng.uniform(0.6, 1.2)
    if rng.random() < 0.3:  # depth that the beam does not reach
        grey *= np.linspace(1, rng.uniform(0, 0.5), height, dtype=np.float32)[:, None]
    part = np.rint(grey * 255).clip(0, 255).astype(np.uint8)
    region = np.s_[top : top + height, left : left + width]
    inside = (
        np.ones((height, width), np.uint8) if shape == "rectangle" else _fan(width, height, rng)
    )
    image[region] = np.where(inside, part, image[region])
    sector[region] |= inside


def _fan(width, height, rng):
    """What a curved probe's beams reach in a box, uint8 `(height, width)`."""
    mask = np.zeros((height, width), np.uint8)
    half_angle = np.radians(rng.uniform(22, 40))
    face = rng.uniform(0.15, 0.5) * width / (2 * np.sin(half_angle))  # radius of the probe
    reach = width / (2 * np.sin(half_angle))
    angles = np.linspace(-half_angle, half_angle, 60)
    outer = np.stack([np.sin(angles), np.cos(angles)], 1) * reach
    inner = np.stack([np.sin(angles), np.cos(angles)], 1)[::-1] * face
    points = np.concatenate([outer, inner]) + (width / 2, -face * np.cos(half_angle))
    points[:, 1] *= height / points[:, 1].max()
    return cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)


def _surround(image, ink, box, height, rng):
    """Bars, banners, columns, lines, scales and icons about the views."""
    left, top, width, tall = box
    rows, columns = image.shape
    right, bottom = columns - left - width, rows - top - tall
    if top > 2 * height and rng.random() < 0.4:  # a banner with the patient's name
        image[: int(rng.integers(height, top))] = rng.integers(20, 160)
        draw = int(rng.integers(1, 4))
        for _ in range(draw):
            at = (int(rng.integers(0, columns // 2)), int(rng.integers(height, top)))
            furniture.draw_line(ink, at, height, rng)
    if left > 12 and rng.random() < 0.6:
        _wedge(image, (int(rng.integers(0, left - 10)), top, min(left - 4, 14), tall), rng)
    elif right > 12 and rng.random() < 0.5:
        _wedge(image, (columns - int(rng.integers(10, right)), top, 9, tall), rng)
    margins = [((left + width + 3, top, right, tall), right), ((2, top, left, tall), left)]
    for margin, room in margins:
        if room > 3 * height and rng.random() < 0.6:
            furniture.draw_column(ink, margin, height, rng)
    for _ in range(int(rng.integers(0, 4)) if bottom > height + 4 else 0):
        at = (int(rng.integers(0, columns // 2)), rows - int(rng.integers(2, bottom - height)))
        furniture.draw_line(ink, at, height, rng)
    if bottom > 20 and rng.random() < 0.4:
        furniture.draw_icon(ink, (int(rng.integers(0, columns)), rows - bottom // 2), 8, rng)
    if rng.random() < 0.7:
        furniture.draw_scale(ink, box, rng)


def _wedge(image, box, rng):
    """A bar from white to black."""
    left, top, width, height = box
    length = int(height * rng.uniform(0.2, 0.8))
    start = top + int(rng.integers(0, height - length + 1))
    levels = np.linspace(255, 0, length)[:, None]
    ends = max(0, left), min(image.shape[1], left + max(3, width))
    image[start : start + length, ends[0] : ends[1]] = levels.astype(np.uint8)


def _annotate(ink, box, height, rng):
    """Words, marks and calipers over the ultrasound."""
    left, top, width, tall = box
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.6 else 0):
        at = (left + int(rng.uniform(0, 0.7) * width), top + int(rng.uniform(0.1, 1) * tall))
        furniture.draw_line(ink, at, height, rng)
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.5 else 0):
        furniture.draw_calipers(ink, box, rng)
    for _ in range(int(rng.integers(0, 3))):
        furniture.draw_mark(ink, box, rng)


def _compress(image, rng):
    """What a JPEG file leaves of a picture; at times nothing is lost."""
    if rng.random() < 0.3:
        return image
    quality = int(rng.integers(60, 98))
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
