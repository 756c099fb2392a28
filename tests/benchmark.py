"""The figures of RESULTS.rst, measured anew: python tests/benchmark.py NAME.

Ratios are taken within one run, in turns, since machines drift. Pin to one core with
`taskset -c 0` where it says "one core".
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

import thyroid_keras as tk  # isort: skip  before Keras, which it starts quietly

import keras
import numpy as np
from benchmark_attention import benchmark_attention  # noqa: F401  run by name
from benchmark_audit import benchmark_audit, benchmark_near  # noqa: F401

from thyroid_keras.data.augment import Augmentation, augment
from thyroid_keras.data.batches import Batches
from thyroid_keras.data.phantom import phantom, phantom_planes
from thyroid_keras.data.pipeline import dataset
from thyroid_keras.data.samples import Sample, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.layers import BatchNorm
from thyroid_keras.losses import FocalTversky
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.recipes.collaborative import targets
from thyroid_keras.recipes.feeding import augmentation_of
from thyroid_keras.training.backend import make_deterministic

FULL = Augmentation(
    flip_horizontal=0.5, flip_vertical=0.5, rotation_deg=20, shift=0.1, zoom=(0.8, 1.2), gain=0.2
)


def noise_batches(count, batch_size, side=192, cache="memory"):
    """Batches of random images and masks under full augmentation."""
    rng = np.random.default_rng(0)
    samples = tuple(
        Sample(
            name=str(i),
            image=rng.integers(0, 256, (side, side), dtype=np.uint8),
            mask=np.where(rng.random((side, side)) > 0.9, 255, 0).astype(np.uint8),
            label=i % 2,
            group=str(i),
        )
        for i in range(count)
    )
    table = SampleTable(name="noise", samples=samples, class_names=("a", "b"))
    store = PixelStore(table, (side, side), cache=cache)
    return Batches(
        store, batch_size=batch_size, targets=targets, augmentation=FULL, shuffle=True, seed=0
    )


def cs_agnet(policy="float32", stock=False, side=192):
    """A compiled CS-AGnet, with Keras's own batch normalisation if `stock`."""
    keras.config.set_dtype_policy(policy)
    model = tk.build("cs_agnet", image_shape=(side, side, 1))
    if stock:
        model = keras.models.clone_model(model, clone_function=_with_stock_normalisation)
    losses = {name: FocalTversky() for name in model.output if name != "label"}
    model.compile(keras.optimizers.Adam(1e-4), losses | {"label": "categorical_crossentropy"})
    return model


def _with_stock_normalisation(layer):
    if isinstance(layer, BatchNorm):
        return keras.layers.BatchNormalization.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


def benchmark_phantom():
    """Simulated images of 192x192 per second."""
    cv2.setNumThreads(1)
    for target in ("calcification", "malignancy"):
        phantom(5, target=target, progress=False)
        start = time.perf_counter()
        count = len(phantom(100, target=target, progress=False))
        print(f"phantom, {target}: {count / (time.perf_counter() - start):.0f} images/s")


def benchmark_planes():
    """Simulated fetal frames of 208x272 per second of processor time."""
    cv2.setNumThreads(1)
    phantom_planes(1, progress=False)
    start = time.process_time()
    count = len(phantom_planes(10, progress=False))
    print(f"phantom of fetal planes: {count / (time.process_time() - start):.0f} images/s")


def benchmark_augment208(rounds=8):
    """AG-SonoNet's augmentation of uint8 frames of 208x272 to float32: the best of several."""
    cv2.setNumThreads(1)
    frames = np.stack([s.image for s in phantom_planes(4, progress=False).samples])[..., None]
    setting = augmentation_of(choose_recipe("ag_sononet", "paper", ()))
    rng = np.random.default_rng(0)
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(4):
            augment(frames, None, setting, rng)
        seconds.append(time.process_time() - start)
    print(f"augmentation at 208x272: {4 * len(frames) / min(seconds):.0f} images/s")


def benchmark_pipeline():
    """Fully augmented images and masks of 192x192 per second, from the memory cache."""
    cv2.setNumThreads(1)
    make_deterministic(0)
    batches = noise_batches(960, 16)
    for name in ("first", "second", "third"):
        stream = iter(dataset(batches, num_epochs=4))
        next(stream)
        start = time.perf_counter()
        count = sum(len(images) for images, _ in stream)
        print(f"pipeline, {name} pass: {count / (time.perf_counter() - start):.0f} images/s")


def benchmark_precision(rounds=10):
    """Training images/s at the paper's size: bfloat16 and float32, ours and stock."""
    batches = noise_batches(8, 8)
    images, truth = batches.batch(0, 0)
    models = {
        "ours, mixed_bfloat16": cs_agnet("mixed_bfloat16"),
        "ours, float32": cs_agnet(),
        "stock Keras, float32": cs_agnet(stock=True),
    }
    seconds = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            start = time.perf_counter()
            model.train_on_batch(images, truth)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(f"{name}: best {8 / min(times):.2f}, median {8 / np.median(times):.2f} images/s")
    ours = np.array(seconds["ours, mixed_bfloat16"])
    for name in list(models)[1:]:
        ratios = np.array(seconds[name]) / ours
        print(f"bfloat16 against {name}: {np.median(ratios):.2f} times (median of pairs)")


def benchmark_fit(steps=60, epochs=3):
    """`fit` from the pipeline against the bare step on one batch, at the paper's size."""
    make_deterministic(0)
    batches = noise_batches(8 * steps, 8)
    model = cs_agnet("mixed_bfloat16")
    images, truth = batches.batch(0, 0)

    def bare(count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            model.train_on_batch(images, truth)
            times.append(time.perf_counter() - start)
        return np.median(times)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            step = (time.perf_counter() - self.start) / steps
            before = bare.last
            bare.last = bare(12)
            ratio = step / np.mean([before, bare.last])
            print(f"epoch {epoch + 1}: {1e3 * step:.0f} ms a step, {ratio:.3f} times the bare step")

    bare(2)
    bare.last = bare(12)
    model.fit(
        dataset(batches, num_epochs=epochs),
        epochs=epochs,
        steps_per_epoch=steps,
        verbose=0,
        shuffle=False,
        callbacks=[Clock()],
    )


def benchmark_feedback(side=224, batch_size=8, rounds=20):
    """Processor time of prediction by FAN with and without feedback, folded, in turns."""
    images = np.random.default_rng(0).random((batch_size, side, side, 1), np.float32)
    for eta in (7, 14, 28, 56, 112):
        shape = {"image_shape": (side, side, 1), "eta": eta}
        networks = {
            name: fold_batch_norm(tk.build("fan", feedback=name, **shape))
            for name in ("none", "recurrent")
        }
        seconds = {name: [] for name in networks}
        for turn in range(rounds + 1):
            for name, network in networks.items():
                start = time.process_time()
                network.predict_on_batch(images)
                if turn:
                    seconds[name].append(time.process_time() - start)
        none, recurrent = (np.array(times) for times in seconds.values())
        pairs, best = np.median(recurrent / none), min(recurrent) / min(none)
        print(
            f"feedback, eta {eta}: {pairs:.3f} times the processor time without (median of "
            f"pairs), {best:.3f} (best); {1e3 * min(none) / batch_size:.1f} ms an image without",
            flush=True,
        )


def benchmark_streaming():
    """Peak memory of one epoch over 5,000 and over 50,000 files without a cache."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(100):
            image = cv2.GaussianBlur(rng.integers(0, 256, (192, 192), dtype=np.uint8), (5, 5), 0)
            cv2.imwrite(f"{folder}/{i}.png", image)
            cv2.imwrite(f"{folder}/{i}_mask.png", np.where(image > 160, 255, 0).astype(np.uint8))
        for count in (5_000, 50_000):
            command = [
                sys.executable,
                __file__,
                "stream",
                "--folder",
                folder,
                "--count",
                str(count),
            ]
            subprocess.run(command, check=True)


def stream(folder, count):
    """One epoch over `count` samples that are read anew each time."""
    samples = tuple(
        Sample(
            name=str(i),
            image=f"{folder}/{i % 100}.png",
            mask=f"{folder}/{i % 100}_mask.png",
            label=i % 2,
            group=str(i),
        )
        for i in range(count)
    )
    table = SampleTable(name="files", samples=samples, class_names=("a", "b"))
    store = PixelStore(table, (192, 192), cache="none")
    batches = Batches(store, batch_size=16, targets=targets, augmentation=FULL, shuffle=True)
    start = time.perf_counter()
    for _ in dataset(batches):
        pass
    rate = count / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} images streamed: {rate:.0f} images/s, peak memory {peak:.0f} MB", flush=True)


def main():
    """Runs one benchmark, or all."""
    names = (
        "phantom",
        "planes",
        "augment208",
        "pipeline",
        "precision",
        "fit",
        "feedback",
        "attention",
        "streaming",
        "audit",
        "near",
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=(*names, "all", "stream"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.name == "stream":
        stream(chosen.folder, chosen.count)
        return
    for name in names if chosen.name == "all" else (chosen.name,):
        globals()[f"benchmark_{name}"]()


if __name__ == "__main__":
    main()
