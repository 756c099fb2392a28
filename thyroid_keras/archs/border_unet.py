"""A small U-net that finds the ultrasound sector of a picture, and what is written over it."""

import keras
from keras import layers

from thyroid_keras.archs.blocks import CONV, conv_bn_relu, conv_stack

STAGE_FILTERS = (16, 24, 32, 48, 64)
TEXT_BIAS = -4.0  # logit of the usual share of text, lest it be learnt from empty masks first


def border_unet(image_shape=(256, 352, 1), num_classes=2, *, stage_filters=STAGE_FILTERS):
    """Builds the border network.

    Args:
        image_shape: `(H, W, channels)`, H and W multiples of 2 to the number of stages.
        num_classes: accepted for uniformity: there are no classes.
        stage_filters: filters of the stages, at least two, the first at half the size of
            the image and each of the others at half that of the one before.

    Returns:
        `keras.Model` from images in [0, 1] to a dict of float32 probabilities, each
        `(B, H, W, 1)`: `sector`, that there is ultrasound; `text`, that something is
        written or drawn there.

    Raises:
        ValueError: if a side does not fit the stages, or there are fewer than two.

    Reference: the FAN paper removes borders by a small CNN, of which it says no more.
        Deviation: all is decided here; a U-net with bilinear upsampling and one
        convolution per decoder stage, none at full size, where they cost most.
    """
    stride = 2 ** len(stage_filters)
    if len(stage_filters) < 2:
        raise ValueError(
            "`stage_filters` must hold two numbers or more. "
            f"Received: stage_filters={stage_filters}"
        )
    if any(side < stride or side % stride for side in image_shape[:2]):
        raise ValueError(
            f"`image_shape` must have sides that are multiples of {stride} for "
            f"{len(stage_filters)} stages. Received: image_shape={image_shape}"
        )
    image = keras.Input(image_shape, name="image")
    x = layers.Conv2D(stage_filters[0], 4, strides=2, padding="same", name="stem", **CONV)(image)
    x = layers.ReLU(name="stem_relu")(x)
    taps = [x]
    for stage, filters in enumerate(stage_filters[1:], 2):
        x = layers.MaxPooling2D(2, name=f"pool{stage - 1}")(x)
        x = conv_stack(x, filters, 2, name=f"stage{stage}")
        taps.append(x)
    for stage in range(len(stage_filters) - 1, 0, -1):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{stage}")(x)
        x = layers.Concatenate(name=f"join{stage}")([x, taps[stage - 1]])
        x = conv_bn_relu(x, stage_filters[stage - 1], name=f"decoder{stage}")
    outputs = {"sector": _head(x, "sector", 0.0), "text": _head(x, "text", TEXT_BIAS)}
    return keras.Model(image, outputs, name="border_unet")


def _head(x, name, bias):
    return layers.Conv2DTranspose(
        1,
        4,
        strides=2,
        padding="same",
        activation="sigmoid",
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
        dtype="float32",
    )(x)
