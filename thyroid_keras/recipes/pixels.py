"""Logistic regression and a support vector machine on raw pixels, the baselines of Xu et al.

    python -m thyroid_keras.train --arch pixel_classifier --data DATA --set classifier=svm

The paper: scikit-learn's, settings by grid search; accuracies of .3981 and .4563 on IDRiD's five
grades of retinopathy, .6699 and .6408 on its three risks of macular oedema.
"""

import dataclasses
import itertools
import json
from typing import ClassVar, Literal

import keras
import numpy as np
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.progress import track
from thyroid_keras.data.store import PixelStore
from thyroid_keras.recipes.feeding import MOVES
from thyroid_keras.recipes.global_attention import PAPER
from thyroid_keras.recipes.protocol import FILE, cv_problems
from thyroid_keras.training import Recipe, unmet

ARCH, ANSWER = "pixel_classifier", "logits"
WAVES = 2000  # of the approximation of the radial kernel
MOST_STEPS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelRecipe(Recipe):
    """Settings of a classifier of pixels; what the paper leaves open is decided here.

    Args:
        image_size: side of the square input, px.
        channels: 1 (grey) or 3.
        classifier: `lr`, logistic regression, or `svm`, a support vector machine.
        kernels: of the machine, tried one after the other: `linear`, `rbf`.
        penalties: values of scikit-learn's C, tried one after the other, all above 0.
        cv_folds: of the training and validation images, among which the kernel and C are chosen,
            at least 2.
    """

    learns_from_validation: ClassVar[bool] = True

    paper: str = PAPER
    target: str = "site"  # of the phantoms the one whose images are aligned
    image_size: int = 224
    channels: int = 3
    batch_size: int = 32
    flip_horizontal: float = 0.0
    classifier: Literal["lr", "svm"] = "lr"
    kernels: tuple[str, ...] = ("linear", "rbf")
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
    cv_folds: int = 5

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(
            self,
            {
                "kernels": self.kernels and set(self.kernels) <= {"linear", "rbf"},
                "penalties": self.penalties and min(self.penalties) > 0,
                "cv_folds": self.cv_folds >= 2,
            },
        )

    def data_problems(self, splits):
        """Returns what such data lacks for this training, as a list of str."""
        return super().data_problems(splits) + cv_problems(splits, self.cv_folds)

    def idle(self):
        """Returns which fields change nothing beside the others."""
        found = super().idle() | dict.fromkeys(MOVES, "the pixels are taken as they are")
        if self.classifier == "lr":
            found["kernels"] = "logistic regression has none"
        return found


def train_pixel_classifier(recipe, splits, training):
    """Chooses the settings by cross-validation, and fits all images that are not tested.

    Args:
        recipe: `PixelRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`; its file `protocol.json` says what was chosen, and which
            test images are answered rightly.

    Returns:
        `keras.Model` that answers as scikit-learn's, from images in [0, 1] to a dict of
        `logits`: the scores of the classes, which for a support vector machine are no
        log-probabilities.

    Raises:
        DataError: with every file that cannot be read.

    Reference: Xu et al., Sec. 4.3 and 4.4.
    Deviation: the radial kernel by random waves (Rahimi and Recht 2007), for the support
        vectors of the kernel itself are images of patients, which a saved model must not hold.
    """
    pool = splits.pool()
    x, axes = _rotate(_read(recipe, pool))
    labels = pool.labels
    folds = deal_folds(labels, pool.groups, recipe.cv_folds, training.seed)
    kernels = recipe.kernels if recipe.classifier == "svm" else ("linear",)
    tried = []
    for kernel, c in track(list(itertools.product(kernels, recipe.penalties)), "Choosing C"):
        right = 0
        for held in folds:
            fitted = _fit(recipe, kernel, c, x[~held], labels[~held], training.seed)
            right += (fitted.predict(x[held]) == labels[held]).sum()
        tried.append({"settings": [f"kernel={kernel}", f"C={c:g}"], "kernel": kernel, "C": c})
        tried[-1]["accuracy"] = float(right / len(labels))
    best = max(tried, key=lambda one: one["accuracy"])
    fitted = _fit(recipe, best["kernel"], best["C"], x, labels, training.seed)
    model = _as_network(fitted, axes, (*recipe.size, recipe.channels), len(pool.class_names))
    test = _read(recipe, splits.test) @ axes.T
    right = (fitted.predict(test) == splits.test.labels).astype(int)
    found = {"grid": tried, "chosen": best, "measured": [float(right.mean())]}
    training.keep(FILE, json.dumps(found | {"repeat_0": right.tolist()}).encode())
    training.say(f"Chosen of {len(tried)}: {', '.join(best['settings'])}")
    return model


def _read(recipe, table):
    store = PixelStore(table, recipe.size, recipe.channels, cache="memory")
    images = store.read(np.arange(len(table)))[0]
    return images.reshape(len(table), -1) * GREY_LEVEL


def _rotate(x):
    """The same images along axes that they span: fewer numbers, the same answers.

    Penalties of squares and radial kernels look alike from every side, but what lies outside
    the span of the training images a radial kernel would see, and this one does not.
    """
    u, s, axes = np.linalg.svd(x, full_matrices=False)
    return u * s, axes


def _fit(recipe, kernel, c, x, labels, seed):
    if recipe.classifier == "lr":
        return LogisticRegression(C=c, max_iter=MOST_STEPS).fit(x, labels)
    machine = LinearSVC(C=c, max_iter=MOST_STEPS, random_state=seed)
    if kernel == "linear":
        return machine.fit(x, labels)
    # about what scikit-learn chooses, 1 over the variance of all pixels together
    gamma = 1 / max(x.var(axis=0).sum(), 1e-9)
    waves = RBFSampler(gamma=gamma, n_components=WAVES, random_state=seed)
    return make_pipeline(waves, machine).fit(x, labels)


def _as_network(fitted, axes, image_shape, num_classes):
    """The same scores as a network; of two classes the first has the score 0."""
    layers, ops = keras.layers, keras.ops
    image = keras.Input(image_shape, name="image")
    x = layers.Flatten(name="pixels", dtype="float32")(image)
    values = []
    if hasattr(fitted, "steps"):
        (_, waves), (_, fitted) = fitted.steps
        x = layers.Dense(WAVES, name="waves", dtype="float32")(x)
        x = ops.cos(x) * np.float32((2 / WAVES) ** 0.5)
        values += [axes.T @ waves.random_weights_, waves.random_offset_]
        axes = np.eye(WAVES)
    kernel, bias = axes.T @ fitted.coef_.T, fitted.intercept_
    if num_classes == 2:
        kernel, bias = (np.concatenate([0 * part, part], axis=-1) for part in (kernel, bias))
    logits = layers.Dense(num_classes, name=ANSWER, dtype="float32")(x)
    model = keras.Model(image, {ANSWER: logits}, name=ARCH)
    model.set_weights([np.asarray(v, np.float32) for v in (*values, kernel, bias)])
    return model


PAPERS = PixelRecipe(arch=ARCH, procedure=train_pixel_classifier)
RECIPES = {
    ARCH: {
        "paper": PAPERS,
        "quick": dataclasses.replace(
            PAPERS,
            scale="quick",
            image_size=64,
            cv_folds=3,
            penalties=(1e-3, 0.1),
            phantom_patients=150,
        ),
    }
}
