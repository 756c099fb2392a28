"""`data.resize` inside the graph: the same whole numbers, the same pixels."""

import tensorflow as tf


def resize(image, size):
    """Resizes an image to `size` = `(height, width)`, as `data.resize.resize` does.

    Args:
        image: uint8 `(H, W, C)`, H and W dynamic.
        size: `(height, width)`, ints or scalars int64.

    Returns:
        uint8 `(height, width, C)`.
    """
    height, width = (tf.convert_to_tensor(side, tf.int64) for side in size)
    rows, columns = tf.unstack(tf.shape(image, out_type=tf.int64)[:2])

    def shrunk():
        return _resized(image, (height, width), _area_sums, rows * columns)

    def grown():
        return _resized(image, (height, width), _bilinear_sums, 4 * height * width)

    same = (rows == height) & (columns == width)
    shrinks = (rows >= height) & (columns >= width)
    image = tf.case([(same, lambda: image), (shrinks, shrunk)], default=grown)
    static = [side if isinstance(side, int) else None for side in size]
    return tf.ensure_shape(image, (*static, None))


def _resized(image, size, along_rows, scale):
    sums = tf.transpose(along_rows(image, size[0]), [1, 0, 2])
    sums = tf.transpose(along_rows(sums, size[1]), [1, 0, 2])
    # whole numbers below 2**53, which float64 adds up without rounding in any order; a
    # quotient is rounded, and a tie may be taken for what it is not: the rest says
    scale = tf.cast(scale, tf.float64)
    nearest = tf.round(sums / scale)
    twice_rest = 2 * (sums - nearest * scale)
    odd = nearest - 2 * tf.floor(nearest / 2)
    up = (twice_rest > scale) | ((twice_rest == scale) & (odd == 1))
    down = (twice_rest < -scale) | ((twice_rest == -scale) & (odd == 1))
    return tf.cast(nearest + tf.cast(up, tf.float64) - tf.cast(down, tf.float64), tf.uint8)


def _area_sums(image, length):
    """Sums of rows over `length` equal stretches, see `data.resize`."""
    image = tf.cast(image, tf.float64)
    rows = tf.shape(image, out_type=tf.int64)[0]
    edges = tf.range(length + 1, dtype=tf.int64) * rows
    stretch = (tf.range(1, rows + 1, dtype=tf.int64) * length - 1) // rows
    whole = tf.cast(length, tf.float64) * tf.math.segment_sum(image, stretch)
    shared = _column(edges % length) * tf.gather(image, tf.minimum(edges // length, rows - 1))
    return whole - shared[:-1] + shared[1:]


def _bilinear_sums(image, length):
    """Rows interpolated at `length` positions, see `data.resize`."""
    last = tf.shape(image, out_type=tf.int64)[0] - 1
    position = (2 * tf.range(length, dtype=tf.int64) + 1) * (last + 1) - length
    below, weight = position // (2 * length), _column(position % (2 * length))
    lower = tf.gather(image, tf.clip_by_value(below, 0, last))
    upper = tf.gather(image, tf.clip_by_value(below + 1, 0, last))
    lower, upper = tf.cast(lower, tf.float64), tf.cast(upper, tf.float64)
    return (tf.cast(2 * length, tf.float64) - weight) * lower + weight * upper


def _column(values):
    return tf.cast(values, tf.float64)[:, None, None]
