"""SIGINT and SIGTERM at every stage of a real training."""

import gc
import signal
import subprocess
import time
from pathlib import Path

import kills
import pytest

from thyroid_keras.signals import SignalGuard
from thyroid_keras.training import Interrupted

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
MOMENTS = {
    "data": lambda folder: (folder / ".lock").exists(),
    "stage 1": lambda folder: (folder / "checkpoints/segmentation/epoch_0001").exists(),
    "stage 2": lambda folder: (folder / "checkpoints/collaborative/epoch_0001").exists(),
    "evaluation": lambda folder: (folder / "model.keras").exists(),
}


def start(folder):
    return subprocess.Popen(
        kills.command(folder, "float32"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # where the tests run in the background a shell has SIGINT ignored, by children too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.005)


@pytest.mark.parametrize("seconds", [0, 1, 2])
def test_a_start_that_is_interrupted_ends_quietly(seconds, tmp_path):
    process = start(tmp_path / "run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: children.read_text(), process)  # the filter runs: TensorFlow is imported
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 130
    assert "Traceback" not in said and not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_the_training_and_says_how_to_go_on(moment, number, tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: MOMENTS[moment](folder), process)
    process.send_signal(number)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == CODES[number], said
    assert "Traceback" not in said
    assert f"--out {folder}" in said and said.rstrip().endswith("--resume")
    assert not list(folder.rglob(".tmp-*"))


@pytest.mark.slow
def test_the_second_signal_ends_at_once(tmp_path):
    process = start(tmp_path / "run")
    wait_for(lambda: (tmp_path / "run/config.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    said = process.communicate(timeout=900)[1]
    assert process.returncode in (130, 143)
    assert time.monotonic() - begun < 2 and "interrupted" not in said


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost():
    def callback(phase, info):
        if phase == "start":
            signal.raise_signal(signal.SIGTERM)

    before = list(gc.callbacks)
    try:
        with pytest.raises(Interrupted, match="SIGTERM.*another folder"):
            with SignalGuard("Go on in another folder."):
                gc.callbacks.append(callback)
                gc.collect()
                gc.callbacks[:] = before
                time.sleep(5)
                pytest.fail("the signal was lost")
    finally:
        gc.callbacks[:] = before
