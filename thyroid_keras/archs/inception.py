"""Inception-v3 (Szegedy et al. 2016, arXiv:1512.00567)."""

import keras
from keras import layers

from thyroid_keras.archs.imagenet import begin, check_head, classify
from thyroid_keras.archs.pretrained import require, start_from

LEAST_SIDE = 75
KINDS = {layers.Conv2D: "", layers.BatchNormalization: "_bn", layers.Activation: "_relu"}


def inception_v3(
    image_shape=(299, 299, 3),
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds Inception-v3: the convolutions of `keras.applications.InceptionV3`, and a head.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 75.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, of a `.weights.h5` file of this very network, or of an
            `.npz` file of arrays by layer; `"imagenet"`: Keras's own. See
            `archs.pretrained.start_from`.
        head: `"standard"` and `"cam"`: global average (the 2,048 "PreLogits"), then the
            classifier; `"new_fc"`: 256 units on the flattened features (see
            `archs.imagenet.classify`).
        normalization: `None`: the network takes images in [-1, 1], as its weights ask;
            `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`).

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. Convolutions are named `conv1`
        to `conv94`, blocks `mixed0` to `mixed10`, the classifier `logits`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Szegedy et al. 2016, Table 1, without the auxiliary classifier.
    """
    if min(image_shape[:2]) < LEAST_SIDE:
        raise ValueError(
            f"`image_shape` must have sides of at least {LEAST_SIDE}. "
            f"Received: image_shape={image_shape}"
        )
    check_head(num_classes, head)
    require("inception_v3", weights)
    image, x = begin(image_shape, normalization)
    base = keras.applications.InceptionV3(include_top=False, weights=None, input_tensor=x)
    number_layers(base)
    model = keras.Model(image, classify(base.output, num_classes, head), name="inception_v3")

    def published():
        source = number_layers(keras.applications.InceptionV3(include_top=False))
        return {layer.name: layer.get_weights() for layer in source.layers}

    return start_from(model, weights, published)


def number_layers(base):
    """Names layers by their place, where Keras counts on from network to network."""
    counts = dict.fromkeys(KINDS, 0)
    for layer in base.layers:
        if type(layer) in counts:
            counts[type(layer)] += 1
            layer.name = f"conv{counts[type(layer)]}{KINDS[type(layer)]}"
    return base
