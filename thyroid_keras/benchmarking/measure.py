"""Timings in turns, so that whatever else the machine does meets all of them alike."""

import itertools
import resource
import statistics
import sys
import time

import keras

from thyroid_keras.benchmarking.flops import count_flops
from thyroid_keras.folding import fold_batch_norm

LEAST_TURNS = 3


def time_in_turns(tasks, seconds, turns=None):
    """Times each task once per turn, after a turn that is not counted.

    Args:
        tasks: dict from name to a function without arguments that returns when it is done.
        seconds: float, no turn begins later than this; there are at least three.
        turns: int >= 1, how many instead.

    Returns:
        dict from name to a list of seconds.
    """
    for task in tasks.values():
        task()
    times = {name: [] for name in tasks}
    end = time.perf_counter() + seconds
    for turn in itertools.count():
        if turn >= (turns or LEAST_TURNS) and (turns or time.perf_counter() >= end):
            return times
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)


def step_tasks(rehearsal):
    """What a training consists of, as functions to be timed.

    Args:
        rehearsal: `rehearsal.Rehearsal`.

    Returns:
        dict of functions without arguments: `train`, `predict`, `forward`, `pipeline`.
    """
    images, truth = rehearsal.full_batch()
    pictures = images["image"] if isinstance(images, dict) else images  # a learner knows more
    forward = _InTrainingMode(rehearsal.model)
    network = fold_batch_norm(rehearsal.network)
    steps = itertools.cycle(range(len(rehearsal.batches)))
    return {
        "train": lambda: rehearsal.model.train_on_batch(images, truth),
        "predict": lambda: network.predict_on_batch(pictures),
        "forward": lambda: forward.predict_on_batch(images),
        "pipeline": lambda: rehearsal.batches.batch(1, next(steps)),
    }


class _InTrainingMode(keras.Model):
    """A model's forward pass as in training, compiled by every backend's `predict`."""

    def __init__(self, model):
        super().__init__(name="in_training_mode")
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=True)


def figures(rehearsal, times, probes):
    """Turns seconds into what `bench` reports.

    Args:
        rehearsal: `rehearsal.Rehearsal`.
        times: dict of lists of seconds, of `step_tasks` and of the probes.
        probes: dict of `ceiling.Probe`.

    Returns:
        dict of float, see `bench.MEANINGS`.
    """
    size = rehearsal.batches.batch_size
    median = {name: statistics.median(values) for name, values in times.items()}
    fastest = {name: min(values) for name, values in times.items()}
    step_flops = size * count_flops(rehearsal.model)["training"]
    train_gflops = step_flops / fastest["train"] / 1e9
    reached = {name: probe.flops / fastest[name] / 1e9 for name, probe in probes.items()}
    ceiling = max(reached.values())
    return {
        "train_images_per_s": size / median["train"],
        "train_images_per_s_best": size / fastest["train"],
        "predict_images_per_s": size / median["predict"],
        "pipeline_images_per_s": _batch_mean(rehearsal) / median["pipeline"],
        "forward_ms": 1e3 * median["forward"],
        "backward_ms": 1e3 * (median["train"] - median["forward"]),
        "peak_memory_mb": _peak_memory_mb(),
        "train_gflop": step_flops / 1e9,
        "train_gflops": train_gflops,
        **{f"{name}_gflops": value for name, value in reached.items()},
        "ceiling_gflops": ceiling,
        "convolution_share": train_gflops / reached["convolution"],
        "ceiling_share": train_gflops / ceiling,
    }


def _batch_mean(rehearsal):
    return len(rehearsal.batches.indices) / len(rehearsal.batches)


def _peak_memory_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
