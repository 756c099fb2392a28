"""What the signature `explain` shows beside the answer."""

import keras
import tensorflow as tf

from thyroid_keras.answers import label_of
from thyroid_keras.explain import with_maps
from thyroid_keras.explain.attention import averaged, gate_tensors, global_maps, members
from thyroid_keras.explain.class_map import CLASS_MAPS
from thyroid_keras.prediction import input_size


def with_explanation(model):
    """Returns a network that gives a model's answer, its maps and its mask in one pass.

    Args:
        model: `keras.Model`; of an ensemble the mean over its members.

    Returns:
        `keras.Model` from the same images to a dict: `label` `(B, K)`, class probabilities;
        where the model has them, `mask` `(B, H, W)`, the map `(B, h, w)` of each gate by
        the name of its layer, and `class_maps` `(B, h, w, K)`, see `explain.with_maps`.
    """
    return averaged(model, lambda member: keras.Model(member.input, _outputs(member)))


def explains(model):
    """Whether a model has a map or a mask to show."""
    member = members(model)[0]
    return bool(global_maps(member)) or set(_outputs(member)) != {"label"}


def drawings(model, found, chosen, mask_threshold):
    """Draws a model's maps and its mask, in TensorFlow.

    Args:
        model: the `keras.Model`.
        found: dict of tensors, what `with_explanation(model)` puts out.
        chosen: int64 `(B,)`, the classes that are named.
        mask_threshold: float, at or above which a pixel is in the mask.

    Returns:
        dict from `<name>_bytes` to strings `(B,)`, PNGs, see `page.SCALING`.
    """
    drawn, size = {}, input_size(model)[0]
    for name, values in found.items():
        if name == "mask":
            drawn[name] = tf.cast(values >= mask_threshold, tf.uint8) * 255
        elif name == CLASS_MAPS:
            drawn["class_map"] = _grey(_evidence(values, chosen), size)
        elif name != "label":
            drawn[name] = _grey(values, size)
    each = [global_maps(member) for member in members(model)]
    for name in each[0]:  # the same for every image
        values = sum(maps[name] for maps in each)
        drawn[name] = tf.repeat(_grey(values, size), tf.size(chosen), axis=0)
    return {f"{name}_bytes": tf.io.encode_png(image[..., None]) for name, image in drawn.items()}


def _outputs(model):
    outputs = dict(with_maps(model).output) | gate_tensors(model)
    if isinstance(model.output, dict) and "mask" in model.output:
        outputs["mask"] = model.output["mask"][..., 0]
    return outputs | {"label": label_of(model.output)}


def _evidence(class_maps, chosen):
    """`explain.evidence_map` of the classes chosen."""
    if class_maps.shape[-1] == 2:
        class_maps -= class_maps[..., ::-1]
    return tf.gather(class_maps, chosen, axis=-1, batch_dims=1)


def _grey(maps, size):
    """`explain.unit_maps` in 256 levels."""
    varies = tf.reduce_max(maps, axis=(1, 2)) > tf.reduce_min(maps, axis=(1, 2))
    scaled = tf.image.resize(tf.nn.relu(maps)[..., None], size)[..., 0]
    highest = tf.reduce_max(scaled, axis=(1, 2), keepdims=True)
    unit = tf.where(varies[:, None, None], tf.math.divide_no_nan(scaled, highest), 0.0)
    return tf.cast(tf.round(255 * unit), tf.uint8)
