"""What `bottleneck` can be asked for."""

import dataclasses
import math

from thyroid_keras.archs.pretrained import application_name
from thyroid_keras.recipes.transfer import BOTTLENECK, FIGURES
from thyroid_keras.training import refuse, seed_problems
from thyroid_keras.transfer.svm import KERNELS

CLASSIFIERS = ("svm", "fc")
VIEWS = ("keep", "split")
PAPER = "Sai Sundar and Sai, Table 1 (two data sets joined)"
DIFFERENCES = (
    "other images: the paper's second data set is not public",
    "patients are kept together here; the paper does not say that it kept them so",
    "copies are made after the split here; 3,138 samples of 298 images and 127 patients there",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a cross-validation of bottleneck features, as of a recipe.

    Args:
        features, weights, image_size, alpha, pooling: see `network.feature_network`;
            `weights="none"`: random.
        classifier: `"svm"`, or `"fc"`: the paper's new FC layer, see `fc.fit_head`.
        kernel, scale: of `"svm"`, see `svm.fit_svm`.
        copies: int >= 0, augmented copies of each training image.
        folds: int >= 2, grouped.
        augment_before_split: bool, whether to reproduce the leak too: copies made first,
            single samples dealt into folds after.
        target: which labels; `None`: malignancy, where the data has several.
        format: of all data sets; `None`: recognised by layout.
        borders, views, phantom_patients, phantom_views, phantom_typicality,
            phantom_text_leak: see `training.Recipe`.
        on_bad: `"fail"` or `"skip"`.
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
    views: str = "keep"
    phantom_patients: int = 300
    phantom_views: int = 2
    phantom_typicality: float = 0.5
    phantom_text_leak: float = 0.0
    target: str | None = None
    format: str | None = None
    on_bad: str = "fail"
    seed: int = 0
    precision = "float32"  # of all of them

    def __post_init__(self):
        refuse(self.problems())

    def problems(self):
        """Returns what is out of range, as a list of str."""
        svm = self.classifier == "svm"
        conditions = {
            "classifier": (self.classifier in CLASSIFIERS, f"must be one of {CLASSIFIERS}"),
            "kernel": (self.kernel in KERNELS, f"must be one of {KERNELS}"),
            "scale": (svm or not self.scale, "is of an SVM; leave it out with --classifier fc"),
            "copies": (self.copies >= 0, "must be at least 0"),
            "folds": (self.folds >= 2, "must be at least 2"),
            "views": (self.views in VIEWS, f"must be one of {VIEWS}"),
            "phantom_patients": (self.phantom_patients >= 1, "must be at least 1"),
            "phantom_views": (self.phantom_views >= 1, "must be at least 1"),
            "phantom_typicality": (0 <= self.phantom_typicality < math.inf, "must be at least 0"),
            "phantom_text_leak": (0 <= self.phantom_text_leak <= 1, "must be from 0 to 1"),
            "augment_before_split": (
                self.copies > 0 or not self.augment_before_split,
                "is without effect unless --copies is above 0",
            ),
        }
        return [
            f"--{name.replace('_', '-')} {rule}. Received: {name}={getattr(self, name)!r}"
            for name, (holds, rule) in conditions.items()
            if not holds
        ] + seed_problems(self.seed)

    def idle(self):
        """As `training.Recipe.idle`: every field counts."""
        return {}

    def settings(self):
        """Returns the fields, as JSON can hold them."""
        return dataclasses.asdict(self)

    def flags(self):
        """Returns the words by which `bottleneck` is asked for these settings."""
        words = []
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) != field.default:
                words += [f"--{field.name.replace('_', '-')}"]
                words += [] if value is True else [str(value)]
        return words

    @property
    def arch(self):
        """What the features and the classifier are called together."""
        return f"{self.features} features + {self.classifier}"

    @property
    def reported(self):
        """The paper's figures for these features and this classifier, as a dict."""
        rows = {(application_name(name), kind): row for (name, kind), row in BOTTLENECK.items()}
        row = rows.get((application_name(self.features), self.classifier), ())
        return dict(zip(FIGURES, row, strict=False))
