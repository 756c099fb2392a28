"""One folder per run."""

import contextlib
import datetime
import os
import pathlib

from thyroid_keras.replacing import make_folder
from thyroid_keras.runs.files import (
    RunError,
    free_bytes,
    read_csv,
    read_json,
    sweep,
    write_csv,
)
from thyroid_keras.runs.form import CONFIG, METRICS
from thyroid_keras.runs.lock import LOCK, take_lock

IN_PYTHON = (
    "A model file without a run is for Python: `model = thyroid_keras.load(FILE)`, then "
    "`thyroid_keras.explain.localise(model, images)`, or `grad_cam` where it has no class map; "
    "its images must be prepared as those it was trained on, SonoNet's whitened."
)
MIN_FREE = 32 * 2**20  # bytes; with less not even a small run is written to its end


def default_folder(arch, now):
    """Returns `runs/<arch>-YYYYMMDD-HHMMSS`, with a number where that exists.

    Args:
        arch: str, name of the architecture.
        now: `datetime.datetime`.
    """
    first = pathlib.Path("runs") / f"{arch}-{now:%Y%m%d-%H%M%S}"
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder


class Run:
    """The folder a run leaves behind; its files are attributes.

    `config` (resolved recipe, versions, seed, git state), `split`, `history`, `metrics`,
    `predictions`, `model`, `checkpoints` and `plots` (folders, made when first written
    to), `report` and `log_file` are `pathlib.Path`. Use `Run.create` to write and
    `Run.open` to read.

    Args:
        folder: path of the folder.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "config.json"
        self.split = self.folder / "split.csv"
        self.history = self.folder / "history.csv"
        self.metrics = self.folder / "metrics.json"
        self.predictions = self.folder / "predictions.csv"
        self.model = self.folder / "model.keras"
        self.checkpoints = self.folder / "checkpoints"
        self.plots = self.folder / "plots"
        self.report = self.folder / "report.html"
        self.log_file = self.folder / "log.txt"
        self._lock = None

    @classmethod
    def create(cls, folder, *, resume=False):
        """Makes the folder, and keeps all others from writing in it until `close`.

        Args:
            folder: path; parents are made.
            resume: whether to go on with what an earlier run left there.

        Returns:
            `Run`, also a context manager that closes itself.

        Raises:
            RunError: if the folder is a file, is not empty (without `resume`), holds
                something other than a run, cannot be written, or is in use, or the disk
                is full.
        """
        run = cls(folder)
        try:
            run._refuse_contents(resume)
            run._require_room()
            make_folder(run.folder)
            run._take_lock()
            # a second look: another run may have come and gone in between
            run._refuse_contents(resume)
            for folder in (run.folder, run.plots, *run.checkpoints.glob("*")):
                if not folder.is_symlink() or folder == run.folder:
                    sweep(folder)
        except OSError as error:
            run.close()
            raise RunError(
                f"{run.folder}: cannot write there, {error.strerror or error}. Choose another "
                f"folder with `--out`. Received: folder={str(run.folder)!r}"
            ) from error
        except RunError:
            run.close()
            raise
        return run

    def _require_room(self):
        if (free := free_bytes(self.folder)) < MIN_FREE:
            raise RunError(
                f"{self.folder}: the disk is full, {free / 1e6:.0f} MB are free. Free space or "
                f"choose another folder with `--out`. Received: folder={str(self.folder)!r}"
            )

    def _refuse_contents(self, resume):
        if not self.folder.exists():
            return
        links = [p.name for p in self.folder.iterdir() if p.is_symlink() and p in self._own()]
        if links:
            raise RunError(
                f"{self.folder}: {', '.join(links)} would be written through a link. Put the "
                f"files themselves there. Received: folder={str(self.folder)!r}"
            )
        found = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        if found and not resume:
            raise RunError(
                f"{self.folder}: the folder is not empty. Choose another with `--out`, or go on "
                f"with the run in it with `--resume`. Received: folder={str(self.folder)!r}"
            )
        ours = {self.config.name, self.log_file.name, self.split.name, self.checkpoints.name}
        ours |= {"fold_0"}  # a cross-validation, whose folds may have been trained one by one
        if found and not found & ours:
            raise RunError(
                f"{self.folder}: nothing there is a run's, so there is nothing to resume. Choose "
                f"another folder with `--out`. Received: folder={str(self.folder)!r}"
            )

    def _own(self):
        return [value for value in vars(self).values() if isinstance(value, pathlib.Path)]

    def _take_lock(self):
        try:
            self._lock = take_lock(self.folder)
        except BlockingIOError:
            raise RunError(
                f"{self.folder}: another run is writing there. Wait for it, or choose another "
                f"folder with `--out`. Received: folder={str(self.folder)!r}"
            ) from None

    @classmethod
    def open(cls, folder, *needs):
        """Opens a run for reading.

        Args:
            folder: path.
            *needs: names of files that must be there beside `config`, e.g. `"model"`.

        Returns:
            `Run`.

        Raises:
            RunError: naming what is missing.
        """
        run = cls(folder)
        if not run.folder.is_dir():
            what, more = "no such folder", ""
            if run.folder.suffix == ".keras" and run.folder.is_file():
                what, more = "a model file", f" {IN_PYTHON}"
            raise RunError(
                f"{run.folder}: {what}. Give the run folder that `train` named.{more} "
                f"Received: folder={str(run.folder)!r}"
            )
        wanted = [getattr(run, name) for name in ("config", *needs)]
        lacking = [path.name for path in wanted if not path.exists()]
        if lacking == [run.model.name] and (run.folder / "classifier.skops").exists():
            raise RunError(
                f"{run.folder}: an SVM of bottleneck features that is not linear, or of more than "
                "two classes, is no network: `predict` and `compare` take it alone. `bottleneck "
                f"--classifier fc` makes one. Received: folder={str(run.folder)!r}"
            )
        if lacking:
            raise RunError(
                f"{run.folder}: not a finished run, {' and '.join(lacking)} missing. Finish it "
                "with `train --resume`, or give another folder. "
                f"Received: folder={str(run.folder)!r}"
            )
        return run

    def is_whole(self):
        """Whether every file of a finished run is there."""
        return all(path.exists() for path in self._own())

    def close(self):
        """Lets others write in the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # somebody removed the folder meanwhile
            if [path.name for path in self.folder.iterdir()] == [LOCK]:
                # nothing came of it, and only the holder of the lock gets here
                (self.folder / LOCK).unlink()
                self.folder.rmdir()
        self.close()

    def read_config(self):
        """Returns `config.json` as a dict; what it lacks is a `RunError` when asked for."""
        return read_json(self.config, CONFIG)

    def read_metrics(self):
        """Returns `metrics.json` as a dict; what it lacks is a `RunError` when asked for."""
        return read_json(self.metrics, METRICS)

    def write_history(self, rows):
        """Writes `history.csv`: a dict per epoch, of `phase`, `epoch` and the metrics."""
        write_csv(self.history, rows)

    def read_history(self):
        """Returns the rows of `history.csv`, numbers as int or float, `None` for no value."""
        return [
            {k: v if k == "phase" else _number(v) for k, v in row.items()}
            for row in read_csv(self.history)
        ]

    def log(self, line):
        """Appends a line to `log.txt`, with the time."""
        try:
            with open(self.log_file, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")
        except OSError as error:
            raise RunError(
                f"{self.log_file}: cannot be written, {error.strerror}. Free space, then go on "
                f"with `--resume`. Received: path={str(self.log_file)!r}"
            ) from error


def _number(cell):
    """The number in a cell, `None` for none, and the text itself where it is no number."""
    if cell == "":
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell
