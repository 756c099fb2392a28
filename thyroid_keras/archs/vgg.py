"""VGG-16 and VGG-19 (Simonyan and Zisserman 2015, arXiv:1409.1556)."""

import keras
from keras import layers

from thyroid_keras.archs.imagenet import (
    FLOAT32,
    IMAGE_SHAPE,
    begin,
    check_head,
    classify,
    he_fan_out,
)
from thyroid_keras.archs.pretrained import require, start_from


def vgg16(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds VGG-16: the convolutions of `keras.applications.VGG16`, and a head.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            head may be another, of a `.weights.h5` file of this very network, or of
            torchvision's `.pth` file; `"imagenet"`: Keras's own. See
            `archs.pretrained.start_from`.
        head: `"standard"`: twice 4096 units, ReLU and a dropout of a half; `"cam"`: the
            global average of the last convolution, not pooled; `"new_fc"`: 256 units on the
            flattened features (see `archs.imagenet.classify`).
        normalization: `None`: the network takes images normalised as its weights ask;
            `"torch"`, `"caffe"` or `"tf"`: it takes images in [0, 1], and does that itself (see
            `archs.imagenet.begin`; Keras's VGGs ask for `"caffe"`, torchvision's for `"torch"`).

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`. Layers are named as in
        `keras.applications`, the classifier `logits`.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Simonyan and Zisserman 2015, Table 1, D (VGG-19: E); `"cam"`: Zhou et al.
        2016, arXiv:1512.04150, Sec. 3.
    Deviation: He et al.'s initial weights, as torchvision's, where the paper begins with
        those of a smaller trained network. Zhou et al. add a convolution before the
        average.
    """
    arguments = (image_shape, num_classes, weights, head, normalization)
    return _vgg("vgg16", keras.applications.VGG16, *arguments)


def vgg19(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    head="standard",
    normalization=None,
):
    """Builds VGG-19; arguments, result and errors as `vgg16`."""
    arguments = (image_shape, num_classes, weights, head, normalization)
    return _vgg("vgg19", keras.applications.VGG19, *arguments)


def _vgg(name, application, image_shape, num_classes, weights, head, normalization):
    check_head(num_classes, head)
    require(name, weights)
    image, x = begin(image_shape, normalization)
    base = application(include_top=False, weights=None, input_tensor=x)
    if head == "standard":
        x = layers.Flatten(name="flatten")(base.output)
        for i in (1, 2):
            x = layers.Dense(4096, activation="relu", name=f"fc{i}")(x)
            x = layers.Dropout(0.5, name=f"drop{i}")(x)
        logits = layers.Dense(num_classes, name="logits", **FLOAT32)(x)
    else:
        features = base.layers[-1].input if head == "cam" else base.output
        logits = classify(features, num_classes, head)
    model = keras.Model(image, logits, name=name)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.kernel.assign(he_fan_out()(layer.kernel.shape))

    def published():
        # the first of its dense layers knows one size of images alone
        top = head == "standard" and tuple(image_shape[:2]) == IMAGE_SHAPE[:2]
        source = application(include_top=top)
        return {layer.name: layer.get_weights() for layer in source.layers}

    return start_from(model, weights, published)
