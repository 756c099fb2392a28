"""SIGINT and SIGTERM: finish the step and keep what is done; the second one ends at once."""

import contextlib
import os
import signal
import sys

from thyroid_keras.training import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 0.05


class SignalGuard:
    """Within the block, turns the first signal into `Interrupted` and obeys the second.

    Within `deferring` (a training that looks at `received` after each step) the first
    signal is only noted; otherwise it is raised where the program is, and once more where
    Python ignores exceptions (a destructor, a callback of the garbage collector).

    Args:
        way_on: str, a sentence on how to go on, for the message.
    """

    def __init__(self, way_on="Go on with --resume."):
        self.way_on = way_on
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
        except Interrupted as error:
            raise Interrupted(error.signal_number, self.way_on) from None
        finally:
            self._deferred = False
        if self.number is not None:
            raise Interrupted(self.number, self.way_on)

    def _handle(self, number, frame):
        if self.number is not None:
            os._exit(128 + number)
        self.number = number
        if not self._deferred:
            raise Interrupted(number, self.way_on)

    def _ignored(self, unraisable):
        if not isinstance(unraisable.exc_value, Interrupted):
            self._hook(unraisable)
            return
        signal.signal(signal.SIGALRM, self._raise_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def _raise_again(self, number, frame):
        if not self._deferred:
            raise Interrupted(self.number, self.way_on)

    def __enter__(self):
        self._hook = sys.unraisablehook
        try:
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
            sys.unraisablehook = self._ignored
        except ValueError:  # only the main thread may; elsewhere signals stay as they are
            self._before = {}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._hook
