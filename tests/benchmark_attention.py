"""What one map for all images costs: beside the plain backbone, while it is learned and after."""

import thyroid_keras as tk  # isort: skip  before Keras, which it starts quietly

import keras
import numpy as np

from thyroid_keras.archs.global_attention import ATTENTION
from thyroid_keras.benchmarking.ceiling import make_probes
from thyroid_keras.benchmarking.measure import time_in_turns
from thyroid_keras.training.adam import Adam

CASES = (  # backbone, side of the image, batch size, N, K
    ("sononet", 64, 16, 200, 32),
    ("resnet18", 112, 16, 200, 128),
)


def benchmark_attention(rounds=20):
    """Training steps and predictions of a backbone plain, with its map learned, and fixed."""
    for case in CASES:
        _compare(*case, rounds=rounds)


def _compare(backbone, side, batch_size, num_images, channels, *, rounds):
    rng = np.random.default_rng(0)
    images = rng.random((batch_size, side, side, 3), np.float32)
    answers = np.eye(2, dtype=np.float32)[np.arange(batch_size) % 2]
    networks = {
        "plain": _build(backbone, side, mode="none"),
        "joint": _build(backbone, side, num_images=num_images, channels=channels),
        "frozen": _build(backbone, side),
    }
    stack = rng.standard_normal((1, side, side, 3 * num_images), np.float32)
    networks["joint"].get_layer(ATTENTION).attach(stack)
    networks["frozen"].get_layer(ATTENTION).trainable = False
    for network in networks.values():
        network.compile(Adam(1e-4), keras.losses.CategoricalCrossentropy(from_logits=True),
                        jit_compile=False)  # fmt: skip
    probe = make_probes("float32")["convolution"]
    tasks = {"probe": probe.run}
    for name, network in networks.items():
        tasks[name] = lambda network=network: network.train_on_batch(images, answers)
    for name in ("plain", "frozen"):
        network = networks[name]
        tasks[f"{name}, answering"] = lambda network=network: network.predict_on_batch(images)
    seconds = time_in_turns(tasks, 0, turns=rounds)
    best = {name: min(times) for name, times in seconds.items()}
    # forward and the kernel's gradient; nothing asks for that of the stack
    own = 2 * 2 * channels * (9 * 3 * num_images + 1) * side**2 * best["probe"] / probe.flops
    bound = np.array(seconds["plain"]) + own
    print(
        f"{backbone}, {side} px, batch {batch_size}, N {num_images}, K {channels}: a joint step "
        f"takes {1e3 * best['joint']:.0f} ms, the plain one {1e3 * best['plain']:.0f}, the pixel "
        f"CNN's own at the machine's best {1e3 * own:.0f}; joint against their sum "
        f"{best['joint'] / (best['plain'] + own):.2f} "
        f"({np.median(np.array(seconds['joint']) / bound):.2f} median of pairs); frozen against "
        f"plain {_pairs(seconds, 'frozen', 'plain')} training, "
        f"{_pairs(seconds, 'frozen, answering', 'plain, answering')} answering",
        flush=True,
    )


def _build(backbone, side, **arguments):
    keras.utils.set_random_seed(0)
    return tk.build(ATTENTION, image_shape=(side, side, 3), num_classes=2,
                    backbone=backbone, **arguments)  # fmt: skip


def _pairs(seconds, name, other):
    return f"{np.median(np.array(seconds[name]) / np.array(seconds[other])):.3f}"
