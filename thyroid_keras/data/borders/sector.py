"""Finds where a picture shows ultrasound, and where two views stand side by side."""

import cv2
import numpy as np

from thyroid_keras.data.decode import decode

LEAST_SIDE_PX = 32  # of a picture in which a sector can be told
WINDOW_PX = 7  # over which speckle varies and the surround does not
LEAST_DEVIATION = 1.5  # grey levels
OPENING = 0.09  # of the shorter side: no line of text, wedge or icon is as thick
LEAST_SHARE = 4  # a part smaller than a fourth of the largest is no view
LEAST_AREA = 0.04  # of the picture
MOST_VIEWS = 8  # side by side; more stretches of columns than these are none
CORNER = 0.12  # of a view's sides; half of a rectangle's belongs to it
NOISE = 2  # grey levels about the surround
# of the median share of lit pixels: no sector, of columns and of rows, and its edge
COLUMN_GAP, ROW_GAP, LIT = 0.25, 0.2, 0.4
# outer normals of the right side of a fan, whole numbers `(255, 2)` of x and y
_ANGLES = np.pi / 256 * np.arange(-127, 128)
NORMALS = np.rint(1024 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)).astype(np.int64)
_SEAM_MARGIN = 0.3  # of the width: views side by side are about as wide as each other
_SEAM_CORRELATION = 0.5  # of speckle, at the most
_SEAM_STEP = 1.9  # times the median step between columns, at least


def find_sector(image):
    """Finds the ultrasound sector by its speckle: a rectangle, or a fan.

    Texture tells it from bars, banners and black; what is thinner than a tenth of the
    picture is text, ticks or a wedge. A rectangle whose depth is dark is completed, a fan
    is filled to its convex hull. `serving.borders.sector` says the same in TensorFlow,
    which is why it is all in whole numbers and quotients of them.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.

    Returns:
        bool `(H, W)`; all of the picture where no sector stands out, as in one with a side
        below `LEAST_SIDE_PX`.
    """
    grey = to_grey(image)
    sector = np.zeros(grey.shape, bool)
    if min(grey.shape) >= LEAST_SIDE_PX:
        for view in _components(grey):
            sector |= _complete(grey, view)
    return sector if sector.any() else ~sector


def find_views(image, sector=None):
    """Finds the views of a picture: one, or two side by side.

    Two parts of the sector are two views; so are the halves of one part between which the
    speckle breaks off along a whole column.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        sector: bool `(H, W)`, see `find_sector`, which is called if it is `None`.

    Returns:
        List of `(left, top, width, height)` in pixels, from left to right.
    """
    sector = find_sector(image) if sector is None else sector
    stats = cv2.connectedComponentsWithStats(sector.astype(np.uint8))[2][1:]
    largest = stats[:, cv2.CC_STAT_AREA].max(initial=0)
    kept = stats[LEAST_SHARE * stats[:, cv2.CC_STAT_AREA] >= largest]
    boxes = sorted(tuple(int(v) for v in box) for box in kept[:, :4])
    if len(boxes) != 1:
        return boxes
    left, top, width, height = box = boxes[0]
    seam = _find_seam(to_grey(image)[top : top + height, left : left + width])
    if seam is None:
        return [box]
    return [(left, top, seam, height), (left + seam, top, width - seam, height)]


def to_grey(image):
    """Returns a picture's grey levels, uint8 `(H, W)`."""
    return decode(image)


def _components(grey):
    """Where speckle covers enough, one bool `(H, W)` per part."""
    side = max(3, round(OPENING * min(grey.shape))) | 1
    active = cv2.erode(_has_speckle(grey), _box(WINDOW_PX - 2), borderValue=1)  # its own reach
    active = cv2.morphologyEx(active, cv2.MORPH_CLOSE, _box(side // 4 | 1))
    # a frame around it, lest what touches the edge be taken for thinner than it is
    framed = cv2.copyMakeBorder(active, side, side, side, side, cv2.BORDER_REPLICATE)
    active = cv2.morphologyEx(framed, cv2.MORPH_OPEN, _box(side))[side:-side, side:-side]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(active), connectivity=4
    )
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = areas.max(initial=0)
    kept = (areas >= LEAST_AREA * grey.size) & (LEAST_SHARE * areas >= largest)
    for number in np.flatnonzero(kept) + 1:
        yield labels == number


def _has_speckle(grey):
    values, window = grey.astype(np.int32), (WINDOW_PX, WINDOW_PX)
    total, square = (
        cv2.boxFilter(part, cv2.CV_32S, window, normalize=False) for part in (values, values**2)
    )
    pixels = WINDOW_PX**2
    return (pixels * square - total**2 > (pixels * LEAST_DEVIATION) ** 2).astype(np.uint8)


def _complete(grey, view):
    """The rectangles or the fan that a part of speckle belongs to, bool `(H, W)`."""
    if _is_fan(view):
        return _hull(view)
    whole = np.zeros(view.shape, bool)
    for left, top, width, height in _rectangles(grey, view):
        whole[top : top + height, left : left + width] = True
    return whole


def _is_fan(view):
    """Whether nothing is in either upper corner of a part: beams that spread."""
    left, top, width, height = cv2.boundingRect(view.astype(np.uint8))
    part = view[top : top + height, left : left + width]
    rows, columns = max(1, round(CORNER * height)), max(1, round(CORNER * width))
    corners = part[:rows, :columns], part[:rows, -columns:]
    return 2 * max(map(np.count_nonzero, corners)) < rows * columns


def _hull(view):
    """What lies within the straight lines along a part, of all `NORMALS` and their mirror images.

    It is the convex hull, or up to half a percent of its width more.
    """
    x, y = np.arange(view.shape[1]), np.flatnonzero(view.any(1))
    first, last = view[y].argmax(1), x[-1] - view[y, ::-1].argmax(1)
    left, right = np.zeros_like(y), np.full_like(y, x[-1])
    for across, down in NORMALS:
        right = np.minimum(right, ((across * last + down * y).max() - down * y) // across)
        left = np.maximum(left, -(((down * y - across * first).max() - down * y) // across))
    whole = np.zeros_like(view)
    whole[y] = (left[:, None] <= x) & (x <= right[:, None])
    return whole


def _rectangles(grey, view):
    """Yields the boxes of a part, their sides where what is lit begins and ends.

    What grew together may be two views, or a view and the text beside it: gaps part them.
    """
    left, top, width, height = cv2.boundingRect(view.astype(np.uint8))
    lit = grey > _background(grey) + NOISE
    # deep tissue is dark, so columns are judged by their upper half
    columns = lit[top : top + max(1, height // 2)].mean(0)
    stretches = _stretches(columns, left, left + width, COLUMN_GAP)
    if len(stretches) > MOST_VIEWS:
        stretches = [(left, left + width)]
    widest = max(last - first for first, last in stretches)
    for first, last in stretches:
        if LEAST_SHARE * (last - first) < widest:
            continue
        rows = lit[:, first:last].mean(1)
        upper, lower = max(
            _stretches(rows, top, top + height, ROW_GAP), key=lambda ends: ends[1] - ends[0]
        )
        yield first, upper, last - first, lower - upper


def _background(grey):
    """The grey level of the surround: that of most of the picture's outermost pixels."""
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    level = int(np.median(rim))
    return level if np.mean(rim == level) > 0.5 else 0


def _stretches(profile, first, last, gap):
    """Stretches of a profile from `first` to `last` without a gap, as list of `(start, end)`."""
    start, end = max(0, first - WINDOW_PX), min(len(profile), last + WINDOW_PX)
    usual = np.median(profile[first:last])
    low = profile[start:end] < gap * usual
    gaps = np.convolve(low, [1, 1])[1:] > 1  # two lines in a row
    edges = np.flatnonzero(np.diff(np.r_[0, ~(gaps | np.r_[False, gaps[:-1]]), 0]))
    found = []
    for a, b in start + edges.reshape(-1, 2):
        lit = a + np.flatnonzero(profile[a:b] >= LIT * usual)
        if len(lit):
            found.append((int(lit[0]), int(lit[-1]) + 1))
    return found or [(first, last)]


def _find_seam(grey):
    """The column at which a second view begins, or `None`.

    Across it the speckle of neighbouring columns is unlike, and layers do not go on.
    """
    height, width = grey.shape
    if min(height, width) < LEAST_SIDE_PX:
        return None
    grey = grey.astype(np.float32)
    layers = cv2.blur(grey, (1, 15))
    speckle = grey - layers
    before, after = speckle[:, 1:-2], speckle[:, 3:]
    norm = np.sqrt((before**2).sum(0) * (after**2).sum(0)) + 1e-6
    correlation = (before * after).sum(0) / norm  # of columns x + 1 and x + 3
    step = np.abs(layers[:, 3:] - layers[:, :-3]).mean(0)
    step /= np.median(step) + 1e-6
    likely = (correlation <= _SEAM_CORRELATION) & (step >= _SEAM_STEP)
    margin = int(_SEAM_MARGIN * width)
    likely[:margin] = likely[-margin:] = False
    if not likely.any():
        return None
    return int(np.argmax(np.where(likely, step - 2 * correlation, -np.inf))) + 2


def _box(side):
    return np.ones((side, side), np.uint8)
