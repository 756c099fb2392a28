"""Architectures: one Functional builder each, by name."""

from thyroid_keras.archs.cs_agnet import cs_agnet, ds_agnet, vgg_unet, vgg_unet_seg
from thyroid_keras.archs.fan import fan
from thyroid_keras.archs.sononet import ag_sononet, sononet

ARCHS = {
    "ag_sononet": ag_sononet,
    "cs_agnet": cs_agnet,
    "ds_agnet": ds_agnet,
    "fan": fan,
    "sononet": sononet,
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
        raise ValueError(f"`name` must be one of {list_archs()}. Received: name={name!r}")
    return ARCHS[name](**arguments)
