"""A support vector machine on features, with probabilities, as a file that runs nothing."""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from thyroid_keras import metrics
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.samples import DataError
from thyroid_keras.loading import MAX_EXPANSION, ModelError
from thyroid_keras.runs import atomic

KERNELS = ("linear", "rbf")
INNER_FOLDS = 3
# what skops does not trust by itself; both only compute
TRUSTED = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]
ENTRIES = {"classifier", "class_names", "threshold", "threshold_origin"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
    """A fitted classifier of features.

    Args:
        classifier: `CalibratedClassifierCV`.
        class_names: K strings.
        threshold: at or above which the last of two classes is named; `None` for more.
        threshold_origin: a sentence.
    """

    classifier: CalibratedClassifierCV
    class_names: tuple[str, ...]
    threshold: float | None
    threshold_origin: str

    def probabilities(self, features):
        """Returns float64 `(N, K)`, rows adding up to 1, of features `(N, F)`."""
        return self.classifier.predict_proba(features)


def fit_svm(features, labels, groups, class_names, *, kernel="linear", scale=False, seed=0):
    """Fits a support vector machine, its probabilities and its threshold.

    Three machines, each fitted to two of three grouped folds; the third gives the sigmoid
    that turns its scores into probabilities (Platt), and all three the threshold. The
    answer is the mean of theirs.

    Args:
        features: float32 `(V, N, F)`, views of N images.
        labels: `(N,)` ints in [0, K).
        groups: `(N,)`; a group is in one fold.
        class_names: K strings.
        kernel: `"linear"` or `"rbf"`.
        scale: bool, whether each feature is standardised first.
        seed: int >= 0, of the folds.

    Returns:
        `Classifier`.

    Raises:
        DataError: if a class has too few groups for the three folds.

    Reference: Sai Sundar and Sai, Sec. 3.2: "linear classifier", "default parameters" of
        scikit-learn; Platt 1999 for the probabilities.
    Deviation: `SVC` with a linear kernel where the default is `rbf`, and not `LinearSVC`:
        both rank alike (AUC .696 and .698 on DDTI), but this takes a sixth of the time.
    """
    views, count, width = features.shape
    svm = SVC(kernel=kernel)
    pipeline = make_pipeline(StandardScaler(), svm) if scale else make_pipeline(svm)
    held = _inner_folds(labels, groups, len(class_names), seed)
    everywhere = [np.tile(h, views) for h in held]
    model = CalibratedClassifierCV(
        pipeline,
        method="sigmoid",
        cv=[(np.flatnonzero(~h), np.flatnonzero(h)) for h in everywhere],
        ensemble=True,
    )
    model.fit(features.reshape(views * count, width), np.tile(labels, views))
    unseen = np.zeros((count, len(class_names)))
    for machine, h in zip(model.calibrated_classifiers_, held, strict=True):
        unseen[h] = machine.predict_proba(features[0][h])
    model.set_params(cv=INNER_FOLDS)  # who was in which fold is nobody's business later
    threshold, origin = None, "the likeliest class wins"
    if len(class_names) == 2:
        threshold, origin = metrics.choose_threshold(labels == 1, unseen[:, 1])
    return Classifier(
        classifier=model,
        class_names=tuple(class_names),
        threshold=threshold,
        threshold_origin=origin,
    )


def fewest_groups(labels, groups, num_classes):
    """Returns in how many groups the class is that is in the fewest."""
    return min(len(np.unique(groups[labels == k])) for k in range(num_classes))


def _inner_folds(labels, groups, num_classes, seed):
    held = []
    if fewest_groups(labels, groups, num_classes) >= INNER_FOLDS:
        held = deal_folds(labels, groups, INNER_FOLDS, seed)
    if not held or any(
        len(np.unique(labels[part])) < num_classes for h in held for part in (h, ~h)
    ):
        raise DataError(
            [
                f"A class has too few groups: {INNER_FOLDS} parts of the training images, from "
                "which probabilities are learned, must have one each; add data, or ask for more "
                f"folds. Received: {len(labels)} images of {len(np.unique(groups))} groups"
            ]
        )
    return held


def save(path, fitted):
    """Writes a `Classifier` as a skops file, atomically: arrays and names, no pickle."""
    entries = {f.name: getattr(fitted, f.name) for f in dataclasses.fields(fitted)}
    with atomic(path) as temporary:
        skops.io.dump(entries | {"class_names": list(fitted.class_names)}, temporary)


def load(path):
    """Reads what `save` wrote; a file that names any other type is refused unread.

    Args:
        path: of the skops file.

    Returns:
        `Classifier`.

    Raises:
        ModelError: if the file is missing, damaged, or holds anything but a `Classifier`.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_EXPANSION * path.stat().st_size:
                raise ValueError(f"it would unpack to {size / 1e6:,.0f} MB")
        found = skops.io.load(path, trusted=TRUSTED)
        if not isinstance(found, dict) or set(found) != ENTRIES:
            raise ValueError("it holds something else")
        if not isinstance(found["classifier"], CalibratedClassifierCV):
            raise ValueError(f"its classifier is a {type(found['classifier']).__name__}")
        return Classifier(**found | {"class_names": tuple(found["class_names"])})
    except Exception as error:  # a file made with intent may fail in any way
        raise ModelError(
            f"{path}: not a classifier that can be loaded, {str(error).strip():.300}. Take one "
            f"that `bottleneck` wrote. Received: path={str(path)!r}"
        ) from error
