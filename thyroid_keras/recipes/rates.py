"""Stochastic gradient descent whose learning rate changes by the epoch: fields and schedule."""

import dataclasses
from typing import Literal

import keras

from thyroid_keras.training import Recipe, unmet
from thyroid_keras.training.sgd import SGD


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGDRecipe(Recipe):
    """Settings of trainings by SGD.

    Args:
        epochs: of the last stage of the training, at the most; at least 1.
        patience: epochs without a lower validation loss before a stage ends; none: never.
        learning_rate: of SGD, above 0.
        momentum: of SGD, in [0, 1).
        schedule: `steps` (times `decay_factor` every `decay_epochs`) or `cosine`.
        warm_up_epochs: epochs at `warm_up_factor` of the rate (`cosine`: rising from it).
        warm_up_factor: share of the rate while warming up, in (0, 1].
        decay_epochs: epochs between two steps of the schedule `steps`, above `warm_up_epochs`.
        decay_factor: by which each step multiplies the rate, in (0, 1].
        l2: weight of the penalty l2 / 2 ||w||^2, at least 0.
    """

    epochs: int = 300
    patience: int | None = None
    learning_rate: float = 0.01
    momentum: float = 0.9
    schedule: Literal["steps", "cosine"] = "steps"
    warm_up_epochs: int = 0
    warm_up_factor: float = 0.1
    decay_epochs: int = 100
    decay_factor: float = 0.1
    l2: float = 0.0

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "epochs": self.epochs >= 1,
                "patience": self.patience is None or self.patience >= 1,
                "learning_rate": self.learning_rate > 0,
                "momentum": 0 <= self.momentum < 1,
                "warm_up_epochs": self.warm_up_epochs >= 0,
                "warm_up_factor": 0 < self.warm_up_factor <= 1,
                "decay_epochs": self.schedule == "cosine"
                or self.decay_epochs > self.warm_up_epochs,
                "decay_factor": 0 < self.decay_factor <= 1,
                "l2": self.l2 >= 0,
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.schedule == "cosine":
            found |= dict.fromkeys(("decay_epochs", "decay_factor"), "a cosine has no steps")
        if not self.warm_up_epochs:
            found["warm_up_factor"] = "warm_up_epochs is 0"
        return found


def sgd(recipe, epochs, **options):
    """Returns what `Phase.optimizer` is: a function from the training's steps to its `SGD`.

    Args:
        recipe: `SGDRecipe`.
        epochs: int >= 1, of the phase.
        **options: of `SGD`.
    """
    return lambda steps: SGD(
        schedule(recipe, steps // epochs, epochs),
        momentum=recipe.momentum,
        l2=recipe.l2,
        **options,
    )


def schedule(recipe, steps_per_epoch, epochs):
    """The learning rate by step: low to warm up, then full, then lower and lower.

    Args:
        recipe: `SGDRecipe`.
        steps_per_epoch: int >= 1.
        epochs: int >= 1, of the phase.

    Returns:
        `keras.optimizers.schedules.LearningRateSchedule`.
    """
    rate, warm_up = recipe.learning_rate, recipe.warm_up_epochs * steps_per_epoch
    first = rate * recipe.warm_up_factor
    if recipe.schedule == "cosine":
        rest = max(1, epochs * steps_per_epoch - warm_up)
        rise = {"warmup_target": rate, "warmup_steps": warm_up} if warm_up else {}
        return keras.optimizers.schedules.CosineDecay(first if warm_up else rate, rest, **rise)
    drops = range(recipe.decay_epochs, epochs, recipe.decay_epochs)
    bounds = [warm_up, *(epoch * steps_per_epoch for epoch in drops)]
    rates = [first, rate, *(rate * recipe.decay_factor ** (i + 1) for i in range(len(drops)))]
    # the boundary's own step still belongs to the epoch before
    return keras.optimizers.schedules.PiecewiseConstantDecay([b - 1 for b in bounds], rates)
