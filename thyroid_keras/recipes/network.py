"""Settings that all classifiers of one output share, whatever they learn from."""

import dataclasses
from typing import Literal

from thyroid_keras.recipes.fan import PAPER
from thyroid_keras.recipes.rates import SGDRecipe
from thyroid_keras.training import unmet


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecipe(SGDRecipe):
    """Settings of any classifier of one output; the defaults are those of FAN.

    Args:
        image_size: side of the square input, px, at least 32.
        channels: 1 (grey) or 3, which grey images fill alike.
        noise: standard deviation of noise added while training, of grey levels in [0, 1].
        optimizer: `sgd`, `adam` or `rmsprop`.
        learning_rate: of the optimizer, above 0.
        l2: of `sgd`: weight of the penalty l2 / 2 ||w||^2, at least 0.
        weight_decay: of `adam`: the share of the rate by which all weights shrink
            beside the gradient, at least 0.
        sigmoid: whether one unit tells two classes, by its sigmoid, where else two do.
    """

    paper: str = PAPER
    target: str = "malignancy"
    image_size: int = 224
    channels: int = 3
    batch_size: int = 10
    flip_horizontal: float = 0.0
    noise: float = 0.0
    patience: int | None = 50
    optimizer: Literal["sgd", "adam", "rmsprop"] = "sgd"
    weight_decay: float = 0.0
    sigmoid: bool = False

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "image_size": min(self.size) >= 32,
                "noise": self.noise >= 0,
                "l2": self.optimizer == "sgd" or not self.l2,
                "weight_decay": self.weight_decay >= 0
                and (self.optimizer == "adam" or not self.weight_decay),
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        alone = {"momentum": "it is of sgd"} if self.optimizer != "sgd" else {}
        return super().idle() | alone

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        return {}

    def frozen(self, network):
        """Returns which layers stay as they are, see `training.Phase.frozen`."""
        return ()
