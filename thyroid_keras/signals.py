"""SIGINT and SIGTERM: finish the step and keep what is done; the second one ends at once."""

import contextlib
import os
import signal

from thyroid_keras.training import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalGuard:
    """Within the block, turns the first signal into `Interrupted` and obeys the second.

    Within `deferring` (a training that looks at `received` after each step) the first
    signal is only noted; otherwise it is raised where the program is.
    """

    def __init__(self):
        self.number = None
        self._deferred = False
        self._before = {}

    def received(self):
        """Returns the number of the signal that came, or `None`."""
        return self.number

    @contextlib.contextmanager
    def deferring(self):
        """Only notes signals; raises at the end what nobody has looked at."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.number is not None:
            raise Interrupted(self.number)

    def _handle(self, number, frame):
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        if not self._deferred:
            raise Interrupted(number)

    def __enter__(self):
        try:
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        except ValueError:  # only the main thread may; elsewhere signals stay as they are
            self._before = {}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)
