"""`data.resize` inside the graph: the same whole numbers, the same pixels."""

import tensorflow as tf

_MOST_ROWS = 2**22  # whose sums, and twice as much, are below 2**31


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

    def shrunk(kind):
        values = tf.cast(image, kind)
        return _resized(values, (height, width), _area_sums, rows * columns)

    def grown():
        return _resized(image, (height, width), _bilinear_sums, 4 * height * width)

    same = (rows == height) & (columns == width)
    shrinks = (rows >= height) & (columns >= width)
    cases = [
        (same, lambda: image),
        (shrinks & (rows <= _MOST_ROWS), lambda: shrunk(tf.int32)),
        (shrinks, lambda: shrunk(tf.float64)),
    ]
    image = tf.case(cases, default=grown)
    static = [side if isinstance(side, int) else None for side in size]
    return tf.ensure_shape(image, (*static, None))


def _resized(image, size, along_rows, scale):
    sums = tf.transpose(along_rows(image, size[0]), [1, 0, 2])
    sums = along_rows(tf.cast(sums, tf.float64), size[1])
    # whole numbers below 2**53, which float64 adds up without rounding in any order, but a
    # quotient it rounds: taken to 2**-40 first, every tie is one again, and nothing else is,
    # for what misses a tie misses it by 1 / (2 scale)
    fine = tf.round(sums * (2.0**40 / tf.cast(scale, tf.float64)))
    return tf.transpose(tf.cast(tf.round(fine * 2.0**-40), tf.uint8), [1, 0, 2])


def _area_sums(image, length):
    """Sums of rows over `length` equal stretches, see `data.resize`."""
    rows = tf.shape(image, out_type=tf.int64)[0]
    edges = tf.range(length + 1, dtype=tf.int64) * rows
    stretch = (tf.range(1, rows + 1, dtype=tf.int64) * length - 1) // rows
    whole = tf.cast(length, image.dtype) * tf.math.segment_sum(image, stretch)
    cut_off = tf.cast(edges % length, image.dtype)[:, None, None]
    shared = cut_off * tf.gather(image, tf.minimum(edges // length, rows - 1))
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
