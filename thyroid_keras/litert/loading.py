"""Asking LiteRT files of whoever wrote them."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from thyroid_keras.litert.child import receive, send
from thyroid_keras.loading import ModelError

TIMEOUT_S = 60  # to end, when it is not asked any more


class Network:
    """A LiteRT file that answers images, from a process of its own.

    Use it in a `with` block, or `close` it.

    Args:
        path: of the file.

    Raises:
        ModelError: if the file is missing, damaged, holds what no network of ours holds, or
            makes LiteRT's runtime fail or crash.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._child = None
        # only now: it is not installed where Keras runs on JAX alone
        from thyroid_keras.litert.structure import read_structure

        try:
            content = self.path.read_bytes()
            read_structure(content)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self._refusal(reason) from error
        self._copy = tempfile.NamedTemporaryFile(suffix=".tflite")  # of the bytes that were read
        self._copy.write(content)
        self._copy.flush()
        self._errors = tempfile.TemporaryFile()
        command = [sys.executable, "-m", "thyroid_keras.litert.child", self._copy.name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._child = subprocess.Popen(command, **pipes)
        try:
            self.image_shape = tuple(self._answer()["image_shape"].tolist())
            self.predict(np.zeros((1, *self.image_shape), np.float32))
        except BaseException:
            self.close()
            raise

    def predict(self, images):
        """Answers images.

        Args:
            images: `(N, H, W, C)` in [0, 1], N >= 1.

        Returns:
            dict from the name of each output to its `(N, ...)`.

        Raises:
            ModelError: if the runtime fails on them.
            ValueError: if they have another shape.
        """
        images = np.asarray(images, np.float32)
        if images.ndim != 4 or images.shape[1:] != self.image_shape or not len(images):
            raise ValueError(
                f"`images` must be (N, {', '.join(map(str, self.image_shape))}). "
                f"Received: shape={images.shape}"
            )
        try:
            send(self._child.stdin, images=images)
        except OSError:  # it has ended, which the answer will say
            pass
        return self._answer()

    def close(self):
        """Ends the process."""
        if self._child is None:
            return
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.kill()
        self._child.wait(TIMEOUT_S)
        self._copy.close()
        self._errors.close()
        self._child = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _answer(self):
        answer = receive(self._child.stdout)
        if answer is None:
            status = self._child.wait(TIMEOUT_S)
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            said = [line for line in lines if not line.startswith("INFO")]
            reason = f"LiteRT's runtime ended with status {status}"
            raise self._refusal(f"{reason}: {said[-1]:.200}" if said else reason)
        return answer

    def _refusal(self, reason):
        return ModelError(
            f"{self.path}: not a LiteRT file that can be asked, {reason}. Take one that `export` "
            f"wrote. Received: path={str(self.path)!r}"
        )


def load(path):
    """Opens a LiteRT file: its structure is checked, and it runs in a process of its own.

    Args, Raises: as for `Network`.

    Returns:
        `Network`.
    """
    return Network(path)
