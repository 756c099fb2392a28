"""A recipe's own training, cut down to one epoch of few images per phase."""

import dataclasses
import tempfile
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.data.splits import make_splits
from thyroid_keras.preparation import read_table
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import SettingError, Training

PATIENTS = 16  # at the least, so that every split holds both classes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What is left of it: the last phase, ready for its next step.

    Args:
        phase: `Phase`, the last one of the recipe.
        model: `keras.Model`, compiled and warm, as that phase fits it.
        network: `keras.Model`, what the recipe returns.
        batches: `data.batches.Batches`, what the phase learns from.
    """

    phase: object
    model: keras.Model
    network: keras.Model
    batches: object

    def full_batch(self):
        """Returns `(inputs, outputs)` of the recipe's batch size; few images are repeated."""
        count = self.batches.batch_size
        return keras.tree.map_structure(
            lambda array: np.resize(array, (count, *array.shape[1:])), self.batches.batch(0, 0)
        )


def rehearse(recipe, seed=0):
    """Runs a recipe's procedure on a few simulated images, with one epoch per phase.

    Args:
        recipe: `Recipe`.
        seed: int >= 0.

    Returns:
        `Rehearsal`.

    Raises:
        SettingError: if the recipe trains nothing step by step.
    """
    patients = max(PATIENTS, 2 * recipe.batch_size // recipe.phantom_views)
    source = {"path": None, "format": None, "target": None, "seed": seed}
    table = read_table(source, dataclasses.replace(recipe, phantom_patients=patients))
    prompter = _Prompter()
    with tempfile.TemporaryDirectory(prefix="thyroid_keras_") as folder:
        training = Training(
            checkpoints=Path(folder),
            feed=prompter.feed,
            seed=seed,
            jit_compile=recipe.jit_compile,
            watch=prompter.watch,
        )
        network = recipe.procedure(recipe, make_splits(table, seed=seed, progress=False), training)
    if prompter.phase is None:
        raise SettingError(
            "--arch: has no training steps to be timed; choose a network. "
            f"Received: arch={recipe.arch!r}"
        )
    return Rehearsal(
        phase=prompter.phase,
        model=prompter.model,
        network=network,
        batches=prompter.batches,
    )


class _Prompter(keras.callbacks.Callback):
    """Ends each phase after an epoch, and remembers the last."""

    def __init__(self):
        super().__init__()
        self.phase = self.batches = None
        self._fed = []

    def feed(self, batches, first_epoch, num_epochs):
        self._fed.append(batches)
        return feed(batches, first_epoch, 1)

    def watch(self, phase, steps):
        self.phase = phase
        self.batches = self._fed[-2]  # training batches are fed before validation's
        return [self]

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True
