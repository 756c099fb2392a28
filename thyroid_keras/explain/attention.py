"""Attention maps: what the gates of a trained network let through."""

import cv2
import keras
import numpy as np
from keras import ops

from thyroid_keras.layers import FeedbackGate, GlobalAttention, GridAttention, LocalAttention

GATES = (FeedbackGate, GridAttention, LocalAttention)


def members(model):
    """Returns the networks that an ensemble joins, or the network itself in a list."""
    joined = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return joined if model.name == "ensemble" else [model]


def averaged(model, outputs_of):
    """Returns one network whose outputs are the means over a model's members.

    Args:
        model: `keras.Model`, or an ensemble.
        outputs_of: function from a member to a `keras.Model` from its images to a dict.

    Returns:
        `keras.Model` from images to such a dict; of a model alone its own.
    """
    each = [outputs_of(member) for member in members(model)]
    if len(each) == 1:
        return each[0]
    image = keras.Input(model.input_shape[1:], name="image")
    answers = [network(image) for network in each]
    means = {n: ops.mean(ops.stack([a[n] for a in answers]), axis=0) for n in answers[0]}
    return keras.Model(image, means)


def gates(model):
    """Returns the names of a model's grid attention gates, in order; of an ensemble a member's."""
    return [layer.name for layer in members(model)[0].layers if isinstance(layer, GridAttention)]


def has_attention(model):
    """Whether a model, or every member of an ensemble, has gates of any kind or a global map."""
    return any(isinstance(layer, (*GATES, GlobalAttention)) for layer in members(model)[0].layers)


def attention_maps(model, images, *, batch_size=16):
    """Computes the map of every attention gate; of one that is fed back, before the last pass.

    Global attention has one map, which is repeated for each image.

    Args:
        model: `keras.Model` with layers among `GATES`, or `GlobalAttention`.
        images: `(B, H, W, C)`, as the model takes them.
        batch_size: int, images at a time.

    Returns:
        dict from the name of the gate's layer to its map, float32 `(B, h, w)`; empty
        where the model has neither. Of an ensemble the mean over its members.
    """
    each = [_gate_maps(member, images, batch_size) for member in members(model)]
    fixed = {name: np.stack([m] * len(images)) for name, m in constant_maps(model).items()}
    return fixed | {name: np.mean([maps[name] for maps in each], axis=0) for name in each[0]}


def gate_tensors(model):
    """Returns the symbolic map `(B, h, w, 1)` of each gate of a network, no ensemble, by name."""
    return {
        layer.name: layer._inbound_nodes[-1].output_tensors[0]
        for layer in model.layers
        if isinstance(layer, GATES)
    }


def constant_maps(model):
    """Returns the maps that are the same for every image, those of global attention.

    Args:
        model: `keras.Model`; of an ensemble the mean over its members.

    Returns:
        dict from the name of the map's layer to float32 `(H, W)`.
    """
    each = [
        {
            x.name: ops.convert_to_numpy(x.map)
            for x in member.layers
            if isinstance(x, GlobalAttention)
        }
        for member in members(model)
    ]
    return {name: np.mean([maps[name] for maps in each], axis=0)[0, ..., 0] for name in each[0]}


def _gate_maps(model, images, batch_size):
    maps = gate_tensors(model)
    if not maps:
        return {}
    network = keras.Model(model.input, maps)
    steps = range(0, len(images), batch_size)
    parts = [network.predict_on_batch(images[start : start + batch_size]) for start in steps]
    return {
        name: np.concatenate([ops.convert_to_numpy(part[name])[..., 0] for part in parts])
        for name in maps
    }


def attention_box(attention, size, *, share=0.5):
    """Returns the box of what is at least `share` of the highest value of a map.

    Args:
        attention: float `(h, w)`.
        size: `(H, W)` of the image, in whose pixels the box is.
        share: in (0, 1].

    Returns:
        `[left, top, width, height]`, ints; `None` where the map is the same everywhere.
    """
    if not np.ptp(attention) > 0:
        return None
    height, width = size
    scaled = cv2.resize(attention.astype(np.float32), (width, height))
    rows, columns = np.nonzero(scaled >= share * scaled.max())
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
