"""The one training engine: the only `compile` and the only `fit`."""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.training.checkpoints import CheckpointError, Checkpoints, Record, Remembered
from thyroid_keras.training.distribution import Distribution, SharedCheckpoints
from thyroid_keras.training.recipe import Phase


class Diverged(RuntimeError):
    """Loss or weights are no longer finite; the last good epoch is still there."""


class Interrupted(KeyboardInterrupt):
    """Somebody asked the training to stop; it can be resumed.

    Args:
        signal_number: int, the signal that asked.
        way_on: str, a sentence on how to go on.
    """

    def __init__(self, signal_number, way_on="Go on with --resume."):
        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}; the last whole epoch is kept. {way_on}")
        self.signal_number = signal_number


@dataclasses.dataclass(kw_only=True)
class Training:
    """What outlives a phase: where states go, how data is fed, who is told.

    Args:
        checkpoints: folder of all phases' checkpoints; `None`: no file is written, and the
            training cannot be resumed.
        feed: function `(batches, first_epoch, num_epochs) -> (data, steps_per_epoch)`
            for `fit`, with `None` where Keras shall count for itself.
        seed: int >= 0.
        jit_compile: bool, whether XLA compiles the step.
        history: dict from the phase's name to a list of dicts, one per finished epoch.
        report: function called with `history` after each epoch.
        say: function of one line of text, told of checkpoints that are passed over.
        keep: function of a file's name and its bytes, which it keeps beside the model.
        kept: function of a file's name that returns the bytes kept, or `None`.
        watch: function `(phase, steps) -> list` of further Keras callbacks: the
            progress bar.
        deferring: function returning a context in which signals are only noted.
        stop_signal: function that returns the number of a signal noted, or `None`.
        distribution: `Distribution`, the devices that learn together.
    """

    checkpoints: Path | None
    feed: Callable
    seed: int = 0
    jit_compile: bool = False
    history: dict = dataclasses.field(default_factory=dict)
    report: Callable = lambda history: None
    say: Callable = lambda line: None
    keep: Callable = lambda name, content: None
    kept: Callable = lambda name: None
    watch: Callable = lambda phase, steps: []
    deferring: Callable = contextlib.nullcontext
    stop_signal: Callable = lambda: None
    distribution: Distribution = dataclasses.field(default_factory=Distribution)


def fit_phase(model, phase: Phase, train, val, training: Training):
    """Freezes, compiles with a fresh optimizer, fits, and leaves the weights that it shall.

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
        CheckpointError: if the disk has no room for the checkpoints.
        Diverged: if the loss, a weight or the optimizer's state is not finite.
        Interrupted: if `training.stop_signal` says so.
    """
    for layer in model.layers:
        layer.trainable = not (phase.frozen and f"{layer.name}/".startswith(phase.frozen))
    model.compile(
        phase.optimizer(phase.epochs * len(train)),
        phase.losses,
        phase.loss_weights,
        phase.metrics,
        # JAX has no other graph: not compiled, it goes through a step operation by operation
        jit_compile=training.jit_compile or keras.backend.backend() == "jax",
    )
    # here and not in the first step, which TensorFlow would then have to trace twice
    model.optimizer.build(model.trainable_variables)
    keeper = _Keeper(phase, training)
    first_epoch = keeper.restore(model)
    if first_epoch < phase.epochs and not keeper.record.finished:
        keeper.checkpoints.require_room(sum(a.nbytes for a in _state(model).values()))
        data, steps = training.feed(train, first_epoch, phase.epochs - first_epoch)
        val_data, _ = training.feed(val, 0, 1)
        watchers = training.watch(phase, len(train))
        with training.deferring(), training.distribution.sharing(model):
            try:
                model.fit(
                    data,
                    validation_data=val_data,
                    initial_epoch=first_epoch,
                    epochs=phase.epochs,
                    steps_per_epoch=steps,
                    shuffle=False,  # the batches see to it
                    callbacks=[_Numbered(train), keeper, *watchers],
                    verbose=0,
                )
            except BaseException:
                for watcher in watchers:  # Keras does not; a terminal's cursor would stay hidden
                    watcher.on_train_end()
                raise
    if phase.leaves == "best":
        keeper.restore_best(model)
    return model


class _Numbered(keras.callbacks.Callback):
    """Tells the batches which epoch it is: JAX looks through one before the first."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


class _Keeper(keras.callbacks.Callback):
    """Saves each epoch, remembers the best, stops early, refuses what is not finite."""

    def __init__(self, phase, training):
        super().__init__()
        self.phase = phase
        self.training = training
        self.checkpoints = Remembered()
        if training.checkpoints is not None:
            self.checkpoints = Checkpoints(Path(training.checkpoints) / phase.name, training.say)
        if training.distribution.num_processes > 1:
            self.checkpoints = SharedCheckpoints(self.checkpoints, training.distribution)
        self.record = Record()

    def restore(self, model):
        if (found := self.checkpoints.latest()) is None:
            return 0
        self.record, arrays = found
        _assign(model.variables, arrays, "weights")
        _assign(model.optimizer.variables, arrays, "optimizer")
        self._tell()  # a kill may have come between the checkpoint and its report
        return self.record.epoch

    def restore_best(self, model):
        best = self.record.best_epoch
        if best and best != self.record.epoch:
            _assign(model.variables, self.checkpoints.load(best)[1], "weights")

    def _tell(self):
        self.training.history[self.phase.name] = list(self.record.history)
        self.training.report(self.training.history)

    def on_train_batch_end(self, batch, logs=None):
        if self.training.distribution.num_processes == 1:  # more agree once per epoch
            self._heed_signals()

    def _heed_signals(self):
        if number := self.training.distribution.greatest(self.training.stop_signal() or 0):
            raise Interrupted(number)

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if self.phase.after_epoch is not None:
            self.phase.after_epoch()
        state = _state(self.model)
        bad = [name for name, value in logs.items() if not math.isfinite(value)]
        bad += sorted({k.split("/")[0] for k, array in state.items() if not _finite(array)})
        if bad:
            kept = "The epoch before is kept; try" if self.record.epoch else "Try"
            raise Diverged(
                f"{self.phase.title}: {', '.join(bad)} not finite in epoch {epoch + 1}. "
                f"{kept} a lower learning rate or float32."
            )
        if self.phase.monitor not in logs:
            raise ValueError(
                f"`monitor` of a phase must be one of {sorted(logs)}. "
                f"Received: monitor={self.phase.monitor!r}"
            )
        score, done = logs[self.phase.monitor], epoch + 1
        best, best_epoch = min(
            (self.record.best, self.record.best_epoch), (score, done), key=lambda pair: pair[0]
        )
        patience = self.phase.patience
        stop = patience is not None and done - best_epoch >= patience
        self.record = Record(
            epoch=done,
            best_epoch=best_epoch,
            best=best,
            finished=stop or done == self.phase.epochs,
            history=(*self.record.history, {"epoch": done} | logs),
        )
        self.checkpoints.save(self.record, state)
        self._tell()
        self.model.stop_training = stop
        self._heed_signals()  # one during validation waits until the epoch is kept


def _state(model):
    """Everything that an epoch leaves behind, random states included, as arrays by name."""
    groups = {"weights": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}/{i}": keras.ops.convert_to_numpy(variable)
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
    }


def _finite(array):
    return bool(np.isfinite(array).all())


def _assign(variables, arrays, group):
    saved = {n: a for n, a in arrays.items() if n.startswith(f"{group}/")}
    form = {f"{group}/{i}": (tuple(v.shape), v.dtype) for i, v in enumerate(variables)}
    if form != {name: (array.shape, str(array.dtype)) for name, array in saved.items()}:
        raise CheckpointError(
            f"The {group} in the checkpoint are of another network: the recipe or the version "
            "of Keras has changed since. Begin anew in another folder."
        )
    for name, variable in zip(form, variables, strict=True):
        variable.assign(arrays[name])
