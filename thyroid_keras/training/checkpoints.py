"""Checkpoints that survive a kill: one atomic folder per epoch."""

import dataclasses
import hashlib
import json
import math
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np

from thyroid_keras.replacing import TEMPORARY
from thyroid_keras.runs import RunError, flush, free_bytes, make_folder, read_json, write_bytes

KEPT = 4  # at the most: the last two, their best, and the one that is being written


class CheckpointError(ValueError):
    """No intact checkpoint where one must be, or none can be written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What is known after an epoch, besides weights and optimizer.

    Args:
        epoch: int >= 0, epochs done.
        best_epoch: int >= 0, the one with the least `best`; 0: none yet.
        best: float, the monitored value of that epoch.
        finished: bool, whether the phase ends here.
        history: tuple of dicts from metric to number, one per epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf
    finished: bool = False
    history: tuple[dict, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "history", tuple(dict(row) for row in self.history))
        kinds = {"epoch": int, "best_epoch": int, "best": (int, float), "finished": bool}
        sound = all(isinstance(getattr(self, name), kind) for name, kind in kinds.items())
        if not sound or not 0 <= self.best_epoch <= self.epoch:
            raise ValueError("not the record of an epoch")


class Checkpoints:
    """The states of one phase, newest last.

    Each epoch is a folder `epoch_0007` with `state.npz` (weights and optimizer),
    `state.json` (its `Record`) and `SHA256SUMS` of both, as `sha256sum -c` reads it. It is
    written under another name, flushed to the disk and renamed, so that it is either
    whole or absent. Kept are the last two and the best that these know.

    Args:
        folder: path; made at the first save.
        say: function of one line of text, told of each checkpoint that is passed over.
    """

    def __init__(self, folder, say=lambda line: None):
        self.folder = Path(folder)
        self.say = say

    def require_room(self, num_bytes):
        """Refuses to begin what the disk cannot hold.

        Args:
            num_bytes: int, size of one state.

        Raises:
            CheckpointError: if as many states as are kept at a time do not fit.
        """
        needed = num_bytes * (KEPT - min(len(self._epochs()), KEPT - 1))
        if (free := free_bytes(self.folder)) < needed:
            raise CheckpointError(
                f"{self.folder}: the checkpoints need {needed / 1e6:,.1f} MB, and "
                f"{free / 1e6:,.1f} MB are free. Free space and go on with --resume, or choose "
                "another --out."
            )

    def save(self, record, arrays):
        """Writes one epoch.

        Args:
            record: `Record`.
            arrays: mapping from names to arrays.

        Raises:
            CheckpointError: if the disk is full or cannot be written; the epochs before
                are untouched.
        """
        try:
            self._save(record, arrays)
        except (OSError, RunError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"{self.folder}: epoch {record.epoch} cannot be saved, {reason}; the epochs "
                "before are untouched. Free space, then go on with --resume."
            ) from error

    def _save(self, record, arrays):
        make_folder(self.folder)
        target = self._path(record.epoch)
        partial = target.with_name(f"{TEMPORARY}{target.name}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            np.savez(partial / "state.npz", **arrays)
            flush(partial / "state.npz")
            write_bytes(partial / "state.json", json.dumps(dataclasses.asdict(record)).encode())
            write_bytes(partial / "SHA256SUMS", _sums(partial))
            shutil.rmtree(target, ignore_errors=True)
            os.rename(partial, target)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        flush(self.folder)
        for epoch in self._epochs():
            if epoch > record.epoch:  # passed over as damaged: not to count as the newest
                shutil.rmtree(self._path(epoch), ignore_errors=True)
        self._prune()

    def latest(self):
        """Returns `(record, arrays)` of the newest epoch that is intact, its best too.

        `None` where there is none: then the phase begins anew, with the same result.
        """
        for epoch in reversed(self._epochs()):
            try:
                record, arrays = self.load(epoch)
                self._verify(self._path(record.best_epoch or epoch))
                return record, arrays
            except CheckpointError as error:
                self.say(f"Passed over: {error}")
        return None

    def load(self, epoch):
        """Returns `(record, arrays)` of one epoch.

        Raises:
            CheckpointError: if it is absent, cut or altered.
        """
        path = self._path(epoch)
        self._verify(path)
        try:
            record = Record(**read_json(path / "state.json"))
            if record.epoch != epoch:
                raise ValueError(f"it says epoch {record.epoch}")
            return record, _read_arrays(path / "state.npz")
        except Exception as error:  # a file made with intent may fail in any way
            raise CheckpointError(f"{path}: not a checkpoint ({error})") from error

    @staticmethod
    def _verify(path):
        try:
            intact = (path / "SHA256SUMS").read_bytes() == _sums(path)
        except OSError as error:
            raise CheckpointError(f"{path}: not a whole checkpoint ({error})") from error
        if not intact:
            raise CheckpointError(f"{path}: altered after it was written")

    def _path(self, epoch):
        return self.folder / f"epoch_{epoch:04d}"

    def _epochs(self):
        names = (path.name.removeprefix("epoch_") for path in self.folder.glob("epoch_*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _prune(self):
        newest = self._epochs()[-2:]
        keep = set(newest)
        for epoch in newest:
            try:
                keep.add(Record(**read_json(self._path(epoch) / "state.json")).best_epoch)
            except (TypeError, ValueError):
                continue
        for epoch in self._epochs():
            if epoch not in keep:
                shutil.rmtree(self._path(epoch), ignore_errors=True)


class Remembered:
    """Stands for `Checkpoints` where a training takes seconds: the best epoch, in memory."""

    def require_room(self, num_bytes):
        """Needs none."""

    def latest(self):
        """Returns `None`: nothing outlives the process."""

    def save(self, record, arrays):
        """Keeps an epoch that is the best so far."""
        if record.epoch == record.best_epoch:
            self._best = record, arrays

    def load(self, epoch):
        """Returns `(record, arrays)` of the best epoch."""
        return self._best


def _read_arrays(path):
    with zipfile.ZipFile(path) as archive:
        # `save` does not compress, and what is not compressed cannot unpack to more
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("state.npz is compressed")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _sums(path):
    """The text of `SHA256SUMS` for a folder of a checkpoint, as bytes."""
    lines = []
    for name in ("state.json", "state.npz"):
        with open(path / name, "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines).encode()
