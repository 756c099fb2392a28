"""What `bottleneck` can be asked for."""

import dataclasses

from thyroid_keras.archs.pretrained import application_name
from thyroid_keras.training import SettingError
from thyroid_keras.transfer.svm import KERNELS

CLASSIFIERS = ("svm", "fc")
PAPER = "Sai Sundar and Sai, Table 1 (two data sets joined)"
REPORTED = {  # accuracy, sensitivity, specificity
    ("VGG16", "svm"): (0.99, 1.0, 0.985),
    ("InceptionV3", "svm"): (0.967, 0.985, 0.95),
    ("VGG16", "fc"): (0.94, 0.96, 0.92),
    ("InceptionV3", "fc"): (0.98, 0.99, 0.97),
}
DIFFERENCES = (
    "other images: the paper's second data set is not public",
    "patients are kept together here; the paper does not say that it kept them so",
    "copies are made after the split here; 3,138 samples of 298 images and 127 patients there",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a cross-validation of bottleneck features.

    Args:
        features, weights, image_size, alpha, pooling: see `network.feature_network`;
            `weights="none"`: random.
        classifier: `"svm"`, or `"fc"`: the paper's new FC layer, see `fc.fit_head`.
        kernel, scale: of `"svm"`, see `svm.fit_svm`.
        copies: int >= 0, augmented copies of each training image.
        folds: int >= 2, grouped.
        augment_before_split: bool, whether to reproduce the leak too: copies made first,
            single samples dealt into folds after.
        borders, target, format, on_bad: see `data.deal`.
        seed: int in [0, 2**32).

    Raises:
        SettingError: with every setting that is out of range.
    """

    features: str = "mobilenet"
    classifier: str = "svm"
    weights: str = "imagenet"
    image_size: int | None = None
    alpha: float | None = None
    pooling: str | None = None
    kernel: str = "linear"
    scale: bool = False
    copies: int = 3
    folds: int = 5
    augment_before_split: bool = False
    borders: str = "none"
    target: str | None = None
    format: str | None = None
    on_bad: str = "fail"
    seed: int = 0

    def __post_init__(self):
        if problems := self.problems():
            raise SettingError("\n".join(problems))

    def problems(self):
        """Returns what is out of range, as a list of str."""
        svm = self.classifier == "svm"
        conditions = {
            "classifier": (self.classifier in CLASSIFIERS, f"must be one of {CLASSIFIERS}"),
            "kernel": (self.kernel in KERNELS, f"must be one of {KERNELS}"),
            "scale": (svm or not self.scale, "is of an SVM; leave it out with --classifier fc"),
            "copies": (self.copies >= 0, "must be at least 0"),
            "folds": (self.folds >= 2, "must be at least 2"),
            "seed": (0 <= self.seed < 2**32, f"must be from 0 to {2**32 - 1}"),
            "augment_before_split": (
                self.copies > 0 or not self.augment_before_split,
                "is without effect unless --copies is above 0",
            ),
        }
        return [
            f"--{name.replace('_', '-')} {rule}. Received: {name}={getattr(self, name)!r}"
            for name, (holds, rule) in conditions.items()
            if not holds
        ]

    @property
    def reported(self):
        """The paper's figures for these features and this classifier, as a dict."""
        row = REPORTED.get((application_name(self.features), self.classifier), ())
        return dict(zip(("accuracy", "sensitivity", "specificity"), row, strict=False))
