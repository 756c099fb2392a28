"""A trained network as a device asks it: one picture, one answer, and the maps behind it."""

import keras
import numpy as np

from thyroid_keras.explain import with_maps
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.layers import FeedbackGate, GlobalAttention
from thyroid_keras.loading import float32_twin

PROBABILITIES, MASK = "probabilities", "mask"


def device_network(model):
    """Returns a network with everything that a page or a phone shows of an image.

    Args:
        model: `keras.Model` that takes images in [0, 1].

    Returns:
        `keras.Model` in float32, its normalisations folded, from `image` `(B, H, W, C)` to a
        dict: `probabilities` `(B, K)`; `mask` `(B, H, W, 1)` in [0, 1] where the network
        draws one; the map `(B, h, w)` of each attention gate, by its layer's name; and
        `class_maps` `(B, h, w, K)`, see `explain.with_maps`, where there are.
    """
    model = fold_batch_norm(float32_twin(model))
    outputs = dict(with_maps(model)(model.input))
    outputs[PROBABILITIES] = outputs.pop("label")
    for layer in model.layers:
        if isinstance(layer, FeedbackGate) and layer._inbound_nodes:
            outputs[layer.name] = layer._inbound_nodes[-1].output_tensors[0][..., 0]
    if isinstance(model.output, dict) and MASK in model.output:
        outputs[MASK] = model.output[MASK]
    return keras.Model(model.input, outputs, name=model.name)


def constant_maps(model):
    """Returns the attention maps that are the same for every image, by their layers' names.

    Args:
        model: `keras.Model`.

    Returns:
        dict from name to `(H, W)`.
    """
    layers = [layer for layer in model.layers if isinstance(layer, GlobalAttention)]
    return {layer.name: np.asarray(layer.map)[0, ..., 0] for layer in layers}
