"""Starts Keras and its backend without TensorFlow's chatter, but never without its errors.

TensorFlow prints its first messages before any of its own settings count. They are held
back while it starts, and what is not chatter is then printed after all.
"""

import contextlib
import glob
import os
import re
import sys
import tempfile

# information and warnings, and the preamble of both
CHATTER = re.compile(rb"^([IW]\d{4} |WARNING: All log messages before absl)")
NO_GPU = re.compile(rb"^E\d{4} .*failed call to cuInit")


@contextlib.contextmanager
def chatter_held():
    """Holds back what is written to file descriptor 2; prints the rest at the end."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if not is_chatter(line):
                    os.write(2, line)


def is_chatter(line):
    """Whether a line (bytes) of TensorFlow's log tells a user nothing.

    That CUDA cannot be initialised is an error where there is an NVIDIA device only.
    """
    no_gpu = not glob.glob("/dev/nvidia*")
    return bool(CHATTER.match(line) or (no_gpu and NO_GPU.match(line)))


def start():
    """Imports Keras and lets its backend look for devices."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "keras" in sys.modules:
        return
    with chatter_held():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.config.list_logical_devices()


start()
