"""Kills trainings at any moment and holds what --resume makes of them against an unbroken run.

    python tests/kills.py --kills 50 --seed 0

A small CS-AGnet (both stages, pseudo masks, evaluation, report) is trained to its end.
Then, for each kill, the same command starts in a fresh folder, dies by SIGKILL, and is
resumed; a share of the resumed ones dies once more. What must be equal to the unbroken
run: every weight of the model and of the last checkpoint, bit for bit; metrics,
predictions, history and split, byte for byte. No temporary file may be left.
"""

import argparse
import collections
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

SETTINGS = (
    "image_size=16 stage_filters=2,2,2,2,2 batch_size=8 segmentation_epochs=20 epochs=20 "
    "phantom_patients=30 phantom_views=1 pixel_label_percent=60"
).split()
SAME_BYTES = ("split.csv", "history.csv", "metrics.json", "predictions.csv")
PHASES = ("segmentation", "collaborative")
# where a kill is aimed: at any time, between two epochs, or into a write
AIMS = ("any",) * 4 + ("segmentation", "collaborative", "saving", "saving", "model", "evaluation")


def command(folder, precision, resume=False):
    """The command of a training; the phantom needs no data."""
    call = [sys.executable, "-m", "thyroid_keras.train", "--arch", "cs_agnet"]
    call += ["--out", str(folder), "--precision", precision, "--set", *SETTINGS]
    return [*call, "--resume"] if resume else call


def train(folder, precision, resume=False):
    """Starts a training; what it says goes to a file beside the folder."""
    with open(f"{folder}.txt", "a", encoding="utf-8") as file:
        return subprocess.Popen(
            command(folder, precision, resume), stdout=file, stderr=subprocess.STDOUT
        )


def finish(folder, precision, resume=False):
    """Trains to the end; returns the exit status and the seconds that it took."""
    start = time.monotonic()
    return train(folder, precision, resume).wait(timeout=900), time.monotonic() - start


def happens(folder, aim, number):
    """Whether the moment that a kill is aimed at has come."""
    checkpoints = folder / "checkpoints"
    if aim == "saving":  # the temporary folder of some epoch of either stage
        phase = PHASES[number % 2]
        return any((checkpoints / phase).glob(f".tmp-epoch_{1 + number // 2:04d}"))
    if aim in PHASES:
        return (checkpoints / aim / f"epoch_{number + 1:04d}").exists()
    if aim == "model":
        return any(folder.glob(".tmp-*-model.keras")) or (folder / "model.keras").exists()
    return (folder / "model.keras").exists()


def kill(folder, precision, rng, aim, seconds, resume=False):
    """Starts a training and kills it.

    Returns:
        What it had done by then; `None` where it ended before the moment came.
    """
    process, start = train(folder, precision, resume), time.monotonic()
    wait = rng.uniform(0, seconds)
    number = rng.randrange(19 if aim in PHASES else 40)
    while process.poll() is None:
        if aim == "any":
            if time.monotonic() - start > wait:
                break
        elif happens(folder, aim, number):
            time.sleep(rng.uniform(*{"saving": (0, 0.01), "model": (0, 0.05)}.get(aim, (0, 0.3))))
            time.sleep(rng.uniform(0, 3) if aim == "evaluation" else 0)
            break
        time.sleep(0 if aim in ("saving", "model") else 0.005)
    process.send_signal(signal.SIGKILL)
    return stage(folder) if process.wait() == -signal.SIGKILL else None


def stage(folder):
    """How far a killed run had come."""
    if (folder / "report.html").exists():
        return "report"
    if (folder / "metrics.json").exists():
        return "metrics"
    if (folder / "model.keras").exists():
        return "model"
    for phase in reversed(PHASES):
        epochs = sorted((folder / "checkpoints" / phase).glob("epoch_*"))
        partial = any((folder / "checkpoints" / phase).glob(".tmp-*"))
        if epochs or partial:
            last = int(epochs[-1].name[6:]) if epochs else 0
            return f"{phase} {last}{' while saving' if partial else ''}"
    for name in ("history.csv", "config.json", "split.csv"):
        if (folder / name).exists():
            return name
    return "folder" if folder.exists() else "nothing"


def traces(folder):
    """What must be equal: a hash of each file's bytes, or of each array's."""
    found = {name: _hash((folder / name).read_bytes()) for name in SAME_BYTES}
    with zipfile.ZipFile(folder / "model.keras") as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
        weights.visititems(
            lambda name, item: (
                found.update({name: _hash(item[()].tobytes())})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    for path in sorted(folder.glob("checkpoints/*/epoch_*/state.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            joined = b"".join(arrays[name].tobytes() for name in sorted(arrays.files))
        found[str(path.relative_to(folder))] = _hash(joined)
    return found


def _hash(content):
    return hashlib.sha256(content).hexdigest()


def one_kill(folder, precision, rng, aim, reference):
    """Kills, perhaps twice, and resumes; returns `(line, problems)`."""
    traced, seconds = reference
    while (first := kill(folder, precision, rng, aim, seconds)) is None:
        shutil.rmtree(folder)
        seconds /= 2  # the machine is faster now than during the unbroken run
    when = [first]
    if rng.random() < 0.3:
        when.append(kill(folder, precision, rng, rng.choice(AIMS[:6]), seconds / 2, resume=True))
    status, _ = finish(folder, precision, resume=True)
    problems = [] if status == 0 else [f"exit status {status}"]
    if status == 0:
        found = traces(folder)
        differing = {name for name in found | traced if found.get(name) != traced.get(name)}
        problems += [f"differs: {sorted(differing)[:5]}"] if differing else []
        left = [str(p.relative_to(folder)) for p in folder.rglob(".tmp-*")]
        problems += [f"left over: {left}"] if left else []
    return f"{precision}, aimed at {aim}, killed in {' and in '.join(filter(None, when))}", problems


def main(arguments=None):
    """Parses the command line, kills, and prints a line per kill and the sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", nargs="+", default=["float32", "mixed_bfloat16"])
    chosen = parser.parse_args(arguments)
    rng = random.Random(chosen.seed)
    root = Path(tempfile.mkdtemp(prefix="kills_"))
    references, bad, stages = {}, 0, collections.Counter()
    for precision in chosen.precision:
        folder = root / f"whole_{precision}"
        status, seconds = finish(folder, precision)
        if status:
            sys.exit(f"{folder}: the unbroken run ends with status {status}, see {folder}.txt")
        references[precision] = traces(folder), seconds
        print(f"{precision}: {seconds:.0f} s unbroken", flush=True)
    for number in range(chosen.kills):
        folder, aim = root / f"kill_{number:02d}", AIMS[number % len(AIMS)]
        precision = chosen.precision[number % len(chosen.precision)]
        line, problems = one_kill(folder, precision, rng, aim, references[precision])
        stages[line.split("killed in ")[1].split()[0]] += 1
        bad += bool(problems)
        print(f"{number + 1:2}: {line}: {'; '.join(problems) or 'equal'}", flush=True)
        if not problems:
            shutil.rmtree(folder)
            os.unlink(f"{folder}.txt")
    print(
        f"{chosen.kills - bad} of {chosen.kills} equal to the unbroken run; first kills: {stages}"
    )
    if bad:
        sys.exit(f"what is left of the others: {root}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
