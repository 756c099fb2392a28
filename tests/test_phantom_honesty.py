"""The simulated ultrasound: brightness alone must not give the label away."""

import cv2
import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thyroid_keras.data.phantom import phantom
from thyroid_keras.recipes import RECIPES


def brightness_features(image):
    """What is known of an image once its pixels have been shuffled."""
    values = image.astype(np.float64).ravel()
    threshold, above = cv2.threshold(image, 0, 1, cv2.THRESH_OTSU)
    above = above.ravel() > 0
    share = above.mean()
    between = share * (1 - share) * (values[above].mean() - values[~above].mean()) ** 2
    return [
        values.mean(),
        values.std(),
        values.max(),
        *np.percentile(values, [1, 10, 50, 90, 95, 99, 99.9]),
        stats.skew(values),
        stats.kurtosis(values),
        *((values > level).mean() for level in (100, 150, 200, 250)),
        *((values < level).mean() for level in (5, 20)),
        threshold,
        between / values.var(),
    ]


def brightness_auc(table):
    """The best AUC that brightness alone reaches on patients not seen before."""
    features = np.array([brightness_features(s.image) for s in table.samples])
    classifiers = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
    )
    folds = {"groups": table.groups, "cv": GroupKFold(5), "method": "predict_proba"}
    return max(
        roc_auc_score(table.labels, cross_val_predict(c, features, table.labels, **folds)[:, 1])
        for c in classifiers
    )


HONEST = [
    ("calcification", "nodule", 0.85),
    ("malignancy", "frame", 0.75),
    ("malignancy", "nodule", 0.75),
]


@pytest.mark.parametrize(("target", "crop", "most"), HONEST)
def test_brightness_does_not_tell(target, crop, most):
    table = phantom(240, views=1, image_size=64, target=target, crop=crop, seed=7, progress=False)
    assert brightness_auc(table) <= most


def test_brightness_does_not_tell_typical_nodules_either():
    typicality = RECIPES["fan"]["quick"].phantom_typicality
    options = {"image_size": 64, "target": "malignancy", "typicality": typicality, "seed": 7}
    assert brightness_auc(phantom(240, views=1, progress=False, **options)) <= 0.75


@pytest.mark.slow
@pytest.mark.parametrize(("target", "crop", "most"), HONEST)
def test_brightness_does_not_tell_at_full_size(target, crop, most):
    table = phantom(150, target=target, crop=crop, seed=11, progress=False)
    assert brightness_auc(table) <= most
