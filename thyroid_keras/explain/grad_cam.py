"""Gradient-weighted class activation maps, of any network."""

import keras
import numpy as np
from keras import layers, ops

from thyroid_keras.answers import class_probabilities, label_of
from thyroid_keras.explain.attention import members
from thyroid_keras.layers import GlobalAttention
from thyroid_keras.training.backend import gradient

NOT_FEATURES = (
    layers.Dropout,
    layers.InputLayer,
    layers.Multiply,
    layers.Normalization,
    layers.Rescaling,
    GlobalAttention,
)


def grad_cam(model, images, class_index=None, layer=None, *, signed=False, batch_size=16):
    """Weighs the channels of a feature map by how a class's score changes with each.

        weight_c = mean_ij d score / d x_ijc
        map_ij = relu(sum_c weight_c x_ijc)

    Args:
        model: `keras.Model`; of an ensemble the maps of all members are averaged.
        images: `(B, H, W, C)`, as the model takes them.
        class_index: int in [0, K), or one per image `(B,)`; `None`: the predicted class.
        layer: name of the layer whose output x `(B, h, w, C)` is weighed, one of
            `feature_layers`; `None`: the last of them.
        signed: bool, whether what speaks against the class is kept, below 0.
        batch_size: int, images at a time.

    Returns:
        float32 `(B, h, w)`, at least 0 unless `signed`.

    Raises:
        ValueError: if the network has no such layer, or `class_index` is out of range.

    Reference: Selvaraju et al. 2017, arXiv:1610.02391, Eqs. 1 and 2.
    Deviation: the score is the logit or, where a network puts out probabilities, their
        logarithm less its mean over the classes, which is the logit but for a shift that
        all classes share.
    """
    if class_index is None:
        steps = range(0, len(images), batch_size)
        told = [model.predict_on_batch(images[s : s + batch_size]) for s in steps]
        class_index = np.concatenate([class_probabilities(one).argmax(axis=1) for one in told])
    chosen = np.broadcast_to(class_index, len(images))
    maps = [_maps(member, images, chosen, layer, batch_size) for member in members(model)]
    mean = np.mean(maps, axis=0)
    return mean if signed else np.maximum(mean, 0)


def feature_layers(model):
    """Returns the names of the layers that `grad_cam` takes, in order; the last is its default.

    They put out several channels on a grid on the way to the class's score, and are no
    pooling, dropout, product with a map or scaling of the image.
    """
    model = members(model)[0]
    way = keras.Model(model.input, _answer(model.output))
    return [layer.name for layer in way.layers if _has_features(layer)]


def _has_features(layer):
    if isinstance(layer, NOT_FEATURES) or "Pooling" in type(layer).__name__:
        return False
    shape = getattr(_output(layer), "shape", ())
    return len(shape) == 4 and shape[1] * shape[2] > 1 and shape[3] > 1


def _output(layer):
    """What a layer put out when it was last called."""
    tensors = layer._inbound_nodes[-1].output_tensors
    return tensors[0] if len(tensors) == 1 else None


def _maps(model, images, chosen, layer, batch_size):
    names = feature_layers(model)
    if not names or layer not in (None, *names):
        raise ValueError(
            f"`layer` must be one of {names}, which put out features on a grid. "
            f"Received: layer={layer!r}, model={model.name!r}"
        )
    network = _tapped(model, layer or names[-1])
    (_, *shape), num_classes = network.input_shape[1], label_of(model.output).shape[-1]
    if not np.isin(chosen, range(num_classes)).all():
        raise ValueError(
            f"`class_index` must be an int from 0 to {num_classes - 1}, or one per image. "
            f"Received: class_index={chosen}"
        )
    found = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        batch = ops.convert_to_tensor(images[part])
        wanted = ops.one_hot(chosen[part], num_classes)

        def score(tap, batch=batch, wanted=wanted):
            return ops.sum(_scores(network([batch, tap], training=False)["answer"]) * wanted)

        tap = ops.zeros((len(batch), *shape))
        features = ops.convert_to_numpy(network([batch, tap], training=False)["features"])
        weights = ops.convert_to_numpy(gradient(score, tap)).mean(axis=(1, 2))
        found.append(np.einsum("bhwc,bc->bhw", features, weights))
    return np.concatenate(found).astype(np.float32)


def _tapped(model, name):
    """A copy with a second input, `tap`, that is added to what a layer puts out.

    The gradient by the tap, at 0, is that by the features, wherever these go.
    """
    nodes, calls = model.get_layer(name)._inbound_nodes, []
    features = nodes[-1].output_tensors[0]  # of several passes the last one's
    inputs = [keras.Input(x.shape[1:]) for x in (model.input, features)]

    def call(operation, *args, **kwargs):
        out = operation(*args, **kwargs)
        if operation.name == name:
            calls.append(out)
            if len(calls) == len(nodes):
                # named: a network from a file may have an `add` of its own
                return layers.Add(name="tapped", dtype="float32")([out, inputs[1]])
        return out

    spare = keras.Input(inputs[1].shape[1:])
    outputs = {
        "answer": model.output,
        "features": features,
        "spare": layers.Identity(name="spare")(spare),  # lest the second input lead nowhere
    }
    whole = keras.Model([model.input, spare], outputs)
    copy = keras.models.clone_model(whole, input_tensors=inputs, call_function=call)
    # by name: behind the tap the layers of parallel branches may have another order
    for layer in whole.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _answer(outputs):
    """What `label_of` reads of a network's outputs."""
    names = [n for n in ("label", "logits", "mask") if isinstance(outputs, dict) and n in outputs]
    return outputs[names[0]] if names else outputs


def _scores(outputs):
    """The logits, or what takes their place."""
    if not isinstance(outputs, dict):
        return outputs
    if "logits" in outputs:
        return outputs["logits"]
    logarithms = ops.log(ops.maximum(label_of(outputs), keras.config.epsilon()))
    return logarithms - ops.mean(logarithms, axis=-1, keepdims=True)
