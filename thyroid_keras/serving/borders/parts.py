"""Which pixels of a mask hang together."""

import tensorflow as tf


def find_parts(mask, *, diagonals=False):
    """Numbers the parts of a mask, and of what is not in it, that hang together by their sides.

    Stretches of rows find the lowest number that they are joined to, each asking those that
    it has found so far: some twenty rounds, whatever the mask (Zhang, Azad and Hu, FastSV,
    2020).

    Args:
        mask: bool `(H, W)`.
        diagonals: whether pixels of the mask hang together by their corners as well.

    Returns:
        `(numbers, count)`: int32 `(H, W)` in [0, count), not all of which need be there.
    """
    begins = tf.pad(mask[:, 1:] != mask[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    runs = tf.cumsum(tf.cast(tf.reshape(begins, [-1]), tf.int32)) - 1
    count = runs[-1] + 1
    runs = tf.reshape(runs, tf.shape(mask))
    # a pair of runs where the first of their neighbouring pixels are
    joined = (mask[1:] == mask[:-1]) & (begins[1:] | begins[:-1])
    pairs = [(runs[:-1], runs[1:], joined)]
    if diagonals:
        a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
        pairs.append((runs[:-1, :-1], runs[1:, 1:], a & d & ~b & ~c))
        pairs.append((runs[:-1, 1:], runs[1:, :-1], b & c & ~a & ~d))
    one = tf.concat([tf.boolean_mask(upper, where) for upper, _, where in pairs], 0)
    other = tf.concat([tf.boolean_mask(lower, where) for _, lower, where in pairs], 0)

    def ask(found, changing):
        farther = tf.gather(found, found)
        lowest = tf.minimum(tf.gather(farther, one), tf.gather(farther, other))
        told = tf.concat([tf.gather(found, one), tf.gather(found, other), one, other], 0)
        lower = tf.tensor_scatter_nd_min(farther, told[:, None], tf.tile(lowest, [4]))
        return lower, tf.reduce_any(lower != found)

    found, _ = tf.while_loop(lambda found, changing: changing, ask, (tf.range(count), True))
    return tf.gather(found, runs), count
