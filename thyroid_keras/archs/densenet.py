"""DenseNet (Huang et al. 2017, arXiv:1608.06993): FAN's DenseNet-40, and DenseNet-161."""

import keras
from keras import layers

from thyroid_keras.archs.imagenet import IMAGE_SHAPE, begin, check_head, classify, conv, norm
from thyroid_keras.archs.pretrained import require, start_from

STEMS = ("reduced", "full")


def densenet40(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
    stem="reduced",
):
    """Builds DenseNet-40 as FAN's Table 2 counts it: four blocks of nine layers, 12 each.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, of a `.weights.h5` file of this very network, or, of
            `densenet161`, of torchvision's `.pth` file. See `archs.pretrained.start_from`.
        head: `"standard"` and `"cam"`: global average, then the classifier; `"new_fc"`: 256
            units on the flattened features (see `archs.imagenet.classify`).
        normalization: `None`: the network takes images normalised as its weights ask;
            `"torch"`, `"caffe"` or `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`).
        stem: `"reduced"`: the first convolution and a pooling behind it halve the image;
            `"full"`: neither, as for small images, at some sixteen times the cost.

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. The blocks' outputs are those of
        the layers `block1` to `block4`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Huang et al. 2017, Sec. 3, without bottleneck or compression.
    Deviation: three blocks of twelve layers, the paper's DenseNet-40, have 1.06 million
        parameters, where FAN's Table 2 prints 1.13. A 3x3 convolution of 24 filters, four
        blocks of nine and no normalisation before the first block give 1.13. Neither says how
        224x224 is reduced before the first block.
    """
    if stem not in STEMS:
        raise ValueError(f"`stem` must be one of {STEMS}. Received: stem={stem!r}")
    check_head(num_classes, head)
    require("densenet40", weights)
    image, x = begin(image_shape, normalization)
    stride = 2 if stem == "reduced" else 1
    x = conv(x, 24, 3, stride, name="conv1")
    if stem == "reduced":
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    x = _blocks(x, (9, 9, 9, 9), 12, bottleneck=False, compression=1)
    model = keras.Model(image, classify(x, num_classes, head), name="densenet40")
    return start_from(model, weights)


def densenet161(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds DenseNet-161, layer by layer torchvision's; arguments and errors as `densenet40`.

    Reference: Huang et al. 2017, Table 1 (k = 48).
    """
    check_head(num_classes, head)
    require("densenet161", weights)
    image, x = begin(image_shape, normalization)
    x = conv(x, 96, 7, 2, name="conv1")
    x = norm(x, name="conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = _blocks(x, (6, 12, 36, 24), 48, bottleneck=True, compression=0.5)
    model = keras.Model(image, classify(x, num_classes, head), name="densenet161")
    return start_from(model, weights)


def _blocks(x, counts, growth, *, bottleneck, compression):
    """Dense blocks, a transition between each two, and the last normalisation."""
    for number, count in enumerate(counts, 1):
        if number > 1:
            name = f"transition{number - 1}"
            x = conv(norm(x, name=name), int(x.shape[-1] * compression), 1, name=name)
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        for c in range(1, count + 1):
            name = f"block{number}_layer{c}"
            y = norm(x, name=name)
            if bottleneck:
                y = norm(conv(y, 4 * growth, 1, name=f"{name}_narrow"), name=f"{name}_narrow")
            y = conv(y, growth, 3, name=name)
            joined = f"block{number}" if c == count else f"{name}_join"
            x = layers.Concatenate(name=joined)([x, y])
    return norm(x, name="last")
