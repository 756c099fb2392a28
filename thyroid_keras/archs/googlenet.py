"""GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842), as torchvision has it."""

import keras
from keras import layers

from thyroid_keras.archs.imagenet import (
    FLOAT32,
    IMAGE_SHAPE,
    MEAN,
    SD,
    begin,
    check_head,
    classify,
    conv,
    norm,
)
from thyroid_keras.archs.pretrained import require, start_from
from thyroid_keras.archs.source import source_layer
from thyroid_keras.archs.torchvision import is_torchvision

EPSILON = 1e-3
DROPOUT = 0.2
# filters: 1x1; 1x1 and 3x3; 1x1 and 3x3 (the paper's 5x5); behind the pooling
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED = {"3b": 3, "4e": 2}  # blocks that a halving follows, and the side of its windows


def googlenet(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
    transform_input=None,
):
    """Builds GoogLeNet, layer by layer torchvision's, without the auxiliary classifiers.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, of a `.weights.h5` file of this very network, or of
            torchvision's `.pth` file. See `archs.pretrained.start_from`.
        head: `"standard"`: global average, dropout of a fifth, classifier; `"cam"`: the
            same without dropout; `"new_fc"`: 256 units on the flattened features (see
            `archs.imagenet.classify`).
        normalization: `None`: the network takes images normalised as its weights ask;
            `"torch"`, `"caffe"` or `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`; torchvision's weights ask for `"torch"`).
        transform_input: bool; images that ImageNet's mean and SD normalised are brought to
            [-1, 1] first. `None`: with torchvision's weights, as there, and with those of a
            `.keras` file whose network does so.

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. The blocks' outputs are those of
        the layers `inception3a` to `inception5b`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Szegedy et al. 2015, Table 1; torchvision for normalisations, for the 3x3 in
        the place of 5x5 convolutions and for windows that reach over the edge.
    Deviation: He et al.'s initial weights, where torchvision draws them with an SD of .01;
        the normalisations take most of that away.
    """
    check_head(num_classes, head)
    require("googlenet", weights)
    image, x = begin(image_shape, normalization)
    if transform_input is None:
        known = source_layer(weights, "transform_input")
        transform_input = is_torchvision(weights) or known is not None
    if transform_input:
        scale = [2 * sd for sd in SD]
        offset = [2 * mean - 1 for mean in MEAN]
        x = layers.Rescaling(scale, offset, name="transform_input", **FLOAT32)(x)
    x = _conv(x, 64, 7, 2, name="conv1")
    x = _pool(x, 3, name="pool1")
    x = _conv(x, 64, 1, name="conv2")
    x = _conv(x, 192, 3, name="conv3")
    x = _pool(x, 3, name="pool2")
    for block, filters in INCEPTIONS.items():
        x = _inception(x, filters, name=f"inception{block}")
        if block in POOLED:
            x = _pool(x, POOLED[block], name=f"pool{block[0]}")
    logits = classify(x, num_classes, head, dropout=DROPOUT)
    return start_from(keras.Model(image, logits, name="googlenet"), weights)


def _inception(x, filters, *, name):
    one, narrow3, wide3, narrow5, wide5, pooled = filters
    ways = [_conv(x, one, 1, name=f"{name}_branch1")]
    for branch, narrow, wide in ((2, narrow3, wide3), (3, narrow5, wide5)):
        y = _conv(x, narrow, 1, name=f"{name}_branch{branch}_conv1")
        ways.append(_conv(y, wide, 3, name=f"{name}_branch{branch}_conv2"))
    y = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_branch4_pool")(x)
    ways.append(_conv(y, pooled, 1, name=f"{name}_branch4"))
    return layers.Concatenate(name=name)(ways)


def _conv(x, filters, kernel_size, stride=1, *, name):
    return norm(conv(x, filters, kernel_size, stride, name=name), epsilon=EPSILON, name=name)


def _pool(x, size, *, name):
    """Largest values of windows two pixels apart; the last may reach over the edge."""
    # zeros are no larger than what comes from a ReLU
    ends = [(0, (size - side) % 2) for side in x.shape[1:3]]
    if any(end for _, end in ends):
        x = layers.ZeroPadding2D(ends, name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, 2, name=name)(x)
