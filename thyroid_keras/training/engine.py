"""The one training engine: the only `compile` and the only `fit`."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.training.checkpoints import CheckpointError, Checkpoints
from thyroid_keras.training.recipe import Phase


class Diverged(RuntimeError):
    """Loss or weights are no longer finite; the last good epoch is still there."""


class Interrupted(RuntimeError):
    """Somebody asked the training to stop; it can be resumed.

    Args:
        signal_number: int, the signal that asked.
    """

    def __init__(self, signal_number):
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


@dataclasses.dataclass(kw_only=True)
class Training:
    """What outlives a phase: where states go, how data is fed, who is told.

    Args:
        checkpoints: folder of all phases' checkpoints.
        feed: function `(batches, first_epoch, num_epochs) -> (data, steps_per_epoch)`
            for `fit`, with `None` where Keras shall count for itself.
        seed: int >= 0.
        jit_compile: bool, whether XLA compiles the step.
        history: dict from the phase's name to a list of dicts, one per finished epoch.
        report: function called with `history` after each epoch.
        watch: function `(phase, steps) -> list` of further Keras callbacks: the
            progress bar.
        deferring: function returning a context in which signals are only noted.
        stop_signal: function that returns the number of a signal noted, or `None`.
    """

    checkpoints: Path
    feed: Callable
    seed: int = 0
    jit_compile: bool = False
    history: dict = dataclasses.field(default_factory=dict)
    report: Callable = lambda history: None
    watch: Callable = lambda phase, steps: []
    deferring: Callable = contextlib.nullcontext
    stop_signal: Callable = lambda: None


def fit_phase(model, phase: Phase, train, val, training: Training):
    """Freezes, compiles with a fresh optimizer, fits, and leaves the best weights in place.

    A phase that was begun before goes on after its last whole epoch, and one that was
    finished is not repeated, with the same result as without the break.

    Args:
        model: `keras.Model`, changed in place.
        phase: `Phase`.
        train: batches to learn from, see `data.batches.Batches`.
        val: batches by which the best epoch is chosen.
        training: `Training`.

    Returns:
        The model.

    Raises:
        Diverged: if the loss or a weight is not finite.
        Interrupted: if `training.stop_signal` says so.
    """
    for layer in model.layers:
        layer.trainable = not (phase.frozen and layer.name.startswith(phase.frozen))
    model.compile(
        phase.optimizer(phase.epochs * len(train)),
        phase.losses,
        phase.loss_weights,
        jit_compile=training.jit_compile,
    )
    # here and not in the first step, which TensorFlow would then have to trace twice
    model.optimizer.build(model.trainable_variables)
    keeper = _Keeper(phase, Checkpoints(Path(training.checkpoints) / phase.name), training)
    first_epoch = keeper.restore(model)
    if first_epoch < phase.epochs and not keeper.record["finished"]:
        data, steps = training.feed(train, first_epoch, phase.epochs - first_epoch)
        with training.deferring():
            model.fit(
                data,
                validation_data=training.feed(val, 0, 1)[0],
                initial_epoch=first_epoch,
                epochs=phase.epochs,
                steps_per_epoch=steps,
                shuffle=False,  # the batches see to it
                callbacks=[keeper, *training.watch(phase, len(train))],
                verbose=0,
            )
    keeper.restore_best(model)
    return model


class _Keeper(keras.callbacks.Callback):
    """Saves each epoch, remembers the best, stops early, refuses what is not finite."""

    def __init__(self, phase, checkpoints, training):
        super().__init__()
        self.phase = phase
        self.checkpoints = checkpoints
        self.training = training
        self.record = {
            "epoch": 0,
            "best_epoch": 0,
            "best": math.inf,
            "finished": False,
            "history": [],
        }

    def restore(self, model):
        found = self.checkpoints.latest()
        if found is None:
            return 0
        self.record, arrays = found
        self.training.history[self.phase.name] = self.record["history"]
        _assign(model.variables, arrays, "model")
        _assign(model.optimizer.variables, arrays, "optimizer")
        return self.record["epoch"]

    def restore_best(self, model):
        best = self.record["best_epoch"]
        if best and best != self.record["epoch"]:
            _assign(model.variables, self.checkpoints.load(best)[1], "model")

    def on_train_batch_end(self, batch, logs=None):
        self._heed_signals()

    def on_test_batch_end(self, batch, logs=None):
        self._heed_signals()

    def _heed_signals(self):
        if (signal_number := self.training.stop_signal()) is not None:
            raise Interrupted(signal_number)

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        model = self.model
        state = _arrays(model.variables, "model")
        bad = [name for name, value in logs.items() if not math.isfinite(value)]
        bad += [] if all(np.isfinite(a).all() for a in state.values()) else ["weights"]
        if bad:
            raise Diverged(
                f"{self.phase.title}: {', '.join(bad)} not finite in epoch {epoch + 1}. "
                "The epoch before is kept; try a lower learning rate or float32."
            )
        score = logs.get(self.phase.monitor, logs["loss"])
        history = [*self.record["history"], {"epoch": epoch + 1} | logs]
        record = self.record | {"epoch": epoch + 1, "history": history}
        if score < record["best"]:
            record |= {"best": score, "best_epoch": epoch + 1}
        waited = epoch + 1 - record["best_epoch"]
        stop = self.phase.patience is not None and waited >= self.phase.patience
        record["finished"] = stop or epoch + 1 == self.phase.epochs
        self.checkpoints.save(record, state | _arrays(model.optimizer.variables, "optimizer"))
        self.record = record
        self.training.history[self.phase.name] = history
        self.training.report(self.training.history)
        model.stop_training = stop


def _arrays(variables, prefix):
    return {f"{prefix}/{i}": v.numpy() for i, v in enumerate(variables)}


def _assign(variables, arrays, prefix):
    saved = [name for name in arrays if name.startswith(f"{prefix}/")]
    shapes = [tuple(v.shape) for v in variables]
    if shapes != [arrays[f"{prefix}/{i}"].shape for i in range(len(saved))]:
        raise CheckpointError(
            f"The checkpoint is of another {prefix}: the recipe or the version of Keras has "
            "changed since. Begin anew in another folder."
        )
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{prefix}/{i}"])


def copy_weights(source, target):
    """Copies weights between layers of the same name and shapes.

    Args:
        source: `keras.Model`.
        target: `keras.Model`, changed in place.

    Returns:
        The target.
    """
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        twin = layers.get(layer.name)
        if twin is None or not layer.weights:
            continue
        if [w.shape for w in twin.weights] == [w.shape for w in layer.weights]:
            layer.set_weights(twin.get_weights())
    return target
