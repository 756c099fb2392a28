"""FAN's training: within one image, or with the maps of the epoch before."""

import keras
import numpy as np

from thyroid_keras.archs import build
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.recipes.rates import sgd
from thyroid_keras.training import Phase, copy_weights, fit_phase

ANSWER = "logits"
UNSEEN = -1  # the index of an image of which no map is kept


def train_fan(recipe, splits, training):
    """Trains FAN, with a loss on each of its passes.

    With `feedback="epoch"` a training image is gated by the map that it had after the epoch
    before, by none in the first one. After each epoch the maps of all are computed anew, as
    in prediction and from unmoved pictures, and kept in its checkpoint; a moved picture takes
    a map moved alike. Images of validation and test, without an epoch before, are looked at
    several times as with `"recurrent"`: the network returned is of that kind. In the history
    `logits_pass1` is the answer without a map, `logits` the one with it.

    Args:
        recipe: `recipes.fan.FANRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model` at its best epoch, from images in [0, 1] to a dict of `logits`.

    Raises:
        DataError: with every file that cannot be read.

    Reference: Wang et al., FAN, Sec. 3.2 and 4.1.
    Deviation: the loss on the early passes. Whether the paper's maps came out of the training
        passes is not said; ours cost one more forward pass per image and epoch, and need no
        way back from a moved picture. Nor is it said by what its test images were gated: had
        their maps been carried along, its accuracy would be that of images known before.
    """
    stores = open_stores(recipe, splits, masks=False)
    keras.utils.set_random_seed(training.seed)
    network = _build(recipe, stores["train"].table)
    if recipe.feedback == "epoch":
        learner, refresh = _with_memory(recipe, stores["train"])
        copy_weights(network, learner)
        to_train, to_val = _known(recipe), _unseen
    else:
        learner, refresh = network, None
        to_train = to_val = _image
    heads = list(network.output)

    def pairs(inputs):
        return lambda arrays: (inputs(arrays), dict.fromkeys(heads, arrays["label"]))

    phase = Phase(
        name="fan",
        title=f"FAN, eta {recipe.eta}, kappa {recipe.kappa}, feedback {recipe.feedback}",
        epochs=recipe.epochs,
        optimizer=sgd(recipe, recipe.epochs),
        losses={h: keras.losses.CategoricalCrossentropy(from_logits=True) for h in heads},
        loss_weights={h: 1.0 if h == ANSWER else recipe.first_pass_loss_weight for h in heads},
        patience=recipe.patience,
        monitor=f"val_{ANSWER}_loss" if len(heads) > 1 else "val_loss",
        after_epoch=refresh,
    )
    train = train_batches(recipe, stores["train"], pairs(to_train), (training.seed, 1))
    fit_phase(learner, phase, train, val_batches(recipe, stores["val"], pairs(to_val)), training)
    if learner is not network:
        copy_weights(learner, network)
    return keras.Model(network.input, {ANSWER: network.output[ANSWER]}, name="fan")


def _build(recipe, table, **memory):
    return build(
        "fan",
        image_shape=(*recipe.size, recipe.channels),
        num_classes=len(table.class_names),
        eta=recipe.eta,
        kappa=recipe.kappa,
        feedback=recipe.feedback,
        passes=recipe.passes,
        gate_at=recipe.gate_at,
        evidence=recipe.evidence,
        scale=recipe.gate_scale,
        target="predicted" if recipe.gate_target == "true" else recipe.gate_target,
        form=recipe.gate_form,
        dilate=recipe.dilate,
        all_passes=True,
        **memory,
    )


def _with_memory(recipe, store):
    """The network that learns with a map per image, and the function that renews these."""
    table = store.table
    whole = _build(recipe, table, num_images=len(table))
    outputs = dict(whole.output)
    evidence = outputs.pop("evidence")
    teller = keras.Model(whole.input, {ANSWER: outputs[ANSWER], "evidence": evidence})
    gate, memory = whole.get_layer("gate"), whole.get_layer("memory")
    truth = np.eye(len(table.class_names), dtype=np.float32)[table.labels]

    def refresh():
        maps = np.empty(memory.maps.shape, np.float16)  # apart: the old ones are still read
        for start in range(0, len(table), recipe.batch_size):
            chosen = np.arange(start, min(start + recipe.batch_size, len(table)))
            images = store.read(chosen)[0] * GREY_LEVEL
            told = teller.predict_on_batch(_unmoved(images, chosen))
            said = truth[chosen] if recipe.gate_target == "true" else told[ANSWER]
            attention = keras.ops.convert_to_numpy(gate(said, told["evidence"]))
            maps[chosen] = attention[..., 0]
        memory.maps.assign(maps)

    return keras.Model(whole.input, outputs, name="fan_with_memory"), refresh


def _image(arrays):
    return arrays["image"]


def _known(recipe):
    """What the learner is fed of training images: which they are, and how they were moved."""

    def inputs(arrays):
        return {
            "image": arrays["image"],
            "index": arrays["index"].astype(np.int32),
            "matrix": grid_matrices(arrays["matrix"], recipe.image_size, recipe.eta),
        }

    return inputs


def _unseen(arrays):
    return _unmoved(arrays["image"], np.full(len(arrays["image"]), UNSEEN))


def _unmoved(images, index):
    still = np.tile(np.eye(2, 3, dtype=np.float32), (len(images), 1, 1))
    return {"image": images, "index": index.astype(np.int32), "matrix": still}


def grid_matrices(matrices, side, eta):
    """Turns affine maps of pictures into those that look up where a map's values come from.

    Args:
        matrices: `(B, 2, 3)` from input to output pixels, see `data.augment`.
        side: of the picture, px.
        eta: side of the map, which covers the same square.

    Returns:
        float32 `(B, 2, 3)` from output to input positions of the map.
    """
    step = side / eta
    edge = (step - 1) / 2  # of a pixel at a map's first position: p = step g + edge
    inverse_B22 = np.linalg.inv(matrices[:, :, :2])
    start_B2 = np.einsum("bij,bj->bi", inverse_B22, edge - matrices[:, :, 2])
    offset_B2 = (start_B2 - edge) / step
    return np.concatenate([inverse_B22, offset_B2[:, :, None]], axis=2).astype(np.float32)
