"""What a network's outputs say, whatever its architecture calls them."""

import numpy as np
from keras import ops


def class_probabilities(outputs):
    """Class probabilities `(B, K)` in float64 from whatever a model puts out."""
    label = ops.convert_to_numpy(label_of(outputs)).astype(np.float64)
    return label / label.sum(axis=1, keepdims=True)


def label_of(outputs):
    """Class probabilities from a model's outputs, arrays or symbolic tensors.

    `label` are probabilities already; anything else are logits. A network that only
    draws a mask is asked for its most certain pixel: an image is as positive as that.

    Args:
        outputs: `(B, K)`, or a dict from name to such or, for `mask`, `(B, H, W, 1)`.

    Returns:
        Tensor `(B, K)`.
    """
    if not isinstance(outputs, dict):
        return ops.softmax(outputs)
    if "label" in outputs:
        return outputs["label"]
    if "logits" in outputs:
        return ops.softmax(outputs["logits"])
    if "mask" in outputs:
        highest = ops.max(outputs["mask"], axis=(1, 2))
        return ops.concatenate([1 - highest, highest], axis=1)
    return ops.mean(ops.stack([ops.softmax(votes) for votes in outputs.values()]), axis=0)


def mask_of(outputs):
    """The mask among a model's outputs, `(B, H, W)`, or `None`."""
    mask = array_of(outputs, "mask")
    return None if mask is None else mask[..., 0]


def num_classes(model):
    """Returns how many classes a `keras.Model` tells apart."""
    return label_of(model.output).shape[-1]


def array_of(outputs, name):
    """The output of that name as a NumPy array, or `None`."""
    if isinstance(outputs, dict) and name in outputs:
        return ops.convert_to_numpy(outputs[name])
    return None
