"""Brightness in the place of a network: a score, and a threshold of it (Wang et al., Table 2).

    python -m thyroid_keras.train --arch classical                 # phantom
    python -m thyroid_keras.train --arch classical --set method=otsu --data DATA

The paper compares with Chen et al.'s calcification index and Choi et al.'s use of Otsu's
thresholds; its figures of them are lost. These are in the style of both, no reproductions.
"""

import dataclasses
from typing import Literal

import keras

from thyroid_keras.archs import build
from thyroid_keras.data.samples import DataError
from thyroid_keras.recipes.cs_agnet import PAPER
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.training import Phase, Recipe, fit_phase, unmet
from thyroid_keras.training.adam import Adam


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalRecipe(Recipe):
    """Settings of a method that thresholds brightness.

    Args:
        method: `calcification_index` or `otsu`, in their styles.
        epochs: of the logistic regression that makes the score a probability, at least 1;
            which images are called positive depends on a threshold of the validation images
            alone (decided: as of the networks that it is held against).
        learning_rate: of Adam, above 0.
    """

    paper: str = PAPER
    image_size: int = 192
    batch_size: int = 16
    flip_horizontal: float = 0.0
    method: Literal["calcification_index", "otsu"] = "calcification_index"
    epochs: int = 8
    learning_rate: float = 0.05

    def problems(self):
        """Returns what is out of range, as a list of str."""
        fits = {"epochs": self.epochs >= 1, "learning_rate": self.learning_rate > 0}
        return super().problems() + unmet(self, fits)


def calibrate(recipe, splits, training):
    """Fits the logistic regression of a method's score.

    Args:
        recipe: `ClassicalRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model`, see `archs.classical`.

    Raises:
        DataError: with every file that cannot be read, or if there are not two classes.
    """
    if len(splits.train.class_names) != 2:
        raise DataError(
            [
                f"{splits.train.name}: {recipe.arch} tells two classes apart by brightness; choose "
                f"another architecture. Received: classes={splits.train.class_names}"
            ]
        )
    stores = open_stores(recipe, splits, masks=False)
    keras.utils.set_random_seed(training.seed)
    shape, rate = (*recipe.size, recipe.channels), recipe.learning_rate
    model = build(recipe.arch, image_shape=shape, method=recipe.method)
    phase = Phase(
        name="calibration",
        title=f"{recipe.method}: logistic regression of the score",
        epochs=recipe.epochs,
        optimizer=lambda steps: Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        losses={"label": keras.losses.CategoricalCrossentropy()},
    )
    part = keras.Model(model.input, {"label": model.output["label"]})
    train = train_batches(recipe, stores["train"], _targets, (training.seed, 1))
    fit_phase(part, phase, train, val_batches(recipe, stores["val"], _targets), training)
    return model


def _targets(arrays):
    return arrays["image"], {"label": arrays["label"]}


def _recipes():
    paper = ClassicalRecipe(arch="classical", procedure=calibrate)
    return {"paper": paper, "quick": dataclasses.replace(paper, scale="quick")}


RECIPES = {"classical": _recipes()}
