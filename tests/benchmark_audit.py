"""What the audit costs and finds; `tests/benchmark.py audit` and `near` run it."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from thyroid_keras.data.audit.similar import find_similar, thumbnail
from thyroid_keras.data.decode import decode
from thyroid_keras.data.leaks import hash_images
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.readers import read

DDTI = os.environ.get("THYROID_KERAS_DDTI") or Path(__file__).parents[2] / "shared/data/ddti"


def benchmark_audit(count=10_000, distinct=500, side=256):
    """Seconds of `check_data` on `count` sound files, PNG and JPEG, a third with masks."""
    images = [s.image for s in phantom(distinct, views=1, progress=False).samples]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name in "ab":
            os.mkdir(f"{folder}/{name}")
        for i in range(count):
            image = cv2.resize(images[i % distinct], (side, side))
            # noise, so that no two are copies by accident of the simulation
            image = cv2.add(image, rng.integers(0, 40, image.shape, np.uint8))
            stem = f"{folder}/{'ab'[i % 2]}/{i}"
            cv2.imwrite(f"{stem}.{('png', 'jpg')[i // 2 % 2]}", image)
            if i % 3 == 0:
                cv2.imwrite(f"{stem}_mask.png", np.where(image > 160, 255, 0).astype(np.uint8))
        command = [sys.executable, "-m", "thyroid_keras.check_data", folder]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime
        peak = used.ru_maxrss / 1024
    print(
        f"check_data, {count} pictures and their masks: {seconds:.1f} s, {cpu:.1f} s of "
        f"processor time, {peak:.0f} MB, the start of Python included"
    )


def _views():
    rng = np.random.default_rng(0)

    def jpeg(quality):
        return lambda x: cv2.imdecode(cv2.imencode(".jpg", x, [1, quality])[1], 0)

    def scale(factor):
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return lambda x: cv2.resize(x, None, fx=factor, fy=factor, interpolation=method)

    def crop(share):
        def cut(x):
            (height, width), (top, left) = x.shape, rng.random(2) * share * np.array(x.shape)
            kept = 1 - share
            return x[int(top) : int(top + kept * height), int(left) : int(left + kept * width)]

        return cut

    def shift(share):
        def move(x):
            height, width = x.shape
            right, down = rng.choice([-share, share], 2) * (width, height)
            return cv2.warpAffine(x, np.float32([[1, 0, right], [0, 1, down]]), (width, height))

        return move

    def brighten(gain, offset=0):
        return lambda x: np.clip(x * gain + offset, 0, 255).astype(np.uint8)

    return {
        **{f"JPEG of quality {q}": jpeg(q) for q in (10, 30, 50, 70, 90)},
        **{f"{factor} times the size": scale(factor) for factor in (0.5, 0.75, 1.5)},
        "half the size, JPEG 50": lambda x: jpeg(50)(scale(0.5)(x)),
        "0.7 times as bright": brighten(0.7),
        "1.2 times as bright, plus 10": brighten(1.2, 10),
        **{f"cropped by {share:.0%}": crop(share) for share in (0.02, 0.05, 0.1, 0.15)},
        **{f"shifted by {share:.0%}": shift(share) for share in (0.03, 0.06)},
    }


def benchmark_near():
    """How many pictures stored again are found, as copies or at all, and false alarms."""
    sets = {"phantom": [s.image for s in phantom(200, progress=False).samples]}
    if os.path.isdir(DDTI):
        table = read(DDTI, progress=False)
        hashes = hash_images(table, False)
        first = {hashes[s.name]: s for s in reversed(table.samples)}
        sets["DDTI"] = [decode(s.image) for s in first.values()]
    for name, images in sets.items():
        own = [thumbnail(image) for image in images]
        alarms = find_similar(np.array(own), progress=False)
        print(f"{name}: {len(alarms)} pairs among {len(images)} different pictures: {alarms}")
        for kind, view in _views().items():
            seen = [thumbnail(view(image)) for image in images]
            found = find_similar(np.array(own + seen), progress=False)
            twins = [f for f in found if f[1] - f[0] == len(images)]
            copies = sum(is_copy for *_, is_copy in twins)
            others = len(found) - len(twins)
            print(
                f"  {kind:<30} found {len(twins) / len(images):6.1%}, as copies "
                f"{copies / len(images):6.1%}; other pairs {others}"
            )
