"""A trained network as a device asks it: one picture, one answer, and the maps behind it."""

import keras
import numpy as np

from thyroid_keras.explain import with_maps
from thyroid_keras.explain.attention import averaged, gate_tensors, global_maps, members
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import float32_twin

PROBABILITIES, MASK = "probabilities", "mask"


def device_network(model):
    """Returns a network with everything that a page or a phone shows of an image.

    Args:
        model: `keras.Model` that takes images in [0, 1]; of an ensemble the mean over its
            members.

    Returns:
        `keras.Model` in float32, its normalisations folded, from `image` `(B, H, W, C)` to a
        dict: `probabilities` `(B, K)`; `mask` `(B, H, W, 1)` in [0, 1] where the network
        draws one; the map `(B, h, w)` of each attention gate, by its layer's name; and
        `class_maps` `(B, h, w, K)`, see `explain.with_maps`, where there are.
    """
    model = fold_batch_norm(float32_twin(model))
    whole = averaged(model, lambda member: keras.Model(member.input, _outputs(member)))
    return keras.Model(whole.input, whole.output, name=model.name)


def constant_maps(model):
    """Returns the attention maps that are the same for every image, by their layers' names.

    Args:
        model: `keras.Model`; of an ensemble the mean over its members.

    Returns:
        dict from name to `(H, W)`.
    """
    each = [global_maps(member) for member in members(model)]
    return {
        name: np.mean([keras.ops.convert_to_numpy(maps[name])[0] for maps in each], axis=0)
        for name in each[0]
    }


def _outputs(model):
    outputs = dict(with_maps(model).output) | gate_tensors(model)
    outputs[PROBABILITIES] = outputs.pop("label")
    if isinstance(model.output, dict) and MASK in model.output:
        outputs[MASK] = model.output[MASK]
    return outputs
