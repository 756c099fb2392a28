"""What replaces TensorFlow Addons computes what TensorFlow Addons 0.23 computed.

The golden file holds its results on TensorFlow 2.15, the last that it could be imported on.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn import metrics

from thyroid_keras.data.augment import Augmentation, affine_matrices, warp

FILLS = ("constant", "nearest", "reflect")


@pytest.fixture(scope="module")
def goldens():
    with np.load(Path(__file__).parent / "golden/tensorflow_addons_0.23.npz") as file:
        return {name: file[name] for name in file.files}


class Drawn:
    """Stands for a random generator whose next angle or shift is known."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def uniform(self, low, high, shape):
        return np.broadcast_to(self.draws.pop(0), shape).astype(float)

    def random(self, shape):
        return np.ones(shape)


@pytest.mark.parametrize("fill", FILLS)
def test_rotation(goldens, fill):
    images, angles = goldens["image"], goldens["angles_rad"]
    drawn = Drawn(np.rad2deg(angles), 1.0, 0.0)
    matrices = affine_matrices(Augmentation(), len(images), images.shape[1:3], drawn)
    rotated = warp(images, matrices, fill)
    np.testing.assert_allclose(rotated, goldens[f"rotate_bilinear_{fill}"], atol=1e-4)
    assert np.abs(rotated - images)[1:].max() > 0.5


@pytest.mark.parametrize("fill", FILLS)
def test_translation(goldens, fill):
    images, shifts = goldens["image"], goldens["translations_dx_dy"]
    drawn = Drawn(0.0, 1.0, shifts / (64, 48))
    matrices = affine_matrices(Augmentation(), len(images), images.shape[1:3], drawn)
    moved = warp(images, matrices, fill)
    np.testing.assert_allclose(moved, goldens[f"translate_bilinear_{fill}"], atol=1e-5)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1(goldens, average):
    predicted = goldens["y_prob"].argmax(axis=1)
    f1 = metrics.f1_score(goldens["y_true"], predicted, average=average)
    assert f1 == pytest.approx(float(goldens[f"f1_{average}"]), abs=1e-6)


def test_kappa_and_matthews(goldens):
    truth, predicted = goldens["y_true"], goldens["y_prob"].argmax(axis=1)
    kappa, matthews = goldens["cohen_kappa"], goldens["mcc"]
    assert metrics.cohen_kappa_score(truth, predicted) == pytest.approx(float(kappa), abs=1e-6)
    assert metrics.matthews_corrcoef(truth, predicted) == pytest.approx(float(matthews), abs=1e-6)


def test_sigmoid_focal_loss(goldens):
    loss = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=0.25, gamma=2.0, reduction=None
    )
    values = loss(goldens["yb"][:, None], goldens["pb"][:, None])
    np.testing.assert_allclose(values, goldens["sigmoid_focal_a0.25_g2"], rtol=1e-4, atol=1e-6)
