"""Architectures: one Functional builder each, by name."""

from thyroid_keras.archs.alexnet_seg import alexnet_seg
from thyroid_keras.archs.border_unet import border_unet
from thyroid_keras.archs.classical import classical
from thyroid_keras.archs.cs_agnet import cs_agnet, ds_agnet, vgg_unet, vgg_unet_seg
from thyroid_keras.archs.densenet import densenet40, densenet161
from thyroid_keras.archs.fan import fan
from thyroid_keras.archs.global_attention import global_attention
from thyroid_keras.archs.googlenet import googlenet
from thyroid_keras.archs.inception import inception_v3
from thyroid_keras.archs.mobilenet import mobilenet
from thyroid_keras.archs.residual_attention import resattnet92
from thyroid_keras.archs.resnet import resnet18, resnet34, resnet50, resnet152
from thyroid_keras.archs.small_cnn import small_cnn
from thyroid_keras.archs.sononet import ag_sononet, sononet
from thyroid_keras.archs.vgg import vgg16, vgg19
from thyroid_keras.archs.vgg_attention import vgg_att3
from thyroid_keras.spelling import suggestion

ARCHS = {
    "ag_sononet": ag_sononet,
    "alexnet_seg": alexnet_seg,
    "border_unet": border_unet,
    "classical": classical,
    "cs_agnet": cs_agnet,
    "densenet40": densenet40,
    "densenet161": densenet161,
    "ds_agnet": ds_agnet,
    "fan": fan,
    "global_attention": global_attention,
    "googlenet": googlenet,
    "inception_v3": inception_v3,
    "mobilenet": mobilenet,
    "resattnet92": resattnet92,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet152": resnet152,
    "small_cnn": small_cnn,
    "sononet": sononet,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "vgg_att3": vgg_att3,
    "vgg_unet": vgg_unet,
    "vgg_unet_seg": vgg_unet_seg,
}


def list_archs():
    """Returns the sorted names that `build` accepts."""
    return sorted(ARCHS)


def build(name, **arguments):
    """Builds an architecture by its name.

    Args:
        name: one of `list_archs()`.
        **arguments: of the builder; every builder takes `image_shape` and
            `num_classes`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in ARCHS:
        meant = suggestion(name, ARCHS)
        raise ValueError(f"`name` must be one of {list_archs()}.{meant} Received: name={name!r}")
    return ARCHS[name](**arguments)
