"""Answers images on stdin by the LiteRT file in `sys.argv`, for `litert.loading`.

A process of its own, whose end ends nothing else: LiteRT's runtime trusts its files.
"""

import io
import sys

import numpy as np

LIMIT = 16  # digits of a length


def send(stream, **arrays):
    """Writes named arrays, never pickled, and how many bytes they are."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    stream.write(f"{content.tell():{LIMIT}d}".encode() + content.getvalue())
    stream.flush()


def receive(stream):
    """Reads what `send` wrote, as dict; `None` where the other side has ended."""
    length = stream.read(LIMIT)
    content = stream.read(int(length)) if len(length) == LIMIT else b""
    if not length or len(content) < int(length):
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def main():
    """Answers until there are no more questions; the first answer is the image's shape."""
    from thyroid_keras.litert.interpreter import LiteRT

    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    with open(sys.argv[1], "rb") as file:
        network = LiteRT(file.read())
    send(answers, image_shape=np.array(network.image_shape))
    while (question := receive(sys.stdin.buffer)) is not None:
        send(answers, **network.predict(question["images"]))
