"""Two-stage collaborative training: few masks, then everybody's pseudo masks."""

import keras
import numpy as np

from thyroid_keras.archs import build
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.store import empty_pixels
from thyroid_keras.losses import FocalTversky
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.recipes.pixel_labels import draw_pixel_labels
from thyroid_keras.training import Phase, copy_weights, fit_phase, later_seed
from thyroid_keras.training.adam import Adam

SCALES = {"mask": 1, "mask_2": 2, "mask_4": 4, "mask_8": 8}
VOTES = ("vote1", "vote2", "vote3")
SEGMENTATION_HALF = {"cs_agnet": "ds_agnet", "vgg_unet": "vgg_unet_seg"}


def two_stages(recipe, splits, training):
    """Trains the segmentation half on few masks, then the whole on its pseudo masks.

    Stage one fits DS-AGnet to `pixel_label_percent` of the training images and their
    masks. Its masks of all training images, with all labels, then train CS-AGnet.
    Validation images keep their own masks, which serve to choose the epoch.

    Args:
        recipe: `recipes.cs_agnet.CSAGNetRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model`, CS-AGnet at its best epoch.

    Raises:
        DataError: if there are no masks to learn from.

    Reference: Wang et al., CS-AGnet, Fig. 3 and Sec. 2.4.
    """
    drawn = draw_pixel_labels(splits, recipe, training.seed)
    stores = open_stores(recipe, splits)
    segmenter = _fit_segmenter(
        recipe, SEGMENTATION_HALF[recipe.arch], stores, drawn, training, "Stage 1 of 2"
    )
    masks = pseudo_masks(segmenter, stores["train"], recipe)
    keep = recipe.keep_real_masks == "true" or (
        recipe.keep_real_masks == "auto" and recipe.pixel_label_percent >= 100
    )
    if keep:
        masks[drawn["train"]] = stores["train"].read(drawn["train"])[1]
    val_masks = pseudo_masks(segmenter, stores["val"], recipe)
    val_masks[drawn["val"]] = stores["val"].read(drawn["val"])[1]

    keras.utils.set_random_seed(later_seed(training.seed, 1))
    model = _build(recipe, recipe.arch, splits.train)
    if recipe.start_from_segmentation:
        copy_weights(segmenter, model)
    goal = vote_targets if recipe.vote_loss_weight else targets
    soft = {"soft_masks": recipe.pseudo_masks == "soft"}
    fit_phase(
        _with_votes(model, recipe),
        _phase(recipe, "collaborative", f"Stage 2 of 2: {recipe.arch}, all images"),
        train_batches(recipe, stores["train"], goal, (training.seed, 2), masks=masks, **soft),
        val_batches(recipe, stores["val"], goal, masks=val_masks, **soft),
        training,
    )
    return model


def segmentation_only(recipe, splits, training):
    """Trains stage one alone; arguments, result and errors as `two_stages`.

    Such a network has no class of its own: an image is as positive as its most certain
    mask pixel, so there can be two classes only.
    """
    if len(splits.train.class_names) != 2:
        raise DataError(
            [
                f"{splits.train.name}: {recipe.arch} tells two classes apart by its mask; choose "
                f"another architecture. Received: classes={splits.train.class_names}"
            ]
        )
    drawn = draw_pixel_labels(splits, recipe, training.seed)
    stores = open_stores(recipe, splits)
    return _fit_segmenter(recipe, recipe.arch, stores, drawn, training, "Stage 1 of 1")


def pseudo_masks(segmenter, store, recipe):
    """Predicts the masks of every sample of a store.

    Args:
        segmenter: `keras.Model` with an output `mask`.
        store: `data.store.PixelStore`.
        recipe: `recipes.cs_agnet.CSAGNetRecipe`.

    Returns:
        uint8 `(N, H, W, 1)`: 0 or 255, or 255 times the probability if soft.
    """
    masks = empty_pixels((len(store.table), *store.size, 1))
    steps = range(0, len(masks), recipe.batch_size)
    for start in track(steps, "Drawing pseudo masks"):
        chosen = np.arange(start, min(start + recipe.batch_size, len(masks)))
        images = store.read(chosen)[0] * GREY_LEVEL
        mask = keras.ops.convert_to_numpy(segmenter.predict_on_batch(images)["mask"])
        if recipe.pseudo_masks == "hard":
            mask = mask > recipe.pseudo_mask_threshold
        masks[chosen] = np.rint(mask * 255)
    if recipe.zero_negative_masks:
        masks[store.table.labels == 0] = 0
    return masks


def targets(arrays):
    """From a batch of arrays to what the networks are fed: image, masks by size, label.

    Coarser masks are every second, fourth and eighth pixel, as in the network's public
    relative.
    """
    masks = {name: arrays["mask"][:, ::step, ::step] for name, step in SCALES.items()}
    return arrays["image"], masks | {"label": arrays["label"]}


def mask_targets(arrays):
    """As `targets`, for a network without a label."""
    image, outputs = targets(arrays)
    return image, {name: outputs[name] for name in SCALES}


def vote_targets(arrays):
    """As `targets`, with the label once more for each scale's own vote."""
    image, outputs = targets(arrays)
    return image, outputs | dict.fromkeys(VOTES, outputs["label"])


def _fit_segmenter(recipe, arch, stores, drawn, training, title):
    keras.utils.set_random_seed(training.seed)
    model = _build(recipe, arch, stores["train"].table)
    train = train_batches(
        recipe, stores["train"], mask_targets, (training.seed, 1), indices=drawn["train"]
    )
    val = val_batches(recipe, stores["val"], mask_targets, indices=drawn["val"])
    share = f"{len(drawn['train'])} of {len(stores['train'].table)} images with masks"
    phase = _phase(recipe, "segmentation", f"{title}: {arch}, {share}")
    return fit_phase(model, phase, train, val, training)


def _build(recipe, arch, table):
    return build(
        arch,
        image_shape=(*recipe.size, recipe.channels),
        num_classes=len(table.class_names),
        stage_filters=recipe.stage_filters,
        mask_bias=recipe.mask_bias,
    )


def _with_votes(model, recipe):
    """The same layers, with the scales' votes among the outputs where they are trained."""
    if not recipe.vote_loss_weight:
        return model
    votes = {name: model.get_layer(name).output for name in VOTES}
    return keras.Model(model.input, model.output | votes)


def _phase(recipe, name, title):
    first = name == "segmentation"
    losses = {name: tversky(recipe, recipe.focal_gamma) for name in SCALES}
    losses["mask"] = tversky(recipe)
    weights = dict.fromkeys(SCALES, 1.0)
    if not first:
        heads = {"label": recipe.label_loss_weight}
        if recipe.vote_loss_weight:
            heads |= dict.fromkeys(VOTES, recipe.vote_loss_weight)
        losses |= {head: keras.losses.CategoricalCrossentropy() for head in heads}
        weights |= heads
    rate = recipe.segmentation_learning_rate if first else recipe.learning_rate
    return Phase(
        name=name,
        title=title,
        epochs=recipe.segmentation_epochs if first else recipe.epochs,
        optimizer=adam(recipe, rate),
        losses=losses,
        loss_weights=weights,
        patience=recipe.patience,
    )


def tversky(recipe, gamma=1):
    """Returns the overlap loss of a mask, focal for a `gamma` above 1, as a recipe says."""
    return FocalTversky(
        alpha=recipe.tversky_alpha,
        beta=recipe.tversky_beta,
        gamma=gamma,
        per=recipe.tversky_per,
        name="tversky" if gamma == 1 else "focal_tversky",
    )


def adam(recipe, rate):
    """Returns what `Phase.optimizer` is: Adam at a rate that sinks as a recipe says."""

    def optimizer(steps):
        if recipe.schedule == "cosine":
            return Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
        decay = recipe.learning_rate_decay
        return Adam(keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay))

    return optimizer
