"""The border network: trained on screens made up around real or simulated ultrasound.

    python -m thyroid_keras.train --arch border_unet --data DDTI
    python -m thyroid_keras.train --arch border_unet              # phantom

What is inside the sectors of the given pictures, found by the classical method, and of
simulated ones is put on made-up screens, whose sector and text are then known. The FAN
paper removes borders by a CNN and tells neither its layers nor its figures.
"""

import dataclasses

import keras

from thyroid_keras.archs import build
from thyroid_keras.data.borders.batches import ScreenBatches
from thyroid_keras.data.borders.screens import views_of
from thyroid_keras.data.phantom import phantom
from thyroid_keras.recipes.feeding import MOVES
from thyroid_keras.training import Phase, Recipe, fit_phase, unmet
from thyroid_keras.training.adam import Adam

PAPER = "The border removal of FAN, of which the paper says only that a CNN does it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BorderRecipe(Recipe):
    """Settings of the border network; all are decided here.

    Args:
        image_size: height and width of the input, px, multiples of 2 to the number of
            stages.
        stage_filters: filters of the stages, two numbers or more.
        epochs: at the most, at least 1.
        patience: epochs without a lower validation loss before the training ends; none:
            never.
        screens: made up for each epoch.
        val_screens: made up once, by which the best epoch is chosen.
        simulated_views: simulated pictures that join the given ones.
        learning_rate: of Adam, falling to 0 by a cosine.
        text_loss_weight: weight of the loss of text beside that of the sector.
    """

    paper: str = PAPER
    target: str = "malignancy"
    image_size: tuple[int, int] = (256, 352)
    batch_size: int = 16
    phantom_patients: int = 150
    phantom_views: int = 1
    stage_filters: tuple[int, ...] = (16, 24, 32, 48, 64)
    epochs: int = 60
    patience: int | None = None
    screens: int = 1600
    val_screens: int = 96
    simulated_views: int = 60
    learning_rate: float = 3e-3
    text_loss_weight: float = 2.0

    def problems(self):
        """Returns what is out of range, as a list of str."""
        stride = 2 ** len(self.stage_filters)
        return super().problems() + unmet(
            self,
            {
                "image_size": min(self.size) >= stride and not any(s % stride for s in self.size),
                "stage_filters": len(self.stage_filters) >= 2 and min(self.stage_filters) >= 1,
                "epochs": self.epochs >= 1,
                "patience": self.patience is None or self.patience >= 1,
                "screens": self.screens >= 1,
                "val_screens": self.val_screens >= 1,
                "simulated_views": self.simulated_views >= 0,
                "learning_rate": self.learning_rate > 0,
                "text_loss_weight": self.text_loss_weight >= 0,
                "borders": self.borders == "none",
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        return super().idle() | dict.fromkeys(MOVES, "every epoch has screens of its own")


def learn_borders(recipe, splits, training):
    """Trains `border_unet` on screens made up around the training images.

    Args:
        recipe: `BorderRecipe`.
        splits: `data.splits.Splits`; labels do not matter.
        training: `training.Training`.

    Returns:
        `keras.Model` at its best epoch.

    Raises:
        DataError: with every file that cannot be read.
    """
    views = views_of(splits.train)
    if recipe.simulated_views:
        more = phantom(
            recipe.simulated_views,
            views=1,
            image_size=256,
            target="malignancy",
            seed=training.seed + 1,
        )
        views += [sample.image for sample in more.samples]
    keras.utils.set_random_seed(training.seed)
    model = build(
        recipe.arch,
        image_shape=(*recipe.size, recipe.channels),
        stage_filters=recipe.stage_filters,
    )
    phase = Phase(
        name="borders",
        title=f"border_unet, screens around {len(views)} views",
        epochs=recipe.epochs,
        optimizer=lambda steps: Adam(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
        ),
        losses={name: keras.losses.BinaryCrossentropy() for name in model.output},
        loss_weights={"sector": 1.0, "text": recipe.text_loss_weight},
        patience=recipe.patience,
    )
    known = {"batch_size": recipe.batch_size}
    shape = recipe.size, recipe.channels
    train = ScreenBatches(views, *shape, count=recipe.screens, seed=(training.seed, 1), **known)
    held = {"count": recipe.val_screens, "seed": (training.seed, 2), "fixed": True}
    val = ScreenBatches(views_of(splits.val), *shape, **held, **known)
    return fit_phase(model, phase, train, val, training)


PAPERS = BorderRecipe(arch="border_unet", procedure=learn_borders)
RECIPES = {
    "border_unet": {
        "paper": PAPERS,
        "quick": dataclasses.replace(PAPERS, scale="quick", epochs=24, screens=1024),
    }
}
