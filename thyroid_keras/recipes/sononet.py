"""SonoNet and AG-SonoNet as Schlemper et al. train them, on standard planes of a fetus.

    python -m thyroid_keras.train --arch ag_sononet --recipe paper --data DATA
    python -m thyroid_keras.train --arch ag_sononet               # phantom, quick

The paper: 191,029 frames of 2,694 examinations, 14 classes, 208x272, hardware and hours
unstated; AG-Sononet-FT-8 reaches an accuracy of .977 and a macro F1 of .922, Sononet-8
.969 and .899. Its figures beside ours: RESULTS.rst.
"""

import dataclasses
from typing import Literal

from thyroid_keras.recipes.feeding import MOVES
from thyroid_keras.recipes.rates import SGDRecipe
from thyroid_keras.recipes.staged import one_stage, staged
from thyroid_keras.training import unmet

PAPER = (
    "Schlemper et al., Attention-Gated Networks for Improving Ultrasound Scan Plane Detection "
    "(arXiv:1804.05338)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SonoNetRecipe(SGDRecipe):
    """Settings of SonoNet; the defaults are the paper's, or said to be decided here.

    SGD has Nesterov momentum; the paper's schedule is `steps`. Every picture is resized whole
    to `image_size` (decided: the authors cut 208x272 out of the middle of stored 224x288), and
    a zoom is the same along both axes unless `anisotropic_zoom`.

    Args:
        image_size: height and width of the input, px, each at least 16.
        filters: of the first of the five stages.
        stage_convs: convolutions of each stage, five numbers.
        shift_px: translation while training, uniform in +- this, px.
        anisotropic_zoom: whether the axes are zoomed independently while training.
        inverse_zoom: whether `zoom` applies to coordinates of the output.
        augmentation: `fields`: what the fields say; `authors`: what the authors' code does
            in effect (shift 10 %, rotation 15 degrees, zoom by axis), whatever they say.
        sampling: `weighted`: every second image is background, the other classes are
            equally likely; `stratified`: so in every batch; `shuffle`: every image once.
        per_class: images of each class in a batch of `stratified`, background apart, which
            makes the batch size.
        background: name of the class that is background; none: the most frequent.
        l2: weight of the penalty l2 / 2 ||w||^2 (the paper's 1e-4; the authors' code has
            1e-6).
        penalised: `kernels` (decided), or `all` weights, as in the authors' code.
    """

    paper: str = PAPER
    target: str = "plane"
    image_size: tuple[int, int] = (208, 272)
    batch_size: int = 64
    rotation_deg: float = 25.0
    shift_px: float = 4.0
    zoom: tuple[float, float] = (0.7, 1.3)
    anisotropic_zoom: bool = False
    inverse_zoom: bool = False
    augmentation: Literal["fields", "authors"] = "fields"
    phantom_views: int = 16
    filters: int = 8
    stage_convs: tuple[int, ...] = (3, 3, 3, 2, 2)
    sampling: Literal["weighted", "stratified", "shuffle"] = "weighted"
    per_class: int = 2
    background: str | None = None
    learning_rate: float = 0.1
    warm_up_epochs: int = 5
    l2: float = 1e-4
    penalised: Literal["kernels", "all"] = "kernels"

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "image_size": min(self.size) >= 16,
                "filters": self.filters >= 1,
                "stage_convs": len(self.stage_convs) == 5 and min(self.stage_convs) >= 1,
                "shift_px": self.shift_px >= 0 and not (self.shift_px and self.shift),
                "per_class": self.per_class >= 1,
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.augmentation == "authors":
            found |= dict.fromkeys(MOVES, "augmentation is that of the authors")
        if self.sampling != "stratified":
            found["per_class"] = "sampling is not stratified"
        if self.sampling == "shuffle":
            found["background"] = "shuffling takes every image once"
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class AGSonoNetRecipe(SonoNetRecipe):
    """Settings of AG-SonoNet beside those of SonoNet.

    Args:
        aggregation: `mean` of the votes of three scales, `deep_sup`, `ft` or `concat`.
        normalization: of the gates: `mean_flow`, `softmax`, `sigmoid` or `range`.
        gating: by the `grid` of the last stage, or by its mean, one `global` vector.
        gate_bias: whether the gating signal has a bias.
        attention_pool: `sum` or `mean` of the weighed features.
        ft_input: what `ft` weighs: the votes' `logits` or their `softmax`.
        vote_rule: how `mean` combines its votes: `mean`, `max` or `weighted_mean`.
        vote_weights: three numbers, for `weighted_mean`.
        vote_loss_weight: of each vote's loss beside the joint one, in `deep_sup`.
        warm_start_epochs: of SonoNet, before there are gates (the paper's "partially
            trained"; how long is decided here); 0: none.
        scale_epochs: of the votes, before `ft` joins them.
    """

    aggregation: Literal["mean", "deep_sup", "ft", "concat"] = "ft"
    normalization: Literal["mean_flow", "softmax", "sigmoid", "range"] = "mean_flow"
    gating: Literal["grid", "global"] = "grid"
    gate_bias: bool = False
    attention_pool: Literal["sum", "mean"] = "sum"
    ft_input: Literal["logits", "softmax"] = "logits"
    vote_rule: Literal["mean", "max", "weighted_mean"] = "mean"
    vote_weights: tuple[float, ...] | None = None
    vote_loss_weight: float = 0.1
    warm_start_epochs: int = 100
    scale_epochs: int = 300

    def problems(self):
        """Returns what is out of range, as a list of str."""
        weights = self.vote_weights or ()
        weighted = len(weights) == 3 and min(weights) >= 0 and sum(weights) > 0
        return super().problems() + unmet(
            self,
            {
                "vote_weights": weighted == (self.vote_rule == "weighted_mean")
                and weighted == bool(weights),
                "vote_rule": self.vote_rule == "mean" or self.aggregation == "mean",
                "vote_loss_weight": self.vote_loss_weight >= 0,
                "warm_start_epochs": self.warm_start_epochs >= 0,
                "scale_epochs": self.scale_epochs >= 0,
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.aggregation != "ft":
            found |= dict.fromkeys(("ft_input", "scale_epochs"), "aggregation is not ft")
        if self.aggregation != "deep_sup":
            found["vote_loss_weight"] = "aggregation is not deep_sup"
        return found


OF_THE_GATES = ("normalization", "gating", "gate_bias", "attention_pool")
# Table 1: by architecture, aggregation and filters
FIGURES = ("accuracy", "f1", "precision", "sensitivity")
REPORTED = {
    ("sononet", None, 8): (0.969, 0.899, 0.878, 0.922),
    ("ag_sononet", "mean", 8): (0.976, 0.921, 0.911, 0.933),
    ("ag_sononet", "deep_sup", 8): (0.975, 0.918, 0.907, 0.929),
    ("ag_sononet", "ft", 8): (0.977, 0.922, 0.916, 0.929),
    ("sononet", None, 16): (0.977, 0.923, 0.916, 0.931),
    ("ag_sononet", "mean", 16): (0.976, 0.925, 0.917, 0.932),
    ("ag_sononet", "deep_sup", 16): (0.978, 0.924, 0.919, 0.929),
    ("ag_sononet", "ft", 16): (0.978, 0.929, 0.924, 0.934),
    ("sononet", None, 32): (0.979, 0.931, 0.924, 0.938),
    ("ag_sononet", "mean", 32): (0.980, 0.932, 0.928, 0.937),
    ("ag_sononet", "deep_sup", 32): (0.978, 0.929, 0.921, 0.937),
    ("ag_sononet", "ft", 32): (0.980, 0.933, 0.931, 0.935),
}


def reported(recipe):
    """Returns the paper's figures for these filters and this aggregation, with its own gates."""
    own = RECIPES[recipe.arch]["paper"]
    if any(getattr(recipe, name, None) != getattr(own, name, None) for name in OF_THE_GATES):
        return {}
    row = (recipe.arch, getattr(recipe, "aggregation", None), recipe.filters)
    return dict(zip(FIGURES, REPORTED.get(row, ()), strict=False))


def _recipes(paper, **shorter):
    quick = dataclasses.replace(
        paper,
        scale="quick",
        image_size=(104, 136),
        shift_px=2.0,
        batch_size=16,
        phantom_patients=150,
        schedule="cosine",
        learning_rate=0.05,
        warm_up_epochs=1,
        **shorter,
    )
    return {"paper": paper, "quick": quick}


RECIPES = {
    "sononet": _recipes(
        SonoNetRecipe(arch="sononet", procedure=one_stage, reported=reported), epochs=18
    ),
    "ag_sononet": _recipes(
        AGSonoNetRecipe(arch="ag_sononet", procedure=staged, reported=reported),
        warm_start_epochs=4,
        scale_epochs=8,
        epochs=6,
    ),
}
