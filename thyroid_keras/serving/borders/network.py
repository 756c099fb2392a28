"""`borders.BorderRemover.find` in TensorFlow: the same pixels."""

import tensorflow as tf

from thyroid_keras.borders.remover import LEAST_SECTOR, PARTS, SECTOR_AT, TEXT_AT
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.serving.borders.overlay import find_colours
from thyroid_keras.serving.borders.parts import find_parts
from thyroid_keras.serving.decode import as_channels
from thyroid_keras.serving.resize import resize


def find_by_network(image, network):
    """Finds sector and text of a picture.

    Args:
        image: uint8 `(H, W, 3)`.
        network: `keras.Model` with the outputs `sector` and `text`, its normalisations
            folded.

    Returns:
        `(sector, overlay)`, two bool `(H, W)`.
    """
    _, *size, channels = network.input_shape
    shape = tf.unstack(tf.shape(image, out_type=tf.int64)[:2])
    grey = tf.repeat(resize(as_channels(1, image), size), channels, axis=2)
    found = network(tf.cast(grey, tf.float32)[None] * GREY_LEVEL, training=False)
    sector, text = (
        tf.cast(tf.round(255 * found[name][0, ..., 0]), tf.uint8) for name in ("sector", "text")
    )
    sector = resize(_whole_parts(sector)[..., None], shape)[..., 0] >= SECTOR_AT
    text = resize(text[..., None], shape)[..., 0] >= TEXT_AT
    return sector, text | find_colours(image, sector)


def _whole_parts(levels):
    """Levels of the sector without holes and specks; everything where nothing was found."""
    inside = levels >= SECTOR_AT
    parts, count = find_parts(inside)
    rim = tf.concat([parts[0], parts[-1], parts[:, 0], parts[:, -1]], 0)
    around = tf.math.unsorted_segment_sum(tf.ones_like(rim), rim, count)
    filled = inside | (tf.gather(around, parts) == 0)
    parts, count = find_parts(filled)
    areas = tf.math.unsorted_segment_sum(tf.cast(filled, tf.int32), parts, count)
    kept = filled & (PARTS * tf.gather(areas, parts) >= tf.reduce_max(areas))
    cleaned = tf.where(kept & ~inside, 255, tf.where(inside & ~kept, 0, tf.cast(levels, tf.int32)))
    is_found = LEAST_SECTOR * tf.math.count_nonzero(kept, dtype=tf.int32) >= tf.size(kept)
    return tf.cast(tf.where(is_found, cleaned, 255), tf.uint8)
