"""CS-AGnet's two-stage collaborative training (Wang et al.), and its one-stage parts.

    python -m thyroid_keras.train --arch cs_agnet --recipe paper --data DATA
    python -m thyroid_keras.train --arch cs_agnet                  # phantom, quick

The paper: 1,207 nodule crops of 192x192, five folds, one GTX 1070, hours unstated;
accuracy .921 with 30 % of the pixel labels, .929 with all, .858 with 10 %. Its figures
beside ours: RESULTS.rst.
"""

import dataclasses
from typing import Literal

from thyroid_keras.recipes.collaborative import segmentation_only, two_stages
from thyroid_keras.recipes.pixel_labels import lacking_masks
from thyroid_keras.training import Recipe, unmet

PAPER = (
    "Wang et al., Automatic calcification recognition in thyroid ultrasound by a "
    "collaborative supervision network based on attention gating (CS-AGnet)"
)


STAGE_TWO = (
    "epochs",
    "learning_rate",
    "label_loss_weight",
    "vote_loss_weight",
    "pseudo_masks",
    "pseudo_mask_threshold",
    "keep_real_masks",
    "zero_negative_masks",
    "start_from_segmentation",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRecipe(Recipe):
    """Settings of networks that learn masks first, and classes from what masks have taught.

    The defaults are those of CS-AGnet, the paper's or said to be decided here.

    Args:
        image_size: side of the square input, px, a multiple of 16.
        stage_filters: filters of the encoder's stages, five numbers.
        mask_bias: initial bias of the mask heads (decided: with 0 the loss per image
            collapses to empty masks).
        pixel_label_percent: share of the training images whose masks are used, in
            (0, 100] %.
        segmentation_epochs: epochs of stage one, at the most, at least 1 (decided).
        epochs: epochs of stage two, at the most, at least 1 (decided).
        patience: epochs without a lower validation loss before a stage ends (decided).
        segmentation_learning_rate: of Adam in stage one.
        learning_rate: of Adam in stage two.
        schedule: `inverse_time` (the paper's, lr / (1 + decay * step)) or `cosine`.
        learning_rate_decay: of `inverse_time`, per step.
        tversky_alpha: price of a missed pixel.
        tversky_beta: price of a false pixel.
        tversky_per: `image`, or `batch` as in the public relative of CS-AGnet.
    """

    paper: str = PAPER
    image_size: int = 192
    batch_size: int = 8
    flip_vertical: float = 0.5
    stage_filters: tuple[int, ...] = (32, 64, 128, 256, 512)
    mask_bias: float = -3.0
    pixel_label_percent: float = 30.0
    segmentation_epochs: int = 100
    epochs: int = 100
    patience: int | None = 20
    segmentation_learning_rate: float = 1e-4
    learning_rate: float = 5e-5
    schedule: Literal["inverse_time", "cosine"] = "inverse_time"
    learning_rate_decay: float = 1e-6
    tversky_alpha: float = 0.7
    tversky_beta: float = 0.3
    tversky_per: Literal["image", "batch"] = "image"

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "image_size": self.image_size >= 16 and self.image_size % 16 == 0,
                "stage_filters": len(self.stage_filters) == 5 and min(self.stage_filters) >= 1,
                "pixel_label_percent": 0 < self.pixel_label_percent <= 100,
                "segmentation_epochs": self.segmentation_epochs >= 1,
                "epochs": self.epochs >= 1,
                "patience": self.patience is None or self.patience >= 1,
                "segmentation_learning_rate": self.segmentation_learning_rate > 0,
                "learning_rate": self.learning_rate > 0,
                "learning_rate_decay": self.learning_rate_decay >= 0,
                "tversky_alpha": self.tversky_alpha >= 0,
                "tversky_beta": self.tversky_beta >= 0,
            },
        )

    def data_problems(self, splits):
        """Returns what such data lacks for this training, as a list of str."""
        return super().data_problems(splits) + lacking_masks(splits, self.arch)

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.schedule == "cosine":
            found["learning_rate_decay"] = "a cosine falls by itself"
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class CSAGNetRecipe(MaskRecipe):
    """Settings of CS-AGnet beside those of others that learn masks first.

    Args:
        stage_filters: filters of the four blocks and of the bridge, five numbers.
        focal_gamma: of the focal Tversky loss of the coarse masks, in [1, 3].
        label_loss_weight: weight of the cross-entropy of the joint class prediction (decided).
        vote_loss_weight: weight of the cross-entropy of each scale's own vote; the
            paper trains the joint prediction only.
        pseudo_masks: `hard` (0 or 1) or `soft` (probabilities).
        pseudo_mask_threshold: above which a pixel of a hard pseudo mask is set (decided).
        keep_real_masks: whether images of stage one keep their real masks in stage
            two; `auto`: only where all images have one (100 %), as in the paper.
        zero_negative_masks: whether pseudo masks of images without calcification are
            emptied, which their label allows.
        start_from_segmentation: whether stage two starts from the weights of stage one
            (decided: the paper's half learning rate and "gradually tune" suggest it).
    """

    focal_gamma: float = 4 / 3
    label_loss_weight: float = 1.0
    vote_loss_weight: float = 0.0
    pseudo_masks: Literal["hard", "soft"] = "hard"
    pseudo_mask_threshold: float = 0.5
    keep_real_masks: Literal["auto", "true", "false"] = "auto"
    zero_negative_masks: bool = False
    start_from_segmentation: bool = True

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "focal_gamma": 1 <= self.focal_gamma <= 3,
                "label_loss_weight": self.label_loss_weight >= 0,
                "vote_loss_weight": self.vote_loss_weight >= 0,
                "pseudo_mask_threshold": 0 < self.pseudo_mask_threshold < 1,
            },
        )

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.procedure is segmentation_only:
            why = f"{self.arch} learns stage one alone, see segmentation_epochs"
            found |= dict.fromkeys(STAGE_TWO, why)
        elif self.pseudo_masks == "soft":
            found["pseudo_mask_threshold"] = "soft pseudo masks have none"
        return found


# by the share of pixel labels; what the tables held beyond the prose is lost
REPORTED = {
    10: {"accuracy": 0.858, "roc_auc": 0.919},
    20: {"accuracy": 0.876},
    30: {"accuracy": 0.921},
    50: {"accuracy": 0.927},
    60: {"roc_auc": 0.972},
    100: {"accuracy": 0.929},
}


def reported(recipe):
    """Returns what the paper's prose says of CS-AGnet with so many pixel labels."""
    return REPORTED.get(recipe.pixel_label_percent, {}) if recipe.arch == "cs_agnet" else {}


def _recipes(arch, procedure):
    paper = CSAGNetRecipe(arch=arch, procedure=procedure, reported=reported)
    # In so few steps the joint vote alone, a softmax of softmaxes, hardly teaches the
    # classifier: phantom AUC .93 without and .96 with a loss on each scale's own vote.
    quick = dataclasses.replace(
        paper,
        scale="quick",
        image_size=96,
        batch_size=16,
        stage_filters=(8, 16, 32, 64, 128),
        segmentation_epochs=20,
        epochs=10,
        vote_loss_weight=1.0,
        patience=None,
        segmentation_learning_rate=2e-3,
        learning_rate=1e-3,
        schedule="cosine",
    )
    return {"paper": paper, "quick": quick}


RECIPES = {
    "cs_agnet": _recipes("cs_agnet", two_stages),
    "vgg_unet": _recipes("vgg_unet", two_stages),
    "ds_agnet": _recipes("ds_agnet", segmentation_only),
    "vgg_unet_seg": _recipes("vgg_unet_seg", segmentation_only),
}
