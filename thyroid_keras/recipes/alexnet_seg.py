"""Alexnet-Seg: an AlexNet taught to outline calcifications, then to name them (Wang et al.).

    python -m thyroid_keras.train --arch alexnet_seg --recipe paper --data DATA
    python -m thyroid_keras.train --arch alexnet_seg               # phantom, quick

The paper: as for CS-AGnet, with all pixel labels; its figures stand in a table that is lost.
"""

import dataclasses

import keras

from thyroid_keras.archs import build
from thyroid_keras.archs.alexnet_seg import STAGE_FILTERS, UNITS
from thyroid_keras.recipes.collaborative import adam, tversky
from thyroid_keras.recipes.cs_agnet import MaskRecipe
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.recipes.pixel_labels import draw_pixel_labels
from thyroid_keras.training import Phase, fit_phase, unmet


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlexNetSegRecipe(MaskRecipe):
    """Settings of Alexnet-Seg; where the paper is silent they are those of CS-AGnet.

    Args:
        image_size: side of the square input, px, a multiple of 32.
        units: of either fully connected layer, at least 1.
    """

    stage_filters: tuple[int, ...] = STAGE_FILTERS
    units: int = UNITS
    pixel_label_percent: float = 100.0

    def problems(self):
        """Returns what is out of range, as a list of str."""
        fits = {"image_size": self.image_size % 32 == 0, "units": self.units >= 1}
        return super().problems() + unmet(self, fits)


def transferred(recipe, splits, training):
    """Trains encoder and decoder on masks, then the classifier on the encoder's features.

    Args:
        recipe: `AlexNetSegRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model`, Alexnet-Seg at its best epochs.

    Raises:
        DataError: if there are no masks to learn from.

    Reference: Wang et al., CS-AGnet, Sec. 1: "the high-level features extracted by the
        segmentation network were transferred directly to the FC layer".
    Deviation: "directly" is taken to mean that what draws masks stays as it is in stage two;
        the loss of the mask is that of CS-AGnet's.
    """
    drawn = draw_pixel_labels(splits, recipe, training.seed)
    stores = open_stores(recipe, splits)
    keras.utils.set_random_seed(training.seed)
    model = build(
        recipe.arch,
        image_shape=(*recipe.size, recipe.channels),
        num_classes=len(splits.train.class_names),
        stage_filters=recipe.stage_filters,
        units=recipe.units,
        mask_bias=recipe.mask_bias,
    )
    share = f"{len(drawn['train'])} of {len(splits.train)} images with masks"
    stages = (
        Phase(
            name="segmentation",
            title=f"Stage 1 of 2: encoder and decoder, {share}",
            epochs=recipe.segmentation_epochs,
            optimizer=adam(recipe, recipe.segmentation_learning_rate),
            losses={"mask": tversky(recipe)},
            patience=recipe.patience,
        ),
        Phase(
            name="classification",
            title="Stage 2 of 2: the classifier, all images",
            epochs=recipe.epochs,
            optimizer=adam(recipe, recipe.learning_rate),
            losses={"label": keras.losses.CategoricalCrossentropy()},
            frozen=("stage",),
            patience=recipe.patience,
        ),
    )
    for number, (phase, of) in enumerate(zip(stages, (drawn, {}), strict=True), 1):
        (head,) = phase.losses
        goal, seed = _targets(head), (training.seed, number)
        train = train_batches(recipe, stores["train"], goal, seed, indices=of.get("train"))
        val = val_batches(recipe, stores["val"], goal, indices=of.get("val"))
        part = keras.Model(model.input, {head: model.output[head]})
        fit_phase(part, phase, train, val, training)
    return model


def _targets(head):
    return lambda arrays: (arrays["image"], {head: arrays[head]})


def _recipes():
    paper = AlexNetSegRecipe(arch="alexnet_seg", procedure=transferred)
    quick = dataclasses.replace(
        paper,
        scale="quick",
        image_size=96,
        batch_size=16,
        stage_filters=(24, 64, 96, 96, 64),
        units=256,
        segmentation_epochs=20,
        epochs=10,
        patience=None,
        segmentation_learning_rate=2e-3,
        learning_rate=1e-3,
        schedule="cosine",
    )
    return {"paper": paper, "quick": quick}


RECIPES = {"alexnet_seg": _recipes()}
