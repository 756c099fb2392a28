"""How Xu et al. measure a network, and beside it how often repeated trainings are right."""

import dataclasses
import itertools
import json
import shutil

import numpy as np

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.data.store import PixelStore
from thyroid_keras.recipes.cut_off import ANSWER, train_global_attention
from thyroid_keras.training import SettingError, later_seed, override

FILE = "protocol.json"
GRID_FIELDS = ("learning_rate", "l2", "penalty", "pixel_channels")


def train_by_protocol(recipe, splits, training):
    """Trains as the recipe says; first as the paper chooses settings and epochs, if asked.

    The paper: five-fold cross-validation of the training images chooses the settings and
    the 30 epochs with the highest accuracy; the figure is the mean over these epochs of the
    test accuracy of one training on all of them. The file `protocol.json` of the run holds
    that, and which test images each of the `repeats` is right about: further trainings of
    other seeds, each at its best epoch by validation loss.

    Args, Returns, Raises: as for `cut_off.train_global_attention`, whose model of the seed
        itself is returned.

    Reference: Xu et al., Sec. 4.4 and 4.6.
    Deviation: which settings the paper's grid search prefers is not stated; here those with the
        highest mean of the epochs chosen.
    """
    memory = Memory(training)
    if recipe.cv_folds:
        recipe = _measure_as_the_paper(recipe, splits, memory)
    model = train_global_attention(recipe, splits, training)
    if recipe.cv_folds or recipe.repeats > 1:
        memory.of("repeat_0", lambda aside: _right_about(model, recipe, splits.test))
        for number in range(1, recipe.repeats):

            def repeat(aside, number=number):
                aside = dataclasses.replace(aside, seed=later_seed(training.seed, number))
                training.say(f"Training {number + 1} of {recipe.repeats}, another seed")
                model = train_global_attention(recipe, splits, aside)
                return _right_about(model, recipe, splits.test)

            memory.of(f"repeat_{number}", repeat)
    return model


class Memory:
    """What trainings on the side came to, kept in a file so that none is done twice.

    Args:
        training: `training.Training` of the run.
    """

    def __init__(self, training):
        self.training = training
        self.found = json.loads(training.kept(FILE) or "{}")

    def of(self, name, make):
        """Returns `make(training on the side)`, or what it returned before a break."""
        if name not in self.found:
            folder = self.training.checkpoints / name
            alone = {"report": _nothing, "keep": _nothing, "history": {}}
            aside = dataclasses.replace(self.training, checkpoints=folder, **alone)
            self.found[name] = make(aside)
            self.training.keep(FILE, json.dumps(self.found).encode())
            shutil.rmtree(folder, ignore_errors=True)  # a grid's would fill the disk
        return self.found[name]


def _nothing(*_):
    pass


def grid_points(recipe):
    """Returns the settings to be tried, a list of lists of `"field=value"`."""
    axes = [entry.partition("=") for entry in recipe.grid]
    values = [[f"{name.strip()}={v.strip()}" for v in text.split("|")] for name, _, text in axes]
    return [list(point) for point in itertools.product(*values)]


def grid_problems(recipe):
    """Returns what is wrong with a recipe's grid, as a list of str."""
    if not recipe.grid:
        return []
    plain, found = dataclasses.replace(recipe, grid=()), []
    for entry in recipe.grid:
        name, _, text = entry.partition("=")
        if name.strip() not in GRID_FIELDS:
            found.append(
                "--set grid: each is field=value|value, the field one of "
                f"{', '.join(GRID_FIELDS)}. Received: {entry!r}"
            )
            continue
        for value in text.split("|"):
            try:
                override(plain, [f"{name}={value}"])
            except SettingError as error:
                own = [x for x in str(error).splitlines() if x.startswith(f"--set {name.strip()}:")]
                found += [f"--set grid: {line.removeprefix('--set ')}" for line in own]
    return found


def cv_problems(splits, num_folds):
    """Returns why the images that are not tested give no such folds, as a list of str."""
    pool = splits.pool()
    groups = len(np.unique(pool.groups))
    most = int(min(groups, np.bincount(pool.labels).max()))
    if num_folds <= most:
        return []
    return [
        f"--set cv_folds: the {len(pool)} images that are not tested, of "
        f"{groups} groups, make {most} folds at most. Received: cv_folds={num_folds}"
    ]


def _measure_as_the_paper(recipe, splits, memory):
    """Fills the memory with the paper's figure; returns the recipe with the settings chosen."""
    training = memory.training
    pool = splits.pool()
    folds = deal_folds(pool.labels, pool.groups, recipe.cv_folds, training.seed)
    shares, tried = [held.mean() for held in folds], []
    points = grid_points(recipe)
    for i, point in enumerate(points):
        trial = dataclasses.replace(override(recipe, point), patience=None)
        curves = []
        for fold, held in enumerate(folds):

            def learn(aside, trial=trial, held=held):
                train, val = (pool.select(np.flatnonzero(part)) for part in (~held, held))
                parts = dataclasses.replace(splits, train=train, val=val)
                return _accuracies(trial, parts, aside)

            said = ", ".join(point) or "the settings given"
            training.say(
                f"Choosing epochs: {said} ({i + 1} of {len(points)}), fold {fold + 1} of "
                f"{len(folds)}"
            )
            curves.append(memory.of(f"trial_{i}_{fold}", learn))
        curve = np.average(curves, axis=0, weights=shares)
        epochs = np.sort(np.argsort(-curve, kind="stable")[: recipe.kept_epochs])
        tried.append({"settings": point, "accuracy": float(curve[epochs].mean())})
        tried[-1]["epochs"] = (epochs + 1).tolist()
    best = max(tried, key=lambda one: one["accuracy"])
    chosen = override(recipe, best["settings"])
    memory.of("grid", lambda aside: tried)
    memory.of("chosen", lambda aside: best)
    whole = dataclasses.replace(splits, train=pool, val=splits.test)
    final = dataclasses.replace(chosen, patience=None)
    training.say(f"Chosen: {', '.join(best['settings']) or 'the settings given'}")
    curve = memory.of("final", lambda aside: _accuracies(final, whole, aside))
    memory.of("measured", lambda aside: [curve[epoch - 1] for epoch in best["epochs"]])
    return chosen


def _accuracies(recipe, splits, training):
    """Trains on the side; returns the accuracy on the validation part after each epoch."""
    train_global_attention(recipe, splits, training)
    rows = [row for rows in training.history.values() for row in rows]
    return [next(row[k] for k in row if k.startswith("val_") and "accuracy" in k) for row in rows]


def _right_about(model, recipe, table):
    """Which images of a table the likeliest class is right about, a list of 0 and 1."""
    store = PixelStore(table, recipe.size, recipe.channels, label="Reading test images")
    said = []
    for start in range(0, len(table), recipe.batch_size):
        images = store.read(np.arange(len(table))[start : start + recipe.batch_size])[0]
        said += np.argmax(model.predict_on_batch(images * GREY_LEVEL)[ANSWER], axis=-1).tolist()
    return (np.array(said) == table.labels).astype(int).tolist()
