"""Networks whose batch normalisations are part of their convolutions, for prediction."""

import collections

import keras
import numpy as np
from keras import layers

from thyroid_keras.layers import JoinedConv2D

# which of a kernel's last two axes counts the channels it puts out
FILTERS = {layers.Conv2D: (1, -1), JoinedConv2D: (1, -1), layers.Conv2DTranspose: (-1, 1)}


def fold_batch_norm(model):
    """Multiplies batch normalisations into the convolutions before them.

        scale = gamma / sqrt(moving_variance + epsilon)
        kernel = kernel * scale
        bias = (bias - moving_mean) * scale + beta

    in float64. A normalisation is folded if it is the only reader of a linear convolution's
    output, in every call of it; an `Identity` keeps its name and its output. Models within
    the model are folded too.

    Args:
        model: `keras.Model`; one that is not functional is returned as it is.

    Returns:
        `keras.Model` with weights of its own, not compiled, whose predictions are those of
        `model` but for rounding. It is not for training: nothing would be normalised.
    """
    if not hasattr(model, "operations"):
        return model
    folded = {conv.name: norm for conv, norm in _pairs(model)}
    replaced = {norm.name for norm in folded.values()}

    def rebuild(operation):
        if isinstance(operation, keras.Model):
            return fold_batch_norm(operation)
        if operation.name in replaced:
            return layers.Identity(name=operation.name, dtype=operation.dtype_policy)
        bias = {"use_bias": True} if operation.name in folded else {}
        return operation.__class__.from_config(operation.get_config() | bias)

    def call(operation, x, *args, **kwargs):
        # a normalisation was called with a mask, which an `Identity` does not know
        return operation(x) if operation.name in replaced else operation(x, *args, **kwargs)

    bare = keras.Model(model.input, model.output, name=model.name)  # a clone would be compiled
    result = keras.models.clone_model(bare, clone_function=rebuild, call_function=call)
    for layer in model.layers:
        if layer.name in folded:
            result.get_layer(layer.name).set_weights(_product(layer, folded[layer.name]))
        elif layer.name not in replaced and not isinstance(layer, keras.Model):
            result.get_layer(layer.name).set_weights(layer.get_weights())
    return result


def _pairs(model):
    """Yields each convolution with the normalisation that alone reads what it puts out."""
    read = [node.input_tensors for op in model.operations for node in op._inbound_nodes]
    readers = collections.Counter(id(t) for t in keras.tree.flatten([read, model.outputs]))
    convs = {
        id(node.output_tensors[0]): layer
        for layer in model.layers
        if _is_linear(layer)
        for node in layer._inbound_nodes
    }
    for norm in model.layers:
        if not isinstance(norm, layers.BatchNormalization) or norm.axis not in (-1, 3):
            continue
        inputs = [id(node.input_tensors[0]) for node in norm._inbound_nodes]
        conv = convs.get(inputs[0])
        if (
            conv is not None
            and len(inputs) == len(conv._inbound_nodes)
            and all(convs.get(x) is conv and readers[x] == 1 for x in inputs)
        ):
            yield conv, norm


def _is_linear(layer):
    return (
        type(layer) in FILTERS
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _product(conv, norm):
    """Kernel and bias that do what the convolution and the normalisation do."""
    kernel, *bias = (w.astype(np.float64) for w in conv.get_weights())
    weights = {variable.name: variable.numpy().astype(np.float64) for variable in norm.weights}
    scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + norm.epsilon)
    bias = (sum(bias) - weights["moving_mean"]) * scale + weights.get("beta", 0.0)
    return [kernel * scale.reshape(FILTERS[type(conv)]), bias]
