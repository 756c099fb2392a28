"""`data.borders.removal.fill` in TensorFlow: the same pixels."""

import tensorflow as tf

from thyroid_keras.data.borders.removal import FILL_PX, MOST_LAYERS


def fill(image, known, hole):
    """Fills a hole layer by layer; of each its own pixels are summed about, no others.

    Args:
        image: uint8 `(H, W, 3)`.
        known, hole: bool `(H, W)`, apart from each other.

    Returns:
        uint8 `(H, W, 3)`.
    """
    reach = FILL_PX // 2
    known = tf.cast(known, tf.int32)[..., None]
    whole = tf.reduce_sum(tf.cast(image, tf.int64) * tf.cast(known, tf.int64), [0, 1])
    pixels = tf.reduce_sum(tf.cast(known, tf.int64))
    mean = tf.cast((2 * whole + pixels) // tf.maximum(2 * pixels, 1), tf.int32)
    # with a fourth channel that says what is known, and a rim, lest windows leave the picture
    planes = tf.concat([tf.cast(image, tf.int32) * known, known], -1)
    planes = tf.pad(planes, [[reach, reach], [reach, reach], [0, 0]])
    shape = tf.shape(planes)
    width = shape[1]
    left = tf.cast(tf.where(hole), tf.int32) + reach
    left = left[:, 0] * width + left[:, 1]

    def window(values, centres, reach):
        """Sums over the squares about pixels, a place of the square after the other."""
        steps = range(-reach, reach + 1)
        return sum(tf.gather(values, centres + y * width + x) for y in steps for x in steps)

    def step(planes, left, filled):
        near = window(planes[:, 3], left, 1) > 0
        layer = left[near]
        total = window(planes, layer, reach)
        count = total[:, 3:]
        means = (2 * total[:, :3] + count) // tf.maximum(2 * count, 1)
        pixels = tf.concat([means, tf.ones_like(count)], -1)
        planes = tf.tensor_scatter_nd_update(planes, layer[:, None], pixels)
        return planes, left[~near], tf.size(layer)

    planes, left, _ = tf.while_loop(
        lambda planes, left, filled: (filled > 0) & (tf.size(left) > 0),
        step,
        (tf.reshape(planes, [-1, 4]), left, 1),
        shape_invariants=(tf.TensorShape([None, 4]), tf.TensorShape([None]), tf.TensorShape([])),
        maximum_iterations=MOST_LAYERS,
    )
    rest = tf.repeat(tf.concat([mean, [1]], 0)[None], tf.size(left), axis=0)
    planes = tf.tensor_scatter_nd_update(planes, left[:, None], rest)
    planes = tf.reshape(planes, shape)[reach:-reach, reach:-reach, :3]
    return tf.cast(planes, tf.uint8)
