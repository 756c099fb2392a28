"""ResNet (He et al. 2016, arXiv:1512.03385), with each of the paper's shortcuts."""

import keras
from keras import layers, ops

from thyroid_keras.archs.imagenet import (
    EPSILON,
    IMAGE_SHAPE,
    begin,
    check_head,
    classify,
    conv,
    norm,
)
from thyroid_keras.archs.pretrained import require, start_from
from thyroid_keras.archs.source import source_layer
from thyroid_keras.archs.torchvision import is_torchvision

SHORTCUTS = ("standard", "A", "B", "C")


def resnet18(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    shortcut="A",
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds ResNet-18.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        shortcut: what is added to a block's output where the block changes the shape:
            `"A"`, every second pixel, with channels of zeros behind its own, no
            parameters; `"B"`, a strided 1x1 convolution and a normalisation. `"C"`: those
            in every block. `"standard"` is `"B"`, torchvision's.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, or of a `.weights.h5` file of this very network; of a
            `.pth` file: torchvision's; `"imagenet"`: Keras's own, of `resnet50` and
            `resnet152`; both with the standard shortcut. See `archs.pretrained.start_from`.
        head: `"standard"` and `"cam"`: global average, then the classifier; `"new_fc"`: 256
            units on the flattened features (see `archs.imagenet.classify`).
        normalization: `None`: the network takes images normalised as its weights ask;
            `"torch"`, `"caffe"` or `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`; Keras's ResNets ask for `"caffe"`, torchvision's for
            `"torch"`).

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. The blocks' outputs are those of
        the layers `stage2_block1_relu` to `stage5_block2_relu`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: He et al. 2016, Table 1 and Sec. 3.3 (shortcuts); torchvision for what the
        paper leaves open: padding, and in bottlenecks the stride in the 3x3 convolution.
    Deviation: `"A"` for 18 and 34 layers and `"C"` for 50 by default: so FAN's Table 2
        counts parameters. The momentum of the statistics is 0.9, as PyTorch's default.
    """
    arguments = (shortcut, weights, head, normalization)
    return _resnet("resnet18", (2, 2, 2, 2), _basic, image_shape, num_classes, *arguments)


def resnet34(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    shortcut="A",
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds ResNet-34; arguments, result and errors as `resnet18`."""
    arguments = (shortcut, weights, head, normalization)
    return _resnet("resnet34", (3, 4, 6, 3), _basic, image_shape, num_classes, *arguments)


def resnet50(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    shortcut="C",
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds ResNet-50, of bottlenecks; arguments, result and errors as `resnet18`.

    With `weights="imagenet"`, or those of a `.keras` file that began with them, the strides are
    in the first 1x1 convolutions, as in the paper and in Keras's network, whose biases become
    part of the normalisations' means.
    """
    arguments = (shortcut, weights, head, normalization)
    return _resnet("resnet50", (3, 4, 6, 3), _bottleneck, image_shape, num_classes, *arguments)


def resnet152(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    shortcut="standard",
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds ResNet-152; arguments, result and errors as `resnet50`."""
    arguments = (shortcut, weights, head, normalization)
    return _resnet("resnet152", (3, 8, 36, 3), _bottleneck, image_shape, num_classes, *arguments)


def _resnet(name, blocks, block, image_shape, num_classes, shortcut, weights, head, normalization):
    check_head(num_classes, head)
    if shortcut not in SHORTCUTS:
        raise ValueError(f"`shortcut` must be one of {SHORTCUTS}. Received: shortcut={shortcut!r}")
    imagenet = weights == "imagenet"
    if (imagenet or is_torchvision(weights)) and shortcut not in ("standard", "B"):
        raise ValueError(
            f"`weights='{weights}'` are those of the network with shortcut='standard'. "
            f"Received: shortcut={shortcut!r}"
        )
    require(name, weights)
    begun = source_layer(weights, "stage3_block1_conv1")
    early = imagenet or getattr(begun, "strides", None) == (2, 2)
    image, x = begin(image_shape, normalization)
    x = _unit(x, 64, 7, 2, name="conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for s, count in enumerate(blocks, 2):
        for b in range(1, count + 1):
            strides = (2 if b == 1 and s > 2 else 1, early)
            x = block(x, 32 * 2 ** (s - 1), strides, shortcut, name=f"stage{s}_block{b}")
    model = keras.Model(image, classify(x, num_classes, head), name=name)
    return start_from(model, weights, lambda: _of_keras(name))


def _basic(x, filters, strides, shortcut, *, name):
    stride, _ = strides
    y = _unit(x, filters, 3, stride, name=f"{name}_conv1")
    y = _unit(y, filters, 3, relu=False, name=f"{name}_conv2")
    return _join(x, y, stride, shortcut, name)


def _bottleneck(x, filters, strides, shortcut, *, name):
    stride, early = strides
    first, second = (stride, 1) if early else (1, stride)
    y = _unit(x, filters, 1, first, name=f"{name}_conv1")
    y = _unit(y, filters, 3, second, name=f"{name}_conv2")
    y = _unit(y, 4 * filters, 1, relu=False, name=f"{name}_conv3")
    return _join(x, y, stride, shortcut, name)


def _unit(x, filters, kernel_size, stride=1, *, relu=True, name):
    return norm(conv(x, filters, kernel_size, stride, name=name), relu=relu, name=name)


def _join(x, y, stride, shortcut, name):
    """The shortcut and the block's own way, added."""
    filters = y.shape[-1]
    changed = stride > 1 or x.shape[-1] != filters
    if shortcut == "C" or (changed and shortcut != "A"):
        x = _unit(x, filters, 1, stride, relu=False, name=f"{name}_shortcut")
    elif changed:
        x = layers.MaxPooling2D(1, stride, name=f"{name}_shortcut")(x)
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])))
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _of_keras(name):
    """Keras's own network of that name, with ImageNet's weights, by the names of our layers."""
    application = {"resnet50": "ResNet50", "resnet152": "ResNet152"}[name]
    return arrays_of_keras(getattr(keras.applications, application)(include_top=False))


def arrays_of_keras(source):
    """Returns the weights of Keras's ResNet as those of ours.

    Its biases go into the normalisations' means, the difference of the epsilons into their
    variances; the results stay the same.

    Args:
        source: `keras.applications.ResNet50` or a larger one.

    Returns:
        dict from the name of a layer of ours to a list of arrays.
    """
    arrays = {}
    for layer in source.layers:
        stem = layer.name.removesuffix("_conv")
        if stem == layer.name:
            continue
        kernel, bias = layer.get_weights()
        moments = source.get_layer(f"{stem}_bn")
        gamma, beta, mean, variance = moments.get_weights()
        name = stem
        if "_block" in stem:
            block, _, number = stem.rpartition("_")
            part = "shortcut" if number == "0" else f"conv{number}"
            name = f"{block.replace('conv', 'stage')}_{part}"
        arrays[name] = [kernel]
        arrays[f"{name}_bn"] = [gamma, beta, mean - bias, variance + (moments.epsilon - EPSILON)]
    return arrays
