"""Global spatial attention before a classifier (Xu et al.).

    python -m thyroid_keras.train --arch global_attention --recipe paper --data DATA \\
        --set backbone=resnet152
    python -m thyroid_keras.train --arch global_attention           # phantom, quick

The paper: 213 to 591 images of 224x224, all of one kind of object from one angle; four
networks known from ImageNet, 250 epochs, one RTX 2080 Ti, hours unstated; on IDRiD an accuracy
of .5721 to .6641 (five grades of retinopathy), and 3.0 to 9.5 points less for the same networks
without attention.
"""

import ast
import dataclasses
import inspect
from typing import Literal

from thyroid_keras.archs import ARCHS
from thyroid_keras.archs.global_attention import ATTENTION, backbones
from thyroid_keras.archs.pretrained import IMAGENET, published_normalization, unavailable
from thyroid_keras.archs.source import kept_normalization
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.pixel_maps import read_prior, read_region
from thyroid_keras.data.samples import DataError
from thyroid_keras.recipes.protocol import cv_problems, grid_problems, train_by_protocol
from thyroid_keras.training import Recipe, unmet

PAPER = (
    "Xu et al., A Novel Global Spatial Attention Mechanism in Convolutional Neural Network for "
    "Medical Image Classification"
)
OWN = {"image_shape", "num_classes", "weights"}  # arguments that other settings give


OF_THE_PIXEL_CNN = (
    "pixel_channels",
    "kernel_size",
    "hidden_layers",
    "last_kernel_size",
    "dense",
    "max_reference_images",
    "cutoff_epochs",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlobalAttentionRecipe(Recipe):
    """Settings of global attention; the defaults are the paper's, or said to be decided here.

    Args:
        image_size: side of the square input, px, at least 32.
        channels: 1 (grey) or 3.
        backbone: name of the classifier.
        backbone_arguments: further arguments of its builder, as `name=value`.
        weights: of the backbone: `none`: random ones; `imagenet`, where Keras publishes
            them; or the path of a .keras or .weights.h5 file.
        normalization: of the images, before they are multiplied: `torch`, `caffe`, `tf`
            (see `archs.imagenet.begin`) or `none`; `auto`: as `weights=imagenet` ask for, or as
            the network of a .keras file does it, else `torch`, the paper's.
        mode: `pixel_cnn`; the baseline `l1`: a free weight for each pixel; or `none`: the
            classifier alone.
        prior: a map from domain knowledge, added to the logits of the one that is learned: a
            picture of probabilities (grey) or an .npy file of logits, framed as the images
            are; none: without. With `pixel_cnn` alone.
        region: where the map is expected to be high, for the report: a mask framed as the images
            are, or `x,y,width,height` of an ellipse about x, y in shares of the sides; none:
            where the data set says (of IDRiD one disc diameter about the fovea), else the mean
            of the data's masks, where it has any.
        pixel_channels: K, of the hidden layers of the pixel CNN, at least 1.
        kernel_size: of the hidden layers: 3, 5 or 7.
        hidden_layers: of the pixel CNN, from 1 to 4.
        last_kernel_size: of its last layer, odd.
        dense: whether each layer takes what all hidden layers before it put out.
        max_reference_images: how many training images the pixel CNN sees at the most, at least
            1, for sets whose stack would not fit; none: all, as in the paper.
        penalty: lambda, of the map while it is learned, at least 0.
        reduction: `mean` (decided) or `sum` of it over the pixels.
        epochs: of the whole training, at the most; at least 1.
        cutoff_epochs: after which the pixel CNN is fixed, from 1 to `epochs`.
        patience: epochs without a lower validation loss before the rest ends; none: never.
        learning_rate: of Adam, above 0.
        l2: weight of the penalty l2 / 2 ||w||^2, at least 0.
        cv_folds: of the paper's choice of settings and epochs among the training images, at
            least 2 (its own: 5); 0: the settings are as given, and no such figure.
        kept_epochs: whose test accuracy is averaged for the paper's figure, at least 1.
        grid: settings among which the folds choose, each as `field=value|value`, fields
            pixel_channels, penalty, l2 and learning_rate.
        repeats: trainings of other seeds on the same images, at least 1 with the first.
    """

    paper: str = PAPER
    target: str = "site"  # of the phantoms the one whose images are aligned
    image_size: int = 224
    channels: int = 3
    batch_size: int = 32
    flip_horizontal: float = 0.0
    backbone: str = "vgg16"
    backbone_arguments: tuple[str, ...] = ()
    weights: str | None = None
    normalization: Literal["auto", "torch", "caffe", "tf", "none"] = "auto"
    mode: Literal["pixel_cnn", "l1", "none"] = "pixel_cnn"
    prior: str | None = None
    region: str | None = None
    pixel_channels: int = 128
    kernel_size: int = 3
    hidden_layers: int = 1
    last_kernel_size: int = 1
    dense: bool = False
    max_reference_images: int | None = None
    penalty: float = 1e-3
    reduction: Literal["mean", "sum"] = "mean"
    epochs: int = 250
    cutoff_epochs: int = 60
    patience: int | None = None
    learning_rate: float = 1e-4
    l2: float = 1e-4
    cv_folds: int = 0
    kept_epochs: int = 30
    grid: tuple[str, ...] = ()
    repeats: int = 1

    def problems(self):
        """Returns what is out of range, as a list of str."""
        found = super().problems() + unmet(
            self,
            {
                "image_size": min(self.size) >= 32,
                "pixel_channels": self.pixel_channels >= 1,
                "kernel_size": self.kernel_size in (3, 5, 7),
                "hidden_layers": 1 <= self.hidden_layers <= 4,
                "last_kernel_size": self.last_kernel_size >= 1 and self.last_kernel_size % 2 == 1,
                "max_reference_images": self.max_reference_images is None
                or self.max_reference_images >= 1,
                "penalty": self.penalty >= 0,
                "epochs": self.epochs >= 1,
                "cutoff_epochs": self.mode != "pixel_cnn" or 1 <= self.cutoff_epochs <= self.epochs,
                "patience": self.patience is None or self.patience >= 1,
                "learning_rate": self.learning_rate > 0,
                "l2": self.l2 >= 0,
                "cv_folds": self.cv_folds == 0 or self.cv_folds >= 2,
                "kept_epochs": 1 <= self.kept_epochs
                and (self.cv_folds == 0 or self.kept_epochs <= self.epochs),
                "grid": not self.grid or self.cv_folds > 0,  # by which it is searched
                "repeats": self.repeats >= 1,
                "prior": self.prior is None or self.mode == "pixel_cnn",
            },
        )
        found += self._unreadable() + grid_problems(self)
        if self.backbone not in backbones():
            return [*found, f"--set backbone: must be one of {', '.join(backbones())}. "
                    f"Received: backbone={self.backbone!r}"]  # fmt: skip
        takes = set(inspect.signature(ARCHS[self.backbone]).parameters)
        more = sorted(takes - OWN)
        unknown = [a for a in self.backbone_arguments if a.partition("=")[0] not in more]
        if unknown:
            found.append(
                f"--set backbone_arguments: {self.backbone} takes {', '.join(more)}, "
                f"each as name=value. Received: {', '.join(unknown)}"
            )
        problem = unavailable(self.backbone, self.weights)
        if problem is None and self.weights is not None and "weights" not in takes:
            problem = (
                f"{self.backbone} starts from random ones alone. Received: weights={self.weights!r}"
            )
        return found + ([f"--set weights: {problem}"] if problem else [])

    def data_problems(self, splits):
        """Returns what such data lacks for this training, as a list of str."""
        return super().data_problems(splits) + cv_problems(splits, self.cv_folds)

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle()
        if self.mode != "pixel_cnn":
            found |= dict.fromkeys(OF_THE_PIXEL_CNN, f"mode {self.mode} has no pixel CNN")
        if self.mode == "none":
            found |= dict.fromkeys(("penalty", "reduction"), "mode none has no map")
        if not self.cv_folds:
            found["kept_epochs"] = "cv_folds is 0"
        return found

    def _unreadable(self):
        found = []
        for name, read in (("prior", read_prior), ("region", read_region)):
            if (value := getattr(self, name)) is not None:
                try:
                    read(value, self.size)
                except (DataError, ImageError) as error:
                    found.append(f"--set {name}: {error}")
        return found

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        normalization = self.normalization
        if normalization == "auto":
            if self.weights == IMAGENET:
                normalization = published_normalization(self.backbone)
            elif str(self.weights).endswith(".keras"):
                normalization = kept_normalization(self.weights)
            else:
                normalization = "torch"
        given = (a.partition("=")[::2] for a in self.backbone_arguments)
        return {
            "backbone": self.backbone,
            "mode": self.mode,
            "channels": self.pixel_channels,
            "kernel_size": self.kernel_size,
            "hidden_layers": self.hidden_layers,
            "last_kernel_size": self.last_kernel_size,
            "dense": self.dense,
            "penalty": self.penalty,
            "reduction": self.reduction,
            "has_prior": self.prior is not None,
            "normalization": None if normalization == "none" else normalization,
        } | {name: _value(text) for name, text in given}


def _value(text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


PAPERS = GlobalAttentionRecipe(arch=ATTENTION, procedure=train_by_protocol)
RECIPES = {
    ATTENTION: {
        "paper": PAPERS,
        "quick": dataclasses.replace(
            PAPERS,
            scale="quick",
            image_size=64,
            batch_size=16,
            backbone="sononet",
            backbone_arguments=("filters=8",),
            pixel_channels=32,
            epochs=100,
            cutoff_epochs=60,
            # chosen on the aligned phantom and versions of it: there a lower penalty found the site
            # late or by chance, a higher one or a rate of 3e-3 often lost it
            learning_rate=1e-3,
            penalty=0.2,
            phantom_patients=330,
            phantom_views=1,
        ),
    }
}
