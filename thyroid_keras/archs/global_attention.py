"""Global spatial attention (Xu et al., "A Novel Global Spatial Attention Mechanism in
Convolutional Neural Network for Medical Image Classification"), before any classifier."""

import keras

from thyroid_keras import archs  # what it holds is asked for when a network is built
from thyroid_keras.archs.imagenet import IMAGE_SHAPE, begin
from thyroid_keras.layers import GlobalAttention, PixelCNN

MODES = ("pixel_cnn", "l1", "none")
ATTENTION = "global_attention"  # the layer's name
# that do not put out the logits of one classifier
OTHERS = {"alexnet_seg", "border_unet", "classical", "cs_agnet", "ds_agnet", ATTENTION,
          "vgg_unet", "vgg_unet_seg"}  # fmt: skip


def backbones():
    """Returns the sorted names of the classifiers that `global_attention` goes before."""
    return sorted(set(archs.list_archs()) - OTHERS)


def global_attention(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    backbone="vgg16",
    num_images=None,
    channels=128,
    mode="pixel_cnn",
    kernel_size=3,
    hidden_layers=1,
    last_kernel_size=1,
    dense=False,
    penalty=1e-3,
    reduction="mean",
    has_prior=False,
    normalization=None,
    **arguments,
):
    """Builds a classifier whose images are all multiplied by one map.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits.
        backbone: name of the classifier, one of `backbones()`.
        num_images: int >= 1: builds the network that learns its map, by a pixel CNN that
            sees so many training images, see `layers.GlobalAttention.attach`. `None`:
            the one that answers, whose map is a constant; else it is the same. Without
            effect on `"l1"`.
        channels, kernel_size, hidden_layers, last_kernel_size, dense: of the pixel CNN, see
            `layers.PixelCNN`.
        mode: `"pixel_cnn"`, or the paper's baseline `"l1"`: each pixel's weight is learned
            by itself; or `"none"`: the plain classifier, to be held against either.
        penalty: float >= 0, lambda, of the map while it is learned.
        reduction: `"mean"` or `"sum"` of it over the pixels.
        has_prior: bool, whether the map that is learned by a pixel CNN has a fixed added
            logit, the layer's weight `prior`.
        normalization: `None`: the network takes normalised images; `"torch"`, `"caffe"` or
            `"tf"`: images in [0, 1], which it normalises before they are multiplied (see
            `archs.imagenet.begin`).
        **arguments: of the backbone's builder.

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`, with the backbone's layers and
        the layer `global_attention`, whose weight `map` is `(1, H, W, 1)`. With `num_images`
        the pixel CNN adds K (9 N C + 1) + (K + 1) parameters, K `channels`, C those of the
        image that is multiplied.

    Raises:
        ValueError: if an argument is out of range, or the backbone has no logits.

    Reference: Xu et al., Sec. 3 and 4.3.
    Deviation: none; taken literally: the normalised image is multiplied, so that a pixel of
        weight 0 becomes one of the mean colour, not a black one.
    """
    if backbone not in backbones():
        raise ValueError(
            f"`backbone` must be one of {backbones()}. Received: backbone={backbone!r}"
        )
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
    image, x = begin(image_shape, normalization)
    pixel_cnn = None
    if mode == "pixel_cnn" and num_images is not None:
        pixel_cnn = PixelCNN(channels, kernel_size, hidden_layers, last_kernel_size, dense)
    attention = GlobalAttention(
        pixel_cnn,
        num_images if pixel_cnn else None,
        learn_map=mode == "l1",
        penalty=penalty,
        reduction=reduction,
        has_prior=has_prior and pixel_cnn is not None,
        name=ATTENTION,
    )
    attended = x if mode == "none" else attention(x)
    network = archs.build(backbone, image_shape=x.shape[1:], num_classes=num_classes, **arguments)
    if not isinstance(network.output, keras.KerasTensor):
        raise ValueError(
            f"`backbone` must put out the logits of one classifier. Received: "
            f"backbone={backbone!r} with outputs {list(network.output)}"
        )
    # `call` runs through the backbone's own layers, which then have two places each; the
    # copy has one, as whoever asks a layer for its output expects
    joined = keras.Model(image, network.call(attended), name=ATTENTION)
    model = keras.models.clone_model(joined)
    model.set_weights(joined.get_weights())
    return model
