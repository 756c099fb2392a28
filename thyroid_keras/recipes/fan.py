"""FAN on benign and malignant nodules (Wang et al.).

    python -m thyroid_keras.train --arch fan --recipe paper --data DATA
    python -m thyroid_keras.train --arch fan                      # phantom, quick

The paper: 7,216 images of 224x224, 80 % for training, epochs, hardware and hours unstated;
accuracy .8795 to .9356 by eta and kappa. Its figures beside ours: RESULTS.rst.
"""

import dataclasses
from typing import Literal

from thyroid_keras.recipes.feedback import train_fan
from thyroid_keras.recipes.rates import SGDRecipe
from thyroid_keras.training import unmet

PAPER = (
    "Wang et al., A Feedback Attention Network for Classification and Visualization of Thyroid "
    "Nodules on Ultrasound Images (FAN)"
)


OF_THE_GATE = (
    "gate_at",
    "evidence",
    "gate_scale",
    "gate_target",
    "gate_form",
    "first_pass_loss_weight",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FANRecipe(SGDRecipe):
    """Settings of FAN; the defaults are the paper's, or said to be decided here.

    Decided, too: SGD's `momentum`, and `epochs` and `patience`, which end the training.

    Args:
        image_size: side of the square input, px.
        eta: side of the last feature map: `image_size` halved one to five times.
        kappa: cells along a side of the pooled map, from 1 to `eta`.
        feedback: `recurrent` (decided): an image's own map gates its features, in one
            answer; `epoch` (the paper's words): while training, the map that it had in the
            epoch before; `none`.
        passes: how often an image is looked at, at least 1; with `epoch` at least 2, for an
            image without an epoch before.
        gate_at: what is gated, the input of the last `stage` (decided) or its output, `lfm`.
        evidence: `margin` of the class over the others (decided) or of the `class` alone.
        gate_scale: `unit` (decided), `literal` (the paper's, which is inert) or
            `standardise`.
        gate_target: whose map is fed back: of the class `predicted` (decided), of the `last`
            (malignant), or of the `true` one: only with `epoch`, only while training, and
            it gives the label away.
        gate_form: `2sigmoid` (decided) or `sigmoid`, the paper's.
        dilate: whether convolutions are dilated where poolings are left out.
        first_pass_loss_weight: of the cross-entropy of the passes before the last, so that
            their maps mean something (decided); at least 0.
    """

    paper: str = PAPER
    target: str = "malignancy"
    image_size: int = 224
    batch_size: int = 10
    flip_horizontal: float = 0.0
    eta: int = 56
    kappa: int = 2
    feedback: Literal["recurrent", "epoch", "none"] = "recurrent"
    passes: int = 2
    gate_at: Literal["stage", "lfm"] = "stage"
    evidence: Literal["margin", "class"] = "margin"
    gate_scale: Literal["unit", "literal", "standardise"] = "unit"
    gate_target: Literal["predicted", "last", "true"] = "predicted"
    gate_form: Literal["2sigmoid", "sigmoid"] = "2sigmoid"
    dilate: bool = False
    first_pass_loss_weight: float = 0.3
    patience: int | None = 50

    def problems(self):
        """Returns what is out of range, as a list of str."""
        by_epoch, halves = self.feedback == "epoch", [self.image_size / 2**n for n in range(1, 6)]
        found = []
        if self.eta not in halves:
            whole = [str(int(side)) for side in halves if side == int(side)]
            known = f"one of {', '.join(whole)}" if whole else "none, since that is odd"
            found.append(
                f"--set eta: must be image_size halved one to five times, of {self.image_size} px "
                f"{known}; change either. Received: eta={self.eta}"
            )
        return (
            super().problems()
            + found
            + unmet(
                self,
                {
                    "kappa": 1 <= self.kappa <= self.eta,
                    "passes": self.passes >= (2 if by_epoch else 1),
                    "gate_target": by_epoch or self.gate_target != "true",
                    "first_pass_loss_weight": self.first_pass_loss_weight >= 0,
                },
            )
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.feedback == "none":
            found |= dict.fromkeys(("passes", *OF_THE_GATE), "without feedback there is no gate")
        elif self.passes == 1:
            found |= dict.fromkeys(OF_THE_GATE, "one pass has no gate")
        return found


# Table 2 and, for eta = 112, the prose: by eta and kappa
FIGURES = ("accuracy", "precision", "specificity", "sensitivity", "f1")
REPORTED = {
    (7, 1): (0.9013, 0.9199, 0.8674, 0.9179, 0.9189),
    (14, 1): (0.9356, 0.9560, 0.9282, 0.9401, 0.9480),
    (14, 2): (0.8837, 0.8971, 0.8250, 0.9190, 0.9079),
    (28, 1): (0.9231, 0.9193, 0.8600, 0.9612, 0.9398),
    (28, 2): (0.8795, 0.8904, 0.8122, 0.9201, 0.9050),
    (56, 1): (0.8843, 0.9443, 0.9153, 0.8657, 0.9033),
    (56, 2): (0.8899, 0.9095, 0.8490, 0.9145, 0.9120),
    (112, 1): (0.734,),
    (112, 7): (0.894,),
}
# Table 3, eta = 56
WITHOUT_FEEDBACK = {
    1: (0.8462, 0.7625, 0.7153, 0.9885, 0.8609),
    2: (0.8719, 0.8866, 0.8066, 0.9112, 0.8987),
}


def reported(recipe):
    """Returns the paper's figures for this eta, kappa and feedback, at 224 px."""
    if recipe.image_size != 224:
        return {}
    if recipe.feedback == "none":
        row = WITHOUT_FEEDBACK.get(recipe.kappa, ()) if recipe.eta == 56 else ()
    else:
        row = REPORTED.get((recipe.eta, recipe.kappa), ())
    return dict(zip(FIGURES, row, strict=False))


def _recipes():
    paper = FANRecipe(arch="fan", procedure=train_fan, reported=reported)
    quick = dataclasses.replace(
        paper,
        scale="quick",
        image_size=112,
        eta=28,
        batch_size=16,
        flip_horizontal=0.5,
        phantom_patients=480,
        phantom_typicality=0.5,
        epochs=10,
        patience=None,
        learning_rate=0.02,
        schedule="cosine",
        warm_up_epochs=1,
        l2=1e-4,
    )
    return {"paper": paper, "quick": quick}


RECIPES = {"fan": _recipes()}
