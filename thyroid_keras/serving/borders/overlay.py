"""`data.borders.overlay` in TensorFlow: the same pixels."""

import tensorflow as tf

from thyroid_keras.data.borders.overlay import (
    ALONE,
    BRIGHT,
    COLOURED,
    DOPPLER,
    HALO_PX,
    HIGHEST,
    LEAST_HEIGHT,
    LEAST_PIXELS,
    LINE_GAP,
    MOST_LETTERS,
    MOST_TEXT,
    NEAR_PX,
    SHARP,
    STROKE_PX,
    TINGED,
    USUAL_HEIGHT,
)
from thyroid_keras.serving.borders.parts import find_parts


def find_overlay(image, grey, sector):
    """Finds text and calipers inside the sector, by colour and by strokes too sharp for it.

    Args:
        image: uint8 `(H, W, 3)`.
        grey: the same, uint8 `(H, W)`.
        sector: bool `(H, W)`.

    Returns:
        bool `(H, W)`.
    """
    strokes = tf.cast(_strokes(grey), tf.uint8)
    for axis in (0, 1):
        strokes = _highest(strokes, HALO_PX, axis)
    return (strokes > 0) & sector | find_colours(image, sector)


def find_colours(image, sector):
    """`data.borders.find_colours`."""
    red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=-1)
    highest = tf.maximum(tf.maximum(red, green), blue)
    spread = highest - tf.minimum(tf.minimum(red, green), blue)
    strong = (spread >= COLOURED) & sector
    many, whole = (tf.cast(tf.math.count_nonzero(mask), tf.float64) for mask in (strong, sector))

    def drawn():
        planes = tf.cast(strong, tf.float32)[None, ..., None]
        near = tf.nn.max_pool2d(planes, NEAR_PX, 1, "SAME")[0, ..., 0] > 0
        return near & (spread >= TINGED) & sector

    is_drawn = (many > 0) & (many <= DOPPLER * whole)
    return tf.cond(is_drawn, drawn, lambda: tf.zeros_like(sector))


def _strokes(grey):
    sharp = _stands_out(grey, STROKE_PX // 2, axes=[1])
    bright = _stands_out(grey, STROKE_PX - 1, axes=[0, 1]) & (grey >= BRIGHT)
    bright &= MOST_TEXT * tf.math.count_nonzero(bright, dtype=tf.int32) <= tf.size(grey)
    numbers, _ = find_parts(bright, diagonals=True)
    at = tf.cast(tf.where(bright), tf.int32)
    y, x = at[:, 0], at[:, 1]
    parts, number = tf.unique(tf.gather_nd(numbers, at))
    count = tf.size(parts)
    (left, right), (top, bottom) = (
        (
            tf.math.unsorted_segment_min(values, number, count),
            tf.math.unsorted_segment_max(values, number, count) + 1,
        )
        for values in (x, y)
    )
    widths, heights = right - left, bottom - top
    areas, sharp_areas = (
        tf.math.unsorted_segment_sum(tf.cast(values, tf.int32), number, count)
        for values in (tf.ones_like(number), tf.gather_nd(sharp, at))
    )
    share = tf.cast(sharp_areas, tf.float64) / tf.cast(areas, tf.float64)
    low = heights <= tf.maximum(USUAL_HEIGHT, tf.shape(grey)[0] // HIGHEST)
    letters = low & (heights >= LEAST_HEIGHT) & (widths <= 2 * heights)
    letters &= (share >= ALONE / 2) & (areas >= LEAST_PIXELS)
    kept = letters & (share >= ALONE) & (widths >= LEAST_HEIGHT)
    chosen = tf.cast(tf.where(letters), tf.int32)
    boxes = [tf.gather_nd(side, chosen) for side in (left, top, right, bottom)]
    in_line = tf.cond(
        tf.shape(chosen)[0] <= MOST_LETTERS,
        lambda: _in_line(*boxes),
        lambda: tf.zeros_like(boxes[0], tf.bool),
    )
    kept |= tf.scatter_nd(chosen, tf.cast(in_line, tf.int32), tf.shape(letters)) > 0
    taken = tf.boolean_mask(at, tf.gather(kept, number))
    return tf.scatter_nd(taken, tf.ones_like(taken[:, 0]), tf.shape(grey)) > 0


def _in_line(left, top, right, bottom):
    """Which of the parts that may be letters have another beside them."""
    height = bottom - top
    apart = tf.maximum(left - right[:, None], left[:, None] - right)
    overlap = tf.minimum(bottom, bottom[:, None]) - tf.maximum(top, top[:, None])
    reach = LINE_GAP * tf.cast(height, tf.float64)[:, None]
    beside = tf.cast(apart, tf.float64) <= reach
    beside &= 2 * overlap >= tf.minimum(height, height[:, None])
    return tf.reduce_any(beside & ~tf.eye(tf.size(left), dtype=tf.bool), 1)


def _stands_out(grey, reach, axes):
    """Where grey levels are `SHARP` above all that is wider: a top-hat transform."""
    ground = 255 - grey
    for axis in axes:
        ground = _highest(ground, reach, axis)
    ground = 255 - ground
    for axis in axes:
        ground = _highest(ground, reach, axis)
    return grey - ground >= SHARP


def _highest(values, reach, axis):
    """The highest of the values uint8 that lie so near along an axis."""
    length = tf.shape(values)[axis]
    values = tf.pad(values, [[reach, reach] if a == axis else [0, 0] for a in (0, 1)])
    highest = tf.zeros([], tf.uint8)
    for step in range(2 * reach + 1):
        part = values[step : step + length] if axis == 0 else values[:, step : step + length]
        highest = tf.maximum(highest, part)
    return highest
