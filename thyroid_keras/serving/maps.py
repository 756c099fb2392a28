"""What the signature `explain` shows beside the answer, as PNGs."""

import tensorflow as tf

from thyroid_keras.explain.class_map import CLASS_MAPS


def drawings(found, constant, chosen, size, mask_threshold):
    """Draws a model's maps and its mask, in TensorFlow.

    Args:
        found: dict of tensors, what `explain.with_explanation(model)` puts out.
        constant: dict, what `explain.constant_maps(model)` returns.
        chosen: int64 `(B,)`, the classes that are named.
        size: `(H, W)` of the PNGs.
        mask_threshold: float, at or above which a pixel is in the mask.

    Returns:
        dict from `<name>_bytes` to strings `(B,)`, PNGs, see `page.SCALING`.
    """
    drawn = {}
    for name, values in found.items():
        if name == "mask":
            drawn[name] = tf.cast(values[..., 0] >= mask_threshold, tf.uint8) * 255
        elif name == CLASS_MAPS:
            drawn["class_map"] = _grey(_evidence(values, chosen), size)
        elif name != "label":
            drawn[name] = _grey(values, size)
    for name, values in constant.items():
        grey = _grey(tf.constant(values)[None], size)
        drawn[name] = tf.repeat(grey, tf.size(chosen), axis=0)
    return {f"{name}_bytes": tf.io.encode_png(image[..., None]) for name, image in drawn.items()}


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
