"""How far a phase has come, for people and for log files."""

import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHOWN = ("loss", "val_loss")


class PhaseProgress(keras.callbacks.Callback):
    """A bar over all steps of a phase with the time left; a line per epoch in a log file.

    Args:
        phase: `Phase`.
        steps: int, steps per epoch.
        log: function of one line of text, called after each epoch.
    """

    def __init__(self, phase, steps, log=lambda line: None):
        super().__init__()
        self.phase = phase
        self.steps = steps
        self.log = log
        self.interactive = sys.stderr.isatty()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self.interactive,
        )
        self.task = None
        self.figures = ""

    def on_train_begin(self, logs=None):
        self.task = self.progress.add_task(self.phase.title, total=self.phase.epochs * self.steps)
        self.progress.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_start = time.monotonic()
        self.progress.update(
            self.task,
            completed=epoch * self.steps,
            description=f"{self.phase.title}, epoch {epoch + 1}/{self.phase.epochs}{self.figures}",
        )

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        parts = [f"{name} {logs[name]:.3f}" for name in SHOWN if name in logs]
        self.figures = "".join(f", {part}" for part in parts)
        seconds = time.monotonic() - self.epoch_start
        line = (
            f"{self.phase.title}, epoch {epoch + 1}/{self.phase.epochs}{self.figures}, "
            f"{seconds:.1f} s"
        )
        self.log(line)
        if not self.interactive:
            print(line, file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        self.progress.stop()
