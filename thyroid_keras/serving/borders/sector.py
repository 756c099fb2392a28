"""`data.borders.find_sector` in TensorFlow: the same pixels."""

import tensorflow as tf

from thyroid_keras.data.borders.sector import (
    COLUMN_GAP,
    CORNER,
    LEAST_AREA,
    LEAST_DEVIATION,
    LEAST_SHARE,
    LEAST_SIDE_PX,
    LIT,
    MOST_VIEWS,
    NOISE,
    NORMALS,
    OPENING,
    ROW_GAP,
    WINDOW_PX,
)
from thyroid_keras.serving.borders.parts import find_parts


def find_sector(grey):
    """Finds the ultrasound sector by its speckle.

    Args:
        grey: uint8 `(H, W)`.

    Returns:
        bool `(H, W)`; all of the picture where no sector stands out.
    """
    can_be_told = tf.reduce_min(tf.shape(grey)) >= LEAST_SIDE_PX
    nowhere = tf.zeros_like(grey, tf.bool)
    sector = tf.cond(can_be_told, lambda: _find_views(grey), lambda: nowhere)
    return sector | ~tf.reduce_any(sector)


def _find_views(grey):
    active = _is_active(grey)
    numbers, count = find_parts(active)
    areas = tf.math.unsorted_segment_sum(tf.cast(active, tf.int32), numbers, count)
    whole = tf.cast(tf.size(grey), tf.float64)
    is_view = tf.cast(areas, tf.float64) >= LEAST_AREA * whole
    views = tf.where(is_view & (LEAST_SHARE * areas >= tf.reduce_max(areas)))[:, 0]

    def add(i, sector):
        return i + 1, sector | _complete(grey, numbers == tf.cast(views[i], tf.int32))

    start = (0, tf.zeros_like(active))
    return tf.while_loop(lambda i, sector: i < tf.size(views), add, start)[1]


def _is_active(grey):
    """Where speckle covers enough."""
    height, width = tf.unstack(tf.shape(grey))
    side = tf.cast(tf.minimum(height, width), tf.float64) * OPENING
    reach = tf.maximum(3, tf.cast(tf.round(side), tf.int32)) // 2
    active = ~_widen(~_has_speckle(grey), WINDOW_PX // 2 - 1)
    closing = (2 * reach + 1) // 4 // 2
    active = ~_widen(~_widen(active, closing), closing)
    # a frame around it, lest what touches the edge be taken for thinner than it is
    frame = 2 * reach + 1
    rows, columns = (
        tf.clip_by_value(tf.range(-frame, length + frame), 0, length - 1)
        for length in (height, width)
    )
    framed = tf.gather(tf.gather(active, rows), columns, axis=1)
    framed = _widen(~_widen(~framed, reach), reach)
    return framed[frame:-frame, frame:-frame]


def _has_speckle(grey):
    """Whether grey levels vary in the window about each pixel, which is mirrored at the edges."""
    values, reach = tf.cast(grey, tf.int32), WINDOW_PX // 2
    for axis in (0, 1):
        length = tf.shape(grey)[axis]
        period = tf.maximum(2 * (length - 1), 1)
        at = tf.range(-reach, length + reach) % period
        values = tf.gather(values, tf.minimum(at, period - at), axis=axis)

    def total(values):
        rows, columns = tf.shape(grey)[0], tf.shape(grey)[1]
        values = sum(values[i : i + rows] for i in range(WINDOW_PX))
        return sum(values[:, i : i + columns] for i in range(WINDOW_PX))

    pixels = WINDOW_PX**2
    deviation = pixels * total(values**2) - total(values) ** 2
    return tf.cast(deviation, tf.float64) > (pixels * LEAST_DEVIATION) ** 2


def _widen(mask, reach):
    """The squares that reach so far about the pixels of a mask."""
    for axis in (0, 1):
        ends = [[reach + 1, reach] if a == axis else [0, 0] for a in (0, 1)]
        found = tf.cumsum(tf.pad(tf.cast(mask, tf.int32), ends), axis)
        width = 2 * reach + 1
        if axis == 0:
            mask = found[width:] != found[:-width]
        else:
            mask = found[:, width:] != found[:, :-width]
    return mask


def _complete(grey, view):
    """The rectangles or the fan that a part of speckle belongs to."""
    (top, bottom), (left, right) = (
        (tf.reduce_min(at), tf.reduce_max(at) + 1)
        for at in (tf.where(tf.reduce_any(view, axis)) for axis in (1, 0))
    )
    box = left, top, right, bottom
    rows, columns = (
        tf.maximum(tf.cast(tf.round(CORNER * tf.cast(length, tf.float64)), tf.int64), 1)
        for length in (bottom - top, right - left)
    )
    upper = view[top : top + rows]
    corners = upper[:, left : left + columns], upper[:, right - columns : right]
    filled = tf.reduce_max([tf.math.count_nonzero(corner) for corner in corners])
    is_fan = 2 * filled < rows * columns
    return tf.cond(is_fan, lambda: _hull(view, box), lambda: _rectangles(grey, box))


def _hull(view, box):
    """What lies within the straight lines along a part."""
    width = tf.shape(view, out_type=tf.int64)[1]
    _, top, _, bottom = box
    x, y = tf.range(width), tf.range(top, bottom)
    inside = view[top:bottom]
    first = tf.reduce_min(tf.where(inside, x, width), 1)
    last = tf.reduce_max(tf.where(inside, x, -1), 1)
    normals = tf.constant(NORMALS)

    def narrow(i, left, right):
        across, down = normals[i, 0], normals[i, 1] * y
        end = (tf.reduce_max(across * last + down) - down) // across
        start = -((tf.reduce_max(down - across * first) - down) // across)
        return i + 1, tf.maximum(left, start), tf.minimum(right, end)

    _, left, right = tf.while_loop(
        lambda i, left, right: i < len(NORMALS),
        narrow,
        (0, tf.zeros_like(y), tf.fill(tf.shape(y), width - 1)),
    )
    within = (left[:, None] <= x) & (x <= right[:, None])
    return tf.pad(within, [[top, tf.shape(view, out_type=tf.int64)[0] - bottom], [0, 0]])


def _rectangles(grey, box):
    """The boxes of a part, their sides where what is lit begins and ends."""
    left, top, right, bottom = box
    lit = tf.cast(grey, tf.int32) > _background(grey) + NOISE
    half = tf.maximum((bottom - top) // 2, 1)
    # deep tissue is dark, so columns are judged by their upper half
    stretches = _stretches(_share(lit[top : top + half], 0), left, right, COLUMN_GAP)
    are_views = tf.shape(stretches)[0] <= MOST_VIEWS
    stretches = tf.cond(are_views, lambda: stretches, lambda: tf.stack([left, right])[None])
    lengths = stretches[:, 1] - stretches[:, 0]
    stretches = tf.boolean_mask(stretches, LEAST_SHARE * lengths >= tf.reduce_max(lengths))
    height, width = tf.unstack(tf.shape(grey, out_type=tf.int64))
    x, y = tf.range(width), tf.range(height)[:, None]

    def add(i, upper, lower):
        first, last = stretches[i, 0], stretches[i, 1]
        found = _stretches(_share(lit[:, first:last], 1), top, bottom, ROW_GAP)
        longest = found[tf.argmax(found[:, 1] - found[:, 0])]
        here = (x >= first) & (x < last)
        return i + 1, tf.where(here, longest[0], upper), tf.where(here, longest[1], lower)

    nowhere = tf.zeros_like(x)
    _, upper, lower = tf.while_loop(
        lambda i, upper, lower: i < tf.shape(stretches)[0], add, (0, nowhere, nowhere)
    )
    return (y >= upper) & (y < lower)


def _background(grey):
    """The grey level of the surround: that of most of the picture's outermost pixels."""
    rim = tf.concat([grey[0], grey[-1], grey[:, 0], grey[:, -1]], 0)
    rim = tf.sort(tf.cast(rim, tf.int32))
    count = tf.size(rim)
    level = (rim[(count - 1) // 2] + rim[count // 2]) // 2
    most = 2 * tf.math.count_nonzero(rim == level, dtype=tf.int32) > count
    return tf.where(most, level, 0)


def _share(mask, axis):
    length = tf.cast(tf.shape(mask)[axis], tf.float64)
    return tf.cast(tf.math.count_nonzero(mask, axis), tf.float64) / length


def _stretches(profile, first, last, gap):
    """Stretches of a profile from `first` to `last` without a gap, int64 `(K, 2)`."""
    length = tf.size(profile, out_type=tf.int64)
    start, end = tf.maximum(first - WINDOW_PX, 0), tf.minimum(last + WINDOW_PX, length)
    usual = _median(profile[first:last])
    profile = profile[start:end]
    low = profile < gap * usual
    gaps = low & tf.concat([low[1:], [False]], 0)  # two lines in a row
    free = ~(gaps | tf.concat([[False], gaps[:-1]], 0))
    begins = free & ~tf.concat([[False], free[:-1]], 0)
    numbers = tf.cumsum(tf.cast(begins, tf.int64)) - 1
    lit = tf.where(free & (profile >= LIT * usual))[:, 0]
    _, numbers = tf.unique(tf.gather(numbers, lit))
    starts, ends = tf.math.segment_min(lit, numbers), tf.math.segment_max(lit, numbers) + 1
    found = start + tf.stack([starts, ends], 1)
    return tf.cond(tf.size(lit) > 0, lambda: found, lambda: tf.stack([first, last])[None])


def _median(values):
    values, count = tf.sort(values), tf.size(values)
    return (values[(count - 1) // 2] + values[count // 2]) / 2
