"""What the graph around an exported network costs, in turns with the network alone.

    python tests/benchmark_serving.py ag_sononet --seconds 20

The bare network is compiled with its normalisations folded, as it is exported. `serve_tensor`
and `serving_default` (of grey PNGs and JPEGs and of colour JPEGs of the network's size, and of
colour JPEGs of 560x360) are loaded from the files. Printed are milliseconds per image and the
bare network's share: of processor time, which is what a loaded server has to deal out, and of
time on the clock.
"""

import argparse
import tempfile
import time

import cv2
import numpy as np
import tensorflow as tf
from tables import encode

import thyroid_keras as tk
from thyroid_keras.answers import label_of
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.prediction import input_size
from thyroid_keras.serving.signatures import write_signatures

ARGUMENTS = {"ag_sononet": {"whiten": True}, "sononet": {"whiten": True}}


def speckle(size):
    """Grey levels about as easy to compress as ultrasound."""
    noise = np.random.default_rng(0).random(size[::-1], np.float32)
    return np.uint8(255 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 1, 32))


def ways(model, folder, batch_size):
    """Functions without arguments by name, each an answer to a batch."""
    size, channels = input_size(model)
    # of the label alone, as is served: a mask that nobody asks for is not drawn
    bare = tf.function(lambda image: label_of(model(image, training=False)), autograph=False)
    answers = tf.saved_model.load(folder).signatures
    images = np.random.default_rng(0).random((batch_size, *size, channels), np.float32)
    images = tf.constant(images)
    own, larger = speckle(size[::-1]), speckle((560, 360))
    colour, larger = (np.repeat(grey[..., None], 3, axis=-1) for grey in (own, larger))
    encoded = {
        "own PNG": encode(own),
        "own grey JPEG": encode(own, "JPEG", quality=90),
        "own JPEG": encode(colour, "JPEG", quality=90),
        "560x360 JPEG": encode(larger, "JPEG", quality=90),
    }

    def asked(data):
        data = tf.constant([data] * batch_size)
        return lambda: answers["serving_default"](image_bytes=data)

    found = {
        "bare": lambda: bare(images),
        "serve_tensor": lambda: answers["serve_tensor"](image=images),
    }
    return found | {name: asked(data) for name, data in encoded.items()}


def measure(calls, seconds):
    """Seconds of processor and clock of each call in turns, the best quarter's median."""
    for call in calls.values():
        call(), call()
    found = {name: [] for name in calls}
    start = time.monotonic()
    while time.monotonic() - start < seconds or len(found["bare"]) < 4:
        for name, call in calls.items():
            clocks = time.process_time(), time.perf_counter()
            tf.nest.map_structure(lambda tensor: tensor.numpy(), call())
            now = time.process_time(), time.perf_counter()
            found[name].append(np.subtract(now, clocks))
    best = {n: np.sort(np.array(t), axis=0)[: max(1, len(t) // 4)] for n, t in found.items()}
    return {name: np.median(times, axis=0) for name, times in best.items()}


def main(arguments=None):
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch", nargs="+", choices=tk.list_archs())
    parser.add_argument("--seconds", type=float, default=20)
    chosen = parser.parse_args(arguments)
    for arch in chosen.arch:
        model = fold_batch_norm(tk.build(arch, **ARGUMENTS.get(arch, {})))
        with tempfile.TemporaryDirectory() as folder:
            classes = [str(k) for k in range(14 if arch in ARGUMENTS else 2)]
            write_signatures(folder, model, classes, 0.5)
            for batch_size in (1, 32):
                times = measure(ways(model, folder, batch_size), chosen.seconds)
                for name, spent in times.items():
                    shares = times["bare"] / spent
                    print(
                        f"{arch}, batch {batch_size:2}, {name:13}: "
                        f"{1e3 * spent[0] / batch_size:6.2f} ms of processor ({shares[0]:.3f}), "
                        f"{1e3 * spent[1] / batch_size:6.2f} ms ({shares[1]:.3f})",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
