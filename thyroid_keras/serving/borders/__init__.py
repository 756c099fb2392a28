"""The removal of borders inside the graph: the same pixels as outside of it."""

import tensorflow as tf

from thyroid_keras.data.borders import remove_classical
from thyroid_keras.serving.borders.filling import fill
from thyroid_keras.serving.borders.network import find_by_network
from thyroid_keras.serving.borders.overlay import find_overlay
from thyroid_keras.serving.borders.sector import find_sector
from thyroid_keras.serving.decode import as_channels


def in_graph(clean):
    """Returns the function that does in a graph what `clean` does outside of it.

    Args:
        clean: `remove_classical` or a `borders.BorderRemover`.

    Returns:
        Function of a picture, uint8 `(H, W, 3)`, H and W dynamic, grey as three equal
        channels, to the same without borders.
    """

    def remove(image):
        image = tf.ensure_shape(image, (None, None, 3))
        if clean is remove_classical:
            sector, overlay = _find_classical(image)
        else:
            sector, overlay = find_by_network(image, clean.model)
        return fill(image, sector & ~overlay, sector & overlay)

    return remove


def _find_classical(image):
    grey = as_channels(1, image)[..., 0]
    sector = find_sector(grey)
    return sector, find_overlay(image, grey, sector)
