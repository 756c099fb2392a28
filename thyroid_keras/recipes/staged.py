"""Training of SonoNet and AG-SonoNet: in stages, each from the weights of the one before."""

import keras

from thyroid_keras.archs import build
from thyroid_keras.data.augment import AG_SONONET_AUTHORS
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.sampling import stratified_batch_size, stratified_sampler, weighted_sampler
from thyroid_keras.layers import CombineVotes
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.recipes.rates import sgd
from thyroid_keras.training import Phase, copy_weights, fit_phase, later_seed

JOINT = "logits"  # the other outputs are votes, one per scale


def one_stage(recipe, splits, training):
    """Trains SonoNet from random weights.

    Args:
        recipe: `recipes.sononet.SonoNetRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model` at its best epoch, from images in [0, 1] to a dict of `logits`.

    Raises:
        DataError: with every file that cannot be read, or if the background that the
            recipe names is no class.
    """
    return _fit(recipe, splits, training, [("sononet", {}, recipe.epochs)])


def staged(recipe, splits, training):
    """Trains AG-SonoNet: a partly trained SonoNet, then gates and votes, then their joint answer.

    Stages: `sononet` for `warm_start_epochs`; `mean`, a vote and a loss per scale; and for
    `aggregation="ft"` the classifier of the votes, while everything stays trainable. The
    other aggregations end with their own second stage.

    Args, Returns, Raises: as `one_stage`; the dict has `label`, class probabilities, where
        votes are combined by a rule, and those votes.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Sec. 2, "Aggregation Strategy",
        and Sec. 3, "Implementation Details".
    """
    gates = {
        "normalization": recipe.normalization,
        "gating": recipe.gating,
        "gate_bias": recipe.gate_bias,
        "pool": recipe.attention_pool,
    }
    stages = [("sononet", {}, recipe.warm_start_epochs)]
    if recipe.aggregation == "ft":
        stages.append(("ag_sononet", gates | {"aggregation": "mean"}, recipe.scale_epochs))
    last = gates | {"aggregation": recipe.aggregation, "ft_input": recipe.ft_input}
    stages.append(("ag_sononet", last, recipe.epochs))
    model = _fit(recipe, splits, training, [stage for stage in stages if stage[2]])
    if recipe.aggregation != "mean":
        return model
    rule = CombineVotes(recipe.vote_rule, recipe.vote_weights, name="label")
    return keras.Model(model.input, {"label": rule(list(model.output.values())), **model.output})


def _fit(recipe, splits, training, stages):
    stores = open_stores(recipe, splits, masks=False)
    sampling = _sampling(recipe, stores["train"].table)
    model = None
    for number, (arch, arguments, epochs) in enumerate(stages):
        keras.utils.set_random_seed(later_seed(training.seed, number))
        before, model = model, _build(recipe, arch, arguments, len(splits.train.class_names))
        if before is not None:
            copy_weights(before, model)
        name = arguments.get("aggregation", "sononet")
        heads = list(model.output)
        phase = Phase(
            name=name,
            title=f"Stage {number + 1} of {len(stages)}: {_title(arch, name)}",
            epochs=epochs,
            optimizer=sgd(recipe, epochs, nesterov=True, penalised=recipe.penalised),
            losses={h: keras.losses.CategoricalCrossentropy(from_logits=True) for h in heads},
            loss_weights=_loss_weights(heads, recipe),
            patience=recipe.patience,
        )
        goal = _targets(heads)
        authors = {"augmentation": AG_SONONET_AUTHORS} if recipe.augmentation == "authors" else {}
        seed = (training.seed, number + 1)
        train = train_batches(recipe, stores["train"], goal, seed, **sampling, **authors)
        fit_phase(model, phase, train, val_batches(recipe, stores["val"], goal), training)
    return model


def _build(recipe, arch, arguments, num_classes):
    network = build(
        arch,
        image_shape=(*recipe.size, recipe.channels),
        num_classes=num_classes,
        filters=recipe.filters,
        stage_convs=recipe.stage_convs,
        whiten=True,
        **arguments,
    )
    outputs = network.output if isinstance(network.output, dict) else {JOINT: network.output}
    return keras.Model(network.input, outputs, name=network.name)


def _sampling(recipe, table):
    """How `Batches` draw, from what the recipe says."""
    if recipe.background is not None and recipe.background not in table.class_names:
        raise DataError(
            [
                f"{table.name}: has no class of that name; choose among "
                f"{', '.join(table.class_names)}. Received: background={recipe.background!r}"
            ]
        )
    if recipe.sampling == "shuffle":
        return {}
    known = recipe.background is not None
    labels = table.labels
    background = table.class_names.index(recipe.background) if known else None
    if recipe.sampling == "weighted":
        return {"order": weighted_sampler(labels, background=background)}
    order = stratified_sampler(labels, per_class=recipe.per_class, background=background)
    return {"order": order, "batch_size": stratified_batch_size(labels, recipe.per_class)}


def _loss_weights(heads, recipe):
    """1 for each loss, but less for votes beside a joint answer."""
    joint = JOINT in heads
    return {h: recipe.vote_loss_weight if joint and h != JOINT else 1.0 for h in heads}


def _targets(heads):
    return lambda arrays: (arrays["image"], dict.fromkeys(heads, arrays["label"]))


def _title(arch, name):
    said = {
        "mean": "a vote per scale",
        "deep_sup": "votes and joint answer",
        "ft": "the joint answer, fine-tuned",
        "concat": "the joint answer",
    }
    return "SonoNet" if arch == "sononet" else f"AG-SonoNet, {said[name]}"
