"""Where a training step's time goes on TensorFlow, operation by operation."""

import collections
import re
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from thyroid_keras.training import SettingError

STEPS = 3
HOST = "/host:CPU"
OPERATION = re.compile(r"^.*:(?:_Mkl(?:Native)?|_)?(\w+)$")
IDLE, REST = "(none running)", "(all others)"
SMALLEST_SHARE = 0.002


def profile_steps(step, count=STEPS):
    """Divides the wall-clock time of training steps among TensorFlow's operations.

    Each moment belongs to the operations that run in it, in equal parts where several
    do, so that the rows add up to the wall-clock time of the steps, however many
    threads there are. Time that no operation fills (Python, scheduling) has a row of its
    own. Names are TensorFlow's, without the prefixes of the oneDNN versions;
    `...WithBias` is a gradient with that of the bias, `FusedConv2D` a convolution with
    its bias.

    Args:
        step: function without arguments, one step, traced before.
        count: int >= 1, how many to profile.

    Returns:
        List of dicts `operation` (str), `ms` (of a step), `share` (of its time, in
        [0, 1]) and `calls` (per step), the longest first; the idle and the small ones last.

    Raises:
        SettingError: where this TensorFlow cannot read its profiles, or has a GPU.
    """
    # profiles of a GPU have other lines, and its kernels other names
    if tf.config.list_physical_devices("GPU"):
        raise SettingError("--profile works without a GPU only; hide it or leave --profile out.")
    seconds, space = _record(step, count)
    ran, calls = attribute(_operations(space))
    ran[IDLE] = max(0.0, seconds - sum(ran.values()))
    named = [name for name, _ in ran.most_common() if ran[name] >= SMALLEST_SHARE * seconds]
    named = [name for name in named if name != IDLE] + [IDLE]
    ran[REST] = sum(ran.values()) - sum(ran[name] for name in named)
    calls[REST] = sum(calls.values()) - sum(calls[name] for name in named)
    return [
        {
            "operation": name,
            "ms": 1e3 * ran[name] / count,
            "share": ran[name] / seconds,
            "calls": calls[name] / count,
        }
        for name in [*named, REST]
    ]


def _record(step, count):
    """Seconds that the steps took, and the profiler's record of them."""
    try:
        from tensorflow.tsl.profiler.protobuf import xplane_pb2
    except ImportError as error:
        raise SettingError(
            f"--profile: TensorFlow {tf.__version__} has its profiles elsewhere ({error}); leave "
            "--profile out, or use version 2.21."
        ) from error
    with tempfile.TemporaryDirectory(prefix="thyroid_keras_") as folder:
        tf.profiler.experimental.start(folder)
        try:
            start = time.perf_counter()
            for _ in range(count):
                step()
            seconds = time.perf_counter() - start
        finally:
            tf.profiler.experimental.stop()
        file = next(Path(folder).rglob("*.xplane.pb"))
        return seconds, xplane_pb2.XSpace.FromString(file.read_bytes())


def _operations(space):
    """Yields `(start, end, operation)` in ps, of every thread; inner ones interrupt outer."""
    for plane in space.planes:
        if plane.name != HOST:
            continue
        names = {key: _operation(value.name) for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            origin = line.timestamp_ns * 1000
            events = sorted(
                (origin + e.offset_ps, -e.duration_ps, names[e.metadata_id])
                for e in line.events
                if names[e.metadata_id] and e.duration_ps
            )
            yield from innermost((start, start - minus, name) for start, minus, name in events)


def _operation(event):
    found = OPERATION.match(event)
    return found.group(1) if found and "::" not in event else None


def innermost(events):
    """Cuts an event wherever another of its thread begins within it."""
    stack = []  # of [resumed at, end, name]
    for start, end, name in events:
        while stack and stack[-1][1] <= start:
            yield from _close(stack)
        if stack:
            yield stack[-1][0], start, stack[-1][2], False
        stack.append([start, end, name])
    while stack:
        yield from _close(stack)


def _close(stack):
    resumed, end, name = stack.pop()
    if stack:
        stack[-1][0] = end
    yield resumed, end, name, True


def attribute(pieces):
    """Seconds of each operation, moments with several divided, and its number of calls."""
    calls, changes = collections.Counter(), []
    for start, end, name, last in pieces:
        calls[name] += last
        changes += [(start, 1, name), (end, -1, name)]
    seconds, running, before = collections.Counter(), collections.Counter(), None
    for moment, change, name in sorted(changes, key=lambda c: c[:2]):
        if total := running.total():
            for other, number in running.items():
                seconds[other] += (moment - before) * number / total / 1e12
        running[name] += change
        before = moment
        if not running[name]:
            del running[name]
    return seconds, calls
