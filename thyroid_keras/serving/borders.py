"""`borders.BorderRemover` inside the graph: the same pixels, in TensorFlow."""

import tensorflow as tf

from thyroid_keras.borders.remover import MIN_SHARE, SECTOR_AT, TEXT_AT
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.borders.overlay import COLOURED, DOPPLER, NEAR_PX, TINGED
from thyroid_keras.data.borders.removal import FILL_PX
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
    kept = filled & (MIN_SHARE * tf.gather(areas, parts) >= tf.reduce_max(areas))
    cleaned = tf.where(kept & ~inside, 255, tf.where(inside & ~kept, 0, tf.cast(levels, tf.int32)))
    return tf.cast(tf.where(tf.reduce_any(kept), cleaned, 255), tf.uint8)


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
    spread = tf.cast(tf.reduce_max(image, -1) - tf.reduce_min(image, -1), tf.int32)
    strong = (spread >= COLOURED) & sector
    many, whole = (tf.cast(tf.math.count_nonzero(mask), tf.float64) for mask in (strong, sector))
    drawn = (many > 0) & (many <= DOPPLER * whole)
    return drawn & _widened(strong, NEAR_PX) & (spread >= TINGED) & sector


def _fill(image, known, hole):
    """`data.borders.fill`."""
    planes = tf.where(known[..., None], tf.cast(image, tf.float32), 0.0)

    def layer_of(known):
        return _widened(known, 3) & hole & ~known

    def step(planes, known, layer):
        count = _sums(tf.cast(known, tf.float32)[..., None])
        # whole numbers below 2**24, which float32 adds up without rounding in any order
        total, count = tf.cast(_sums(planes), tf.int32), tf.cast(count, tf.int32)
        means = tf.cast((2 * total + count) // tf.maximum(2 * count, 1), tf.float32)
        known |= layer
        return tf.where(layer[..., None], means, planes), known, layer_of(known)

    state = tf.while_loop(
        lambda planes, known, layer: tf.reduce_any(layer), step, (planes, known, layer_of(known))
    )
    return tf.cast(state[0], tf.uint8)


def _sums(planes):
    """Sums over the `FILL_PX` square about each pixel; nothing lies outside the picture."""
    for window in ((FILL_PX, 1), (1, FILL_PX)):
        ones = tf.ones((*window, planes.shape[-1], 1))
        planes = tf.nn.depthwise_conv2d(planes[None], ones, [1, 1, 1, 1], "SAME")[0]
    return planes


def _widened(mask, side):
    """A mask with all that lies in a square about one of its pixels."""
    planes = tf.cast(mask, tf.float32)[None, ..., None]
    return tf.nn.max_pool2d(planes, side, 1, "SAME")[0, ..., 0] > 0
