"""Checkpoints that survive a kill: one atomic folder per epoch."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np


class CheckpointError(ValueError):
    """No intact checkpoint where one must be, or none can be written."""


class Checkpoints:
    """The states of one phase, newest last.

    Each epoch is a folder `epoch_0007` with `state.npz` (weights and optimizer) and
    `state.json` (epoch, best epoch, history, and the SHA-256 of the arrays). It is
    written under another name, flushed to the disk and renamed, so that it is either
    whole or absent. Kept are the last two and the best that these know.

    Args:
        folder: path; made at the first save.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def save(self, record, arrays):
        """Writes one epoch.

        Args:
            record: dict for JSON with at least `epoch` (1-based) and `best_epoch`.
            arrays: mapping from names to arrays.

        Raises:
            CheckpointError: if the disk is full or cannot be written; the epochs before
                are untouched.
        """
        try:
            self._save(record, arrays)
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: epoch {record['epoch']} cannot be saved, "
                f"{error.strerror or error}; the epochs before are untouched. Free space, then "
                "go on with --resume."
            ) from error

    def _save(self, record, arrays):
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._path(record["epoch"])
        partial = target.with_name(f".tmp-{target.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        with open(partial / "state.npz", "wb") as file:
            np.savez(file, **arrays)
            _flush(file)
        record = record | {"sha256": _sha256(partial / "state.npz")}
        with open(partial / "state.json", "w", encoding="utf-8") as file:
            json.dump(record, file)
            _flush(file)
        _flush_folder(partial)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(partial, target)
        _flush_folder(self.folder)
        self._prune()

    def latest(self):
        """Returns `(record, arrays)` of the newest intact epoch, or `None`."""
        for epoch in reversed(self._epochs()):
            try:
                return self.load(epoch)
            except CheckpointError:
                continue
        return None

    def load(self, epoch):
        """Returns `(record, arrays)` of one epoch.

        Raises:
            CheckpointError: if it is absent, cut or altered.
        """
        path = self._path(epoch)
        try:
            record = json.loads((path / "state.json").read_text(encoding="utf-8"))
            intact = record["sha256"] == _sha256(path / "state.npz")
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: not a whole checkpoint ({error})") from error
        if not intact:
            raise CheckpointError(f"{path}: state.npz was altered after it was written")
        with np.load(path / "state.npz", allow_pickle=False) as file:
            return record, {name: file[name] for name in file.files}

    def _path(self, epoch):
        return self.folder / f"epoch_{epoch:04d}"

    def _epochs(self):
        return sorted(int(p.name[6:]) for p in self.folder.glob("epoch_[0-9]*"))

    def _prune(self):
        newest = self._epochs()[-2:]
        keep = set(newest)
        for epoch in newest:
            try:
                text = (self._path(epoch) / "state.json").read_text(encoding="utf-8")
                keep.add(json.loads(text)["best_epoch"])
            except (OSError, ValueError, KeyError):
                continue
        for epoch in self._epochs():
            if epoch not in keep:
                shutil.rmtree(self._path(epoch), ignore_errors=True)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(file):
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
