"""Starts Keras and its backend without TensorFlow's chatter, but never without its errors.

TensorFlow prints its first messages before any of its own settings count. While it starts,
all that it says goes through a filter, a process of its own, so that the last words of a
start that is aborted are heard as well.
"""

import contextlib
import glob
import os
import signal
import subprocess
import sys

# patterns of grep -E: information and warnings, and the preamble of both
CHATTER = "^([IW][0-9]{4} |WARNING: All log messages before absl)"
NO_GPU = "^E[0-9]{4} .*failed call to cuInit"


def chatter():
    """Returns the patterns of what tells a user nothing.

    That CUDA cannot be initialised is an error where there is an NVIDIA device only.
    """
    return [CHATTER] if glob.glob("/dev/nvidia*") else [CHATTER, NO_GPU]


@contextlib.contextmanager
def filtered(patterns):
    """Passes what is written to file descriptor 2 on, but for lines that match a pattern."""
    command = ["grep", "-v", "-a", "-E", *(f"--regexp={pattern}" for pattern in patterns)]
    try:
        # in a session of its own, where no Ctrl-C ends it early
        sieve = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    except OSError:  # a system without grep hears everything
        yield
        return
    sys.stderr.flush()
    real = os.dup(2)
    os.dup2(sieve.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        os.close(real)
        sieve.communicate()


def start():
    """Imports Keras and lets its backend look for devices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "keras" in sys.modules:
        return
    if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # a command that is stopped before it has begun ends at once, without a traceback
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    with filtered(chatter()):
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.config.list_logical_devices()


start()
