"""A trained network as a device asks it: one picture, one answer, and the maps behind it."""

import keras

from thyroid_keras.explain import with_explanation
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import float32_twin

PROBABILITIES = "probabilities"


def device_network(model):
    """Returns a network with everything that a page or a phone shows of an image.

    Args:
        model: `keras.Model` that takes images in [0, 1]; of an ensemble the mean over its
            members.

    Returns:
        `keras.Model` in float32, its normalisations folded, from `image` `(B, H, W, C)` to
        what `explain.with_explanation` puts out, the answer `(B, K)` called `probabilities`.
    """
    network = with_explanation(fold_batch_norm(float32_twin(model)))
    outputs = dict(network.output)
    outputs[PROBABILITIES] = outputs.pop("label")
    return keras.Model(network.input, outputs, name=model.name)
