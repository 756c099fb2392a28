"""Class activation maps: what each place of an image adds to each class."""

import math

import keras
import numpy as np
from keras import layers, ops

from thyroid_keras.answers import class_probabilities, label_of
from thyroid_keras.explain.attention import averaged, gate_tensors, gates, members
from thyroid_keras.layers import LAPClassifier
from thyroid_keras.layers.lap import class_map

CLASS_MAPS = "class_maps"  # of all classes; the other outputs are `label` and the gates


def has_class_map(model):
    """Whether a model, or every member of an ensemble, has a class map; see `with_maps`."""
    return _source(members(model)[0]) is not None


def with_maps(model):
    """Returns a network that gives a model's answer and its maps in one pass.

    The map of class k at i, j is sum_c w_ck f_ijc: f are the features that the network's
    only global average pools, w the linear way from there to the logits, one dense layer or,
    with another behind it, their product. So the mean of the map is what these features
    add to the logit. Where LAP pools, w is that of the cell of i, j, times the positions of
    the grid over those of the cell; of several passes the last one's counts.

    An AG-SonoNet's map is of its coarsest scale alone: with `ft` and `concat` what that adds
    to the joint logit; with `mean`, `deep_sup` and a softmax of the votes what it adds to
    its own vote, `logits_scale5`, even where the joint logit is the network's answer.

    Args:
        model: `keras.Model`; of an ensemble the answers and maps of all members are averaged.

    Returns:
        `keras.Model` from the same images to a dict: `label` `(B, K)`, class
        probabilities; the map `(B, h, w)` of each attention gate by its name; and
        `class_maps` `(B, h, w, K)`, where there is such a way. All float32; weights are
        those of now.

    Reference: Zhou et al. 2016, arXiv:1512.04150, Eq. 2; Schlemper et al. 2018,
        arXiv:1804.05338, Sec. 3, for the coarsest scale; Wang et al., FAN, Eq. 5, for LAP.
    Deviation: no bias, as in the first; the second does not say how the fine-tuned layer
        enters, here by that product; the third's factor of 1 / eta^2 would give one
        kappa^2-th of the share.
    """
    kept = {"label", CLASS_MAPS, *gates(model)}
    return averaged(model, lambda member: _network(member, kept))


def with_attention(model):
    """Returns a network that gives a model's answer and the maps of its gates in one pass.

    Args:
        model: `keras.Model`; of an ensemble both are averaged over its members.

    Returns:
        `keras.Model` from the same images to a dict: `label` `(B, K)`, class probabilities,
        and the map `(B, h, w)` of each gate, of any kind, by its name.
    """
    kept = {"label", *gate_tensors(members(model)[0])}
    return averaged(model, lambda member: _network(member, kept))


def with_explanation(model):
    """Returns a network that gives a model's answer and all that it shows in one pass.

    Args:
        model: `keras.Model`; of an ensemble everything is averaged over its members.

    Returns:
        `keras.Model` from the same images to a dict: what `with_maps` gives, the map
        `(B, h, w)` of each other gate by its name, and `mask` `(B, H, W, 1)` where the model
        draws one. Maps that no image changes are those of `constant_maps`.
    """
    return averaged(model, _network)


def class_activation_map(model, images, class_index=None, *, batch_size=16):
    """Computes the class map, what each place adds to a class's logit, see `with_maps`.

    Args:
        model: `keras.Model` with LAP, or with one global average, that linear layers take
            to the classes.
        images: `(B, H, W, C)`, as the model takes them.
        class_index: int in [0, K), or one per image `(B,)`; `None`: the predicted class.
        batch_size: int, images at a time.

    Returns:
        float32 `(B, h, w)`, of any sign; its mean over h, w is what the features that are
        pooled add to the logit, of an AG-SonoNet those of one scale to that or to its vote.

    Raises:
        ValueError: if the model has no class map, or `class_index` is out of range.
    """
    parts = predict_maps(model, images, class_index, batch_size)
    return np.concatenate([class_map_of(outputs, chosen) for outputs, chosen in parts])


def evidence_map(model, images, class_index=None, *, batch_size=16):
    """Computes what each place says for a class: above 0, or against it: below 0.

    Of two classes it is the difference of their class maps, for a softmax tells nothing
    else; of more the class's own map.

    Args, Raises: as for `class_activation_map`.

    Returns:
        float32 `(B, h, w)`; of two classes its mean over h, w is what the features that
        are pooled add to the difference of the logits of `class_activation_map`.
    """
    parts = predict_maps(model, images, class_index, batch_size)
    return np.concatenate([evidence_of(outputs, chosen) for outputs, chosen in parts])


def predict_maps(model, images, class_index, batch_size):
    """Yields what `with_maps` puts out, as arrays, and the classes wanted, a batch at a time.

    Args, Raises: as for `class_activation_map`.
    """
    if not has_class_map(model):
        raise ValueError(
            "The network has no class map: it needs LAP, or one global average pooling, that "
            f"dense layers take to the classes. Received: model={model.name!r}"
        )
    network = with_maps(model)
    num_classes = network.output["label"].shape[-1]
    wanted = None if class_index is None else np.asarray(class_index)
    if wanted is not None:
        fits = wanted.shape in ((), (len(images),)) and np.isin(wanted, range(num_classes)).all()
        if not fits:
            raise ValueError(
                f"`class_index` must be an int from 0 to {num_classes - 1}, or one per image. "
                f"Received: class_index={class_index}"
            )
        wanted = np.broadcast_to(wanted, len(images)).astype(np.int64)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        outputs = network.predict_on_batch(images[part])
        outputs = {name: ops.convert_to_numpy(values) for name, values in outputs.items()}
        predicted = class_probabilities(outputs).argmax(axis=1)
        yield outputs, predicted if wanted is None else wanted[part]


def class_map_of(outputs, class_indices):
    """The map of one class for each image, float32 `(B, h, w)`, from `with_maps`' outputs."""
    maps = outputs[CLASS_MAPS]
    return maps[np.arange(len(maps)), ..., class_indices]


def evidence_of(outputs, class_indices):
    """As `class_map_of`, see `evidence_map`."""
    chosen = class_map_of(outputs, class_indices)
    if outputs[CLASS_MAPS].shape[-1] != 2:
        return chosen
    return chosen - class_map_of(outputs, 1 - np.asarray(class_indices))


def _network(model, kept=None):
    """A network that puts out a member's answer, maps and mask, or those that are `kept`."""
    taps, source = {"answer": model.output} | gate_tensors(model), _source(model)
    if source is not None:
        taps[CLASS_MAPS] = source[0]
    # as a layer: beside those of a network from a file, new operations would take their names
    image = keras.Input(model.input_shape[1:], name="image")
    found = keras.Model(model.input, taps, name="network")(image)
    answer = found.pop("answer")
    outputs = {"label": label_of(answer)}
    if source is not None:
        outputs[CLASS_MAPS] = source[1](found.pop(CLASS_MAPS))
    outputs |= {name: attention[..., 0] for name, attention in found.items()}
    if isinstance(answer, dict) and "mask" in answer:
        outputs["mask"] = answer["mask"]
    return keras.Model(image, {n: t for n, t in outputs.items() if kept is None or n in kept})


def _source(model):
    """The tensor `(B, h, w, C)` from which class maps come, and the function to `(B, h, w, K)`.

    `None` where there is no such way.
    """
    pooled = next((x for x in model.layers if isinstance(x, LAPClassifier)), None)
    if pooled is not None:
        evidence = pooled._inbound_nodes[-1].output_tensors[1]  # of the last pass
        positions = math.prod(evidence.shape[1:3])
        return evidence, lambda x: class_map(x, pooled.pool.kappa) * positions
    averages = [x for x in model.layers if isinstance(x, layers.GlobalAveragePooling2D)]
    if len(averages) != 1:
        return None
    features, average = averages[0].input, averages[0].output
    if any(average is output for output in keras.tree.flatten(model.output)):
        return features, lambda x: ops.cast(x, "float32")  # one channel per class already
    weights = _weights(model, average)
    if weights is None or weights.shape[-1] != label_of(model.output).shape[-1]:
        return None
    return features, lambda x: ops.matmul(ops.cast(x, "float32"), weights)


def _weights(model, tensor):
    """What each of a tensor's C channels adds to each logit, `(C, K)`; `None`: no linear way."""
    for layer in model.layers:
        if isinstance(layer, layers.Dropout) and layer.input is tensor:
            return _weights(model, layer.output)
        if isinstance(layer, layers.Dense) and layer.input is tensor:
            kernel = ops.convert_to_numpy(layer.kernel)
            linear = layer.activation is keras.activations.linear
            further = _weights(model, layer.output) if linear else None
            return kernel if further is None else kernel @ further
    for layer in model.layers:
        joined = layer.input if isinstance(layer, layers.Concatenate) else []
        place = next((i for i, one in enumerate(joined) if one is tensor), None)
        further = None if place is None else _weights(model, layer.output)
        if further is not None:
            start = sum(one.shape[-1] for one in joined[:place])
            return further[start : start + tensor.shape[-1]]
    return None
