"""Alexnet-Seg: an AlexNet that learns to outline before it learns to name."""

import keras
from keras import layers

from thyroid_keras.archs.blocks import CONV, MOMENTUM, conv_bn_relu
from thyroid_keras.layers.batch_norm import BatchNorm

STAGE_FILTERS = (96, 256, 384, 384, 256)
UNITS = 4096
KERNEL_SIZES = (11, 5, 3, 3, 3)
POOLED = (1, 2, 5)  # the stages with a pooling behind
STRIDE = 4  # of the first convolution
FLOAT32 = {"dtype": "float32"}


def alexnet_seg(
    image_shape=(192, 192, 1),
    num_classes=2,
    *,
    stage_filters=STAGE_FILTERS,
    units=UNITS,
    mask_bias=-3.0,
):
    """Builds Alexnet-Seg: AlexNet, and a mirrored decoder that draws the calcifications.

    Args:
        image_shape: `(H, W, channels)`, H and W multiples of 32.
        num_classes: int >= 2, the width of `label`.
        stage_filters: five ints, the filters of the convolutions.
        units: int >= 1, of either fully connected layer.
        mask_bias: float, the initial bias of the mask (logit of the prior share of its
            pixels).

    Returns:
        `keras.Model` from images in [0, 1] to a dict of float32 probabilities: `mask`
        `(B, H, W, 1)` and `label` `(B, num_classes)`. The encoder's layers begin with
        `stage` and `pool`, the decoder's with `decoder`.

    Raises:
        ValueError: if an argument is out of range.

    Reference: Wang et al., CS-AGnet, Sec. 1, on their reference 11 ("layer-wise up-pooling
        and de-convolution"); Krizhevsky et al. 2012, Sec. 3.5, for the encoder.
    Deviation: neither code nor numbers of Alexnet-Seg are public. Decided here: same
        padding, which leaves 6x6 places of 192 px as AlexNet's own leaves of 227; one
        group; batch normalisation for the response normalisation; up-pooling repeats each
        value, since no Keras operation tells where a maximum was; the decoder mirrors the
        encoder, without skips, and its last deconvolution is the mask.
    """
    _check(image_shape, num_classes, stage_filters, units)
    x = image = keras.Input(image_shape, name="image")
    for s, (filters, kernel_size) in enumerate(zip(stage_filters, KERNEL_SIZES, strict=True), 1):
        conv = CONV | ({"strides": STRIDE} if s == 1 else {})
        x = conv_bn_relu(x, filters, kernel_size=kernel_size, name=f"stage{s}", conv=conv)
        if s in POOLED:
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{s}")(x)
    outputs = {"mask": _decoder(x, stage_filters, mask_bias)}
    x = layers.Flatten(name="flatten")(x)
    for i in (1, 2):
        x = layers.Dense(units, activation="relu", name=f"fc{i}")(x)
        x = layers.Dropout(0.5, name=f"drop{i}")(x)
    outputs["label"] = layers.Dense(num_classes, activation="softmax", name="label", **FLOAT32)(x)
    return keras.Model(image, outputs, name="alexnet_seg")


def _decoder(x, stage_filters, mask_bias):
    """The encoder from its end to its beginning: up-pooling for pooling, and so on."""
    for s in range(5, 1, -1):
        if s in POOLED:
            x = layers.UpSampling2D(2, name=f"decoder{s}_unpool")(x)
        x = layers.Conv2DTranspose(
            stage_filters[s - 2], KERNEL_SIZES[s - 1], padding="same", name=f"decoder{s}", **CONV
        )(x)
        x = BatchNorm(momentum=MOMENTUM, name=f"decoder{s}_bn")(x)
        x = layers.ReLU(name=f"decoder{s}_relu")(x)
    x = layers.UpSampling2D(2, name="decoder1_unpool")(x)
    return layers.Conv2DTranspose(
        1,
        KERNEL_SIZES[0],
        strides=STRIDE,
        padding="same",
        activation="sigmoid",
        bias_initializer=keras.initializers.Constant(mask_bias),
        name="decoder1",
        **FLOAT32,
    )(x)


def _check(image_shape, num_classes, stage_filters, units):
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2. Received: num_classes={num_classes}")
    height, width, _ = image_shape
    if height % 32 or width % 32 or not height or not width:
        raise ValueError(
            "`image_shape` must have sides that are multiples of 32. "
            f"Received: image_shape={image_shape}"
        )
    if len(stage_filters) != len(STAGE_FILTERS) or min(stage_filters) < 1:
        raise ValueError(
            "`stage_filters` must be five ints of at least 1. "
            f"Received: stage_filters={stage_filters}"
        )
    if units < 1:
        raise ValueError(f"`units` must be at least 1. Received: units={units}")
