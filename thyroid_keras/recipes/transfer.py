"""A small network from scratch, and known networks fine-tuned (Sai Sundar and Sai).

    python -m thyroid_keras.train --arch small_cnn --recipe paper --data DATA
    python -m thyroid_keras.train --arch inception_v3 --recipe paper --data DATA
    python -m thyroid_keras.train --arch mobilenet --recipe paper --data DATA
    python -m thyroid_keras.train --arch vgg16 --recipe paper --data DATA --set weights=imagenet \\
        normalization=caffe head=new_fc fine_tune=block5_conv2 learning_rate=1e-4 epochs=50
    python -m thyroid_keras.train --arch mobilenet     # phantom, quick, from random weights

The paper: 2,525 training and 613 test samples, grown by flips, rotations and noise from 298 images
and those of 127 patients; an hour on a GPU for the small network; accuracies of .76 (VGG-16) to
.82 (the small network). Features without training, in `bottleneck`, do better there. The same by
any way of training beside it: `table transfer_1`.
"""

import dataclasses

from thyroid_keras.archs.mobilenet import width_of
from thyroid_keras.archs.pretrained import IMAGENET
from thyroid_keras.recipes.classifier import ClassifierRecipe
from thyroid_keras.recipes.network import NetworkRecipe
from thyroid_keras.recipes.one_phase import train_classifier
from thyroid_keras.training import unmet

PAPER = "Sai Sundar and Sai, Exploring Transfer Learning, Fine-tuning of Thyroid Ultrasound Images"
FIGURES = ("accuracy", "sensitivity", "specificity")
REPORTED = {  # Table 1
    "small_cnn": (0.82, 0.89, 0.82),
    "vgg16": (0.76, 0.84, 0.68),
    "inception_v3": (0.79, 0.80, 0.77),
}
BOTTLENECK = {  # Table 1: features, and what tells the classes by them
    ("vgg16", "svm"): (0.99, 1.0, 0.985),
    ("inception_v3", "svm"): (0.967, 0.985, 0.95),
    ("vgg16", "fc"): (0.94, 0.96, 0.92),
    ("inception_v3", "fc"): (0.98, 0.99, 0.97),
}
# the paper flips, rotates and adds noise, and does not say how much, how long or how fast
AUGMENTED = {"flip_horizontal": 0.5, "rotation_deg": 15.0, "noise": 0.02}
LENGTH = {"epochs": 50, "patience": 10}
FINE_TUNED = AUGMENTED | LENGTH | {"batch_size": 32, "learning_rate": 1e-4}
QUICK = {
    "scale": "quick",
    "phantom_patients": 300,
    "phantom_typicality": 0.5,
    "batch_size": 16,
    "epochs": 12,
    "patience": None,
    "optimizer": "adam",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetRecipe(ClassifierRecipe):
    """Settings of MobileNet beside those of the others.

    Args:
        version: 1 or 2.
        alpha: width of every layer as a share of the paper's, above 0; none: that of an .npz
            file of weights, else 1.
    """

    version: int = 1
    alpha: float | None = None

    def problems(self):
        """Returns what is out of range, as a list of str."""
        fits = {"version": self.version in (1, 2), "alpha": self.alpha is None or self.alpha > 0}
        return super().problems() + unmet(self, fits)

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        alpha = self.alpha or width_of(self.weights)
        return super().arguments() | {"version": self.version, "alpha": alpha}


def reported(recipe):
    """Returns the paper's figures for this architecture, trained as in the paper."""
    row = REPORTED.get(recipe.arch, ()) if recipe.scale == "paper" else ()
    return dict(zip(FIGURES, row, strict=False))


def _recipes(kind, arch, paper, quick):
    shared = {"arch": arch, "procedure": train_classifier, "paper": PAPER, "reported": reported}
    paper = kind(**shared, **paper)
    return {"paper": paper, "quick": dataclasses.replace(paper, **QUICK | quick)}


def _fine_tuned(kind, arch, image_size, quick_size):
    learned = {"weights": IMAGENET, "normalization": "tf", "keep_norms": True}
    return _recipes(
        kind,
        arch,
        FINE_TUNED | learned | {"image_size": image_size},
        {"weights": None, "image_size": quick_size, "learning_rate": 5e-4},
    )


SMALL = AUGMENTED | LENGTH | {"batch_size": 16, "optimizer": "rmsprop", "learning_rate": 1e-3}
RECIPES = {
    "inception_v3": _fine_tuned(ClassifierRecipe, "inception_v3", 299, 96),
    "mobilenet": _fine_tuned(MobileNetRecipe, "mobilenet", 224, 96),
    "small_cnn": _recipes(
        NetworkRecipe,
        "small_cnn",
        SMALL | {"sigmoid": True},
        {"image_size": 96, "optimizer": "rmsprop"},
    ),
}
