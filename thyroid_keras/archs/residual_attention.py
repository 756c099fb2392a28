"""ResAttNet-92 (Wang et al. 2017, arXiv:1704.06904): bottlenecks between soft masks."""

import keras
from keras import layers, ops

from thyroid_keras.archs.imagenet import IMAGE_SHAPE, begin, check_head, classify, conv, norm
from thyroid_keras.archs.pretrained import require, start_from

STAGES = ((256, 1), (512, 2), (1024, 3), (2048, 0))  # filters, attention units
LAST_UNITS = 2  # further bottlenecks of the last stage


def resattnet92(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds the residual attention network of 92 layers.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, or of a `.weights.h5` file of this very network. See
            `archs.pretrained.start_from`.
        head: `"standard"` and `"cam"`: global average, then the classifier; `"new_fc"`: 256
            units on the flattened features (see `archs.imagenet.classify`).
        normalization: `None`: the network takes images as they are; `"torch"`, `"caffe"` or
            `"tf"`: it takes images in [0, 1] and normalises them (see
            `archs.imagenet.begin`).

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`; 52,466,344 parameters at 1,000
        classes. The soft masks, one value per position and channel in (0, 1), are the
        outputs of the layers `stage1_unit2_mask` to `stage3_unit4_mask`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Wang et al. 2017, Table 2, Attention-92, mixed attention, with the layers of
        osmr/imgclsmob, which Xu et al. took.
    Deviation: maps are enlarged about the centres of their pixels, to the very size of
        what they are added to; imgclsmob doubles them, corner on corner. He et al.'s
        normal initial weights, there uniform ones.
    """
    check_head(num_classes, head)
    require("resattnet92", weights)
    image, x = begin(image_shape, normalization)
    x = norm(conv(x, 64, 7, 2, name="conv1"), name="conv1")
    x = _halve(x, name="pool1")
    for s, (filters, num_attentions) in enumerate(STAGES, 1):
        x = _bottleneck(x, filters, 1 if s == 1 else 2, name=f"stage{s}_unit1")
        for u in range(2, 2 + num_attentions):
            x = _attend(x, 4 - s, name=f"stage{s}_unit{u}")
    for u in range(2, 2 + LAST_UNITS):
        x = _bottleneck(x, filters, name=f"stage{s}_unit{u}")
    x = norm(x, name="last")
    model = keras.Model(image, classify(x, num_classes, head), name="resattnet92")
    return start_from(model, weights)


def _bottleneck(x, filters=None, stride=1, *, name):
    """Residual bottleneck, each convolution behind its normalisation."""
    filters = filters or x.shape[-1]
    before = norm(x, name=f"{name}_conv1")
    if stride > 1 or x.shape[-1] != filters:
        x = conv(before, filters, 1, stride, name=f"{name}_shortcut")
    y = conv(before, filters // 4, 1, name=f"{name}_conv1")
    y = conv(norm(y, name=f"{name}_conv2"), filters // 4, 3, stride, name=f"{name}_conv2")
    y = conv(norm(y, name=f"{name}_conv3"), filters, 1, name=f"{name}_conv3")
    return layers.Add(name=f"{name}_add")([x, y])


def _attend(x, depth, *, name):
    """Attention unit: (1 + mask) times the trunk, between two bottlenecks."""
    x = trunk = _bottleneck(x, name=f"{name}_first")
    for i in (1, 2):
        trunk = _bottleneck(trunk, name=f"{name}_trunk{i}")
    mask = layers.Add(name=f"{name}_join")([_hourglass(x, depth, name=name), trunk])
    for i in (1, 2):
        mask = conv(norm(mask, name=f"{name}_mask{i}"), x.shape[-1], 1, name=f"{name}_mask{i}")
    mask = layers.Activation("sigmoid", name=f"{name}_mask")(mask)
    return _bottleneck(trunk + mask * trunk, name=f"{name}_last")


def _hourglass(x, depth, *, name):
    """Halved `depth` times and enlarged again, with what was there on the way added."""
    y = _bottleneck(_halve(x, name=f"{name}_pool{depth}"), name=f"{name}_down{depth}")
    if depth > 1:
        skip = layers.Add(name=f"{name}_skip{depth}")(
            [y, _bottleneck(y, name=f"{name}_side{depth}")]
        )
        inner = _hourglass(y, depth - 1, name=name)
        y = layers.Add(name=f"{name}_inner{depth}")([inner, skip])
    y = _bottleneck(y, name=f"{name}_up{depth}")
    return ops.image.resize(y, x.shape[1:3])


def _halve(x, *, name):
    """Largest values of 3x3 windows, as PyTorch pads them."""
    # a pixel beside its like changes no maximum, as a zero would among negative values
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    return layers.MaxPooling2D(3, 2, name=name)(x)
