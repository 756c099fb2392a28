"""`borders.BorderRemover` inside the graph: the same pixels, in TensorFlow."""

import tensorflow as tf

from thyroid_keras.borders.remover import LEAST_SECTOR, PARTS, SECTOR_AT, TEXT_AT
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.borders.overlay import COLOURED, DOPPLER, NEAR_PX, TINGED
from thyroid_keras.data.borders.removal import FILL_PX, MOST_LAYERS
from thyroid_keras.serving.decode import as_channels
from thyroid_keras.serving.resize import resize


def remove_borders(image, network):
    """Blackens what surrounds the ultrasound, and fills what is written over it.

    Args:
        image: uint8 `(H, W, 3)`, H and W dynamic; grey as three equal channels.
        network: `keras.Model` with the outputs `sector` and `text`, its normalisations
            folded.

    Returns:
        uint8 `(H, W, 3)`.
    """
    _, *size, channels = network.input_shape
    image = tf.ensure_shape(image, (None, None, 3))
    shape = tf.unstack(tf.shape(image, out_type=tf.int64)[:2])
    grey = tf.repeat(resize(as_channels(1, image), size), channels, axis=2)
    found = network(tf.cast(grey, tf.float32)[None] * GREY_LEVEL, training=False)
    sector, text = (
        tf.cast(tf.round(255 * found[name][0, ..., 0]), tf.uint8) for name in ("sector", "text")
    )
    sector = resize(_whole_parts(sector)[..., None], shape)[..., 0] >= SECTOR_AT
    text = resize(text[..., None], shape)[..., 0] >= TEXT_AT
    overlay = text | _colours(image, sector)
    return _fill(image, sector & ~overlay, sector & overlay)


def _whole_parts(levels):
    """Levels of the sector without holes and specks; everything where nothing was found."""
    inside = levels >= SECTOR_AT
    parts = _parts(inside)
    rim = tf.concat([parts[0], parts[-1], parts[:, 0], parts[:, -1]], 0)
    around = tf.scatter_nd(rim[:, None], tf.ones_like(rim), [tf.size(parts)])
    filled = inside | (tf.gather(around, parts) == 0)
    parts = _parts(filled)
    counted = tf.reshape(tf.cast(filled, tf.int32), [-1])
    areas = tf.math.unsorted_segment_sum(counted, tf.reshape(parts, [-1]), tf.size(parts))
    kept = filled & (PARTS * tf.gather(areas, parts) >= tf.reduce_max(areas))
    cleaned = tf.where(kept & ~inside, 255, tf.where(inside & ~kept, 0, tf.cast(levels, tf.int32)))
    is_found = LEAST_SECTOR * tf.math.count_nonzero(kept, dtype=tf.int32) >= tf.size(kept)
    return tf.cast(tf.where(is_found, cleaned, 255), tf.uint8)


def _parts(mask):
    """Numbers the parts of a mask, and of what is not in it, that hang together by their sides.

    A part has the number of one of its pixels, which spreads along rows and columns until
    nothing changes.
    """
    rows, columns = _runs(mask), _runs(tf.transpose(mask))

    def spread(parts, changing):
        wider = _highest(parts, rows)
        wider = tf.transpose(_highest(tf.transpose(wider), columns))
        return wider, tf.reduce_any(wider != parts)

    start = tf.reshape(tf.range(tf.size(mask)), tf.shape(mask))
    return tf.while_loop(lambda parts, changing: changing, spread, (start, True))[0]


def _runs(mask):
    """Numbers the stretches of equal pixels of each row, in the order of the pixels."""
    begins = tf.pad(mask[:, 1:] != mask[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    return tf.cumsum(tf.cast(tf.reshape(begins, [-1]), tf.int32)) - 1


def _highest(numbers, runs):
    highest = tf.math.segment_max(tf.reshape(numbers, [-1]), runs)
    return tf.reshape(tf.gather(highest, runs), tf.shape(numbers))


def _colours(image, sector):
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


def _fill(image, known, hole):
    """`data.borders.removal.fill`: of each layer its own pixels are summed about, no others."""
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
