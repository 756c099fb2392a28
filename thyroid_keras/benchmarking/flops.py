"""Floating-point operations of a network, from the shapes that its layers meet."""

import contextlib
import math

import keras
import numpy as np

ONE_KERNEL = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
)


def count_flops(model):
    """Counts the operations of convolutions and dense layers, for one image.

    A multiplication and an addition are two. A layer's forward pass takes
    `2 * kernel size * positions`, the positions being those of the output, or of the
    input for a transposed convolution. Training takes as much again for the gradient of
    the kernel, if it is trained, and once more for that of the input, if a trained weight
    lies before it: never for a layer that reads the image. Each call of a layer counts, also
    within another layer.

    Args:
        model: `keras.Model`, functional.

    Returns:
        dict of int: `forward` and `training`. What walks over the features without a
        kernel (normalisation, activation, pooling, resizing, losses, optimizer) is left
        out, so that a share of the machine's ceiling computed from it is a lower bound.
    """
    reading_data = _reading_data(model)
    forward = training = 0
    with _recorded_calls() as calls:
        model(keras.tree.map_structure(lambda t: np.zeros((1, *t.shape[1:]), t.dtype), model.input))
    for layer, inputs, outputs in calls:
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        positions = math.prod((inputs.shape if transposed else outputs.shape)[:-1])
        flops = 2 * math.prod(layer.kernel.shape) * positions
        passes = 1 + layer.trainable + (layer not in reading_data)
        forward += flops
        training += passes * flops
    return {"forward": forward, "training": training}


def _reading_data(model):
    """The operations of the graph whose input no trainable weight has had a say in."""
    found, data = set(), {id(tensor) for tensor in keras.tree.flatten(model.input)}
    for operation in model.operations:  # layers and functions, in the order of the graph
        if all(id(tensor) in data for tensor in keras.tree.flatten(operation.input)):
            found.add(operation)
            if not getattr(operation, "trainable_weights", ()):
                data.update(id(tensor) for tensor in keras.tree.flatten(operation.output))
    return found


@contextlib.contextmanager
def _recorded_calls():
    """Lends a list that fills with `(layer, inputs, outputs)` of each call."""
    calls, original = [], keras.layers.Layer.__call__

    def call(layer, *args, **kwargs):
        outputs = original(layer, *args, **kwargs)
        if isinstance(layer, ONE_KERNEL):
            calls.append((layer, args[0], outputs))
        return outputs

    keras.layers.Layer.__call__ = call
    try:
        yield calls
    finally:
        keras.layers.Layer.__call__ = original
