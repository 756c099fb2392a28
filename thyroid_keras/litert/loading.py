"""Asking LiteRT files of whoever wrote them."""

import contextlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from thyroid_keras.litert.child import receive, send
from thyroid_keras.loading import ModelError

# not by -m, for which Python warns that the package has imported the module before
CHILD = "from thyroid_keras.litert.child import main; main()"
TIMEOUT_S = 60  # to end, when it is not asked any more
ANSWER_S = 120  # to answer an image, and to start


class Network:
    """A LiteRT file that answers images, from a process of its own.

    Use it in a `with` block, or `close` it.

    Args:
        path: of the file.

    Raises:
        ModelError: if the file is missing, damaged, holds what no network of ours holds, or
            makes LiteRT's runtime fail, crash or hang.
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
        command = [sys.executable, "-c", CHILD, self._copy.name]
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
            ModelError: if the runtime fails on them, or gives no answer in two minutes each.
            ValueError: if they have another shape.
        """
        images = np.asarray(images, np.float32)
        if images.ndim != 4 or images.shape[1:] != self.image_shape or not len(images):
            raise ValueError(
                f"`images` must be (N, {', '.join(map(str, self.image_shape))}). "
                f"Received: shape={images.shape}"
            )
        return self._answer(images)

    def close(self):
        """Ends the process."""
        if self._child is None:
            return
        with contextlib.suppress(OSError):  # the rest of a question that nobody reads
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

    def _answer(self, images=None):
        """What the process says of images, or of itself; it ends where it takes too long."""
        late = threading.Event()
        seconds = ANSWER_S * (1 if images is None else len(images))
        timer = threading.Timer(seconds, lambda: (late.set(), self._child.kill()))
        timer.start()
        try:
            if images is not None:
                with contextlib.suppress(OSError):  # it has ended, which the answer will say
                    send(self._child.stdin, images=images)
            answer = receive(self._child.stdout)
        finally:
            timer.cancel()
        if answer is not None:
            return answer
        status = self._child.wait(TIMEOUT_S)
        if late.is_set():
            raise self._refusal(f"LiteRT's runtime gave no answer in {seconds} s")
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = [line for line in lines if not line.startswith("INFO")]
        reason = f"LiteRT's runtime ended with status {status}"
        raise self._refusal(f"{reason}: {said[-1]:.200}" if said else reason)

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
