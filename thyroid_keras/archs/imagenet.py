"""What the networks known from ImageNet have in common."""

import keras
from keras import initializers, layers, ops

from thyroid_keras.archs.blocks import MOMENTUM
from thyroid_keras.layers.batch_norm import BatchNorm

HEADS = ("standard", "cam", "new_fc")
NORMALIZATIONS = (None, "torch", "caffe", "tf")
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green, blue
MEAN_BGR = (103.939, 116.779, 123.68)  # of 255
LEAST_SIDE = 32  # five halvings leave a pixel of it
EPSILON = 1e-5
IMAGE_SHAPE = (224, 224, 3)
FLOAT32 = {"dtype": "float32"}


def he_fan_out():
    """He et al.'s initial weights by what a convolution puts out, as torchvision's."""
    return initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def conv(x, filters, kernel_size, stride=1, *, name):
    """Convolution without bias, padded as in PyTorch."""
    padded = kernel_size > 1 and stride > 1  # where Keras's "same" pads one side alone
    if padded:
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        stride,
        padding="valid" if padded else "same",
        use_bias=False,
        kernel_initializer=he_fan_out(),
        name=name,
    )(x)


def norm(x, *, relu=True, epsilon=EPSILON, name):
    """Batch normalisation with PyTorch's constants, and ReLU."""
    x = BatchNorm(momentum=MOMENTUM, epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def begin(image_shape, normalization):
    """The input of a network, and its image as the rest of the network takes it.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        normalization: `None`: the image as it is; else the image is in [0, 1], a grey one
            is made three channels, and `"torch"` subtracts ImageNet's mean and divides by
            its SD, `"caffe"` turns 255 times the image to blue, green, red and subtracts
            the mean, `"tf"` brings it to [-1, 1].

    Returns:
        `(image, x)`.

    Raises:
        ValueError: if a side is too small, or the name unknown.
    """
    if min(image_shape[:2]) < LEAST_SIDE:
        raise ValueError(
            f"`image_shape` must have sides of at least {LEAST_SIDE}, which five halvings leave a "
            f"pixel of. Received: image_shape={image_shape}"
        )
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"`normalization` must be one of {NORMALIZATIONS}. "
            f"Received: normalization={normalization!r}"
        )
    x = image = keras.Input(image_shape, name="image")
    if normalization is None:
        return image, x
    if image_shape[-1] == 1:
        x = layers.Concatenate(name="rgb", **FLOAT32)([x, x, x])
    if normalization == "caffe":
        offset = [-m for m in MEAN_BGR]
        return image, layers.Rescaling(255, offset, name="caffe", **FLOAT32)(ops.flip(x, axis=-1))
    if normalization == "tf":
        return image, layers.Rescaling(2, -1, name="tf", **FLOAT32)(x)
    scale = [1 / sd for sd in SD]
    offset = [-m / sd for m, sd in zip(MEAN, SD, strict=True)]
    return image, layers.Rescaling(scale, offset, name="torch", **FLOAT32)(x)


def check_head(num_classes, head):
    """Raises ValueError if there is no such head."""
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be at least 1. Received: num_classes={num_classes}")
    if head not in HEADS:
        raise ValueError(f"`head` must be one of {HEADS}. Received: head={head!r}")


def classify(features, num_classes, head, *, dropout=0.0):
    """Logits `(B, num_classes)`, float32, from the last features `(B, h, w, C)`.

    `"new_fc"`: flattened, 256 units, ReLU, dropout of a half; else the global average,
    behind which `"standard"` has the given dropout.
    """
    if head == "new_fc":
        x = layers.Flatten(name="flatten")(features)
        x = layers.Dense(256, activation="relu", name="fc")(x)
        x = layers.Dropout(0.5, name="drop")(x)
    else:
        x = layers.GlobalAveragePooling2D(name="gap", **FLOAT32)(features)
        if dropout and head == "standard":
            x = layers.Dropout(dropout, name="drop", **FLOAT32)(x)
    return layers.Dense(num_classes, name="logits", **FLOAT32)(x)
