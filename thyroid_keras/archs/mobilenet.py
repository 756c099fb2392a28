"""MobileNet (Howard et al. 2017, arXiv:1704.04861) and MobileNet-V2 (Sandler et al. 2018)."""

import keras

from thyroid_keras.archs.imagenet import IMAGE_SHAPE, begin, check_head, classify
from thyroid_keras.archs.pretrained import read_arrays, require, start_from

NAMES = {1: "MobileNet", 2: "MobileNetV2"}  # in keras.applications


def mobilenet(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    version=1,
    alpha=1.0,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds MobileNet: the convolutions of `keras.applications.MobileNet`, and a head.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        version: 1, or 2: `keras.applications.MobileNetV2`.
        alpha: float > 0, the width of every layer as a share of the paper's.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, of a `.weights.h5` file of this very network, or of an
            `.npz` file of arrays by layer; `"imagenet"`: Keras's own, for the widths that
            it publishes. See `archs.pretrained.start_from`.
        head: `"standard"` and `"cam"`: global average, then the classifier; `"new_fc"`: 256
            units on the flattened features (see `archs.imagenet.classify`).
        normalization: `None`: the network takes images in [-1, 1], as its weights ask;
            `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`).

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. Layers are named as in
        `keras.applications`, the classifier `logits`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Howard et al. 2017, Table 1; version 2: Sandler et al. 2018,
        arXiv:1801.04381, Table 2.
    """
    if version not in NAMES:
        raise ValueError(f"`version` must be 1 or 2. Received: version={version!r}")
    if not alpha > 0:
        raise ValueError(f"`alpha` must be above 0. Received: alpha={alpha}")
    check_head(num_classes, head)
    require("mobilenet", weights)
    image, x = begin(image_shape, normalization)
    application = getattr(keras.applications, NAMES[version])
    base = application(include_top=False, weights=None, input_tensor=x, alpha=alpha)
    model = keras.Model(image, classify(base.output, num_classes, head), name="mobilenet")

    def published():
        shape = (*image_shape[:2], 3)
        source = application(include_top=False, input_shape=shape, alpha=alpha)
        return {layer.name: layer.get_weights() for layer in source.layers}

    return start_from(model, weights, published)


def width_of(weights):
    """Returns the width of the MobileNet whose arrays a file holds, by its first convolution.

    Args:
        weights: path of an `.npz` file; for anything else the width is 1.

    Raises:
        ModelError: if the file is damaged.
    """
    if not str(weights).endswith(".npz"):
        return 1.0
    first = read_arrays(weights).get("conv1")
    return 1.0 if first is None else first[0].shape[-1] / 32
