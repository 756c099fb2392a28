"""kill -9: while saving, without mercy; and of whole trainings, which `kills.py` does at length."""

import json
import random

import kills
import pytest
from check import run_python

SAVING = """
import json, os, random, signal, sys, tempfile, time
import numpy as np
from thyroid_keras.training.checkpoints import Checkpoints, Record

def save(folder, said):  # nothing but saving, so that every kill hits a save
    kept, epoch = Checkpoints(folder), 0
    while True:
        epoch += 1
        weights = np.full(50_000, float(epoch))
        best = max(1, epoch - epoch % 3)
        kept.save(Record(epoch=epoch, best_epoch=best, best=0.5), {"w": weights})
        os.write(said, epoch.to_bytes(4, "big"))

rng, found = random.Random(0), []
for number in range(100):
    with tempfile.TemporaryDirectory() as folder:
        hear, said = os.pipe()
        child = os.fork()
        if not child:
            save(folder, said)
        os.close(said)
        os.read(hear, 4)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last = 1
        while word := os.read(hear, 4):
            last = int.from_bytes(word, "big")
        os.close(hear)
        passed_over = []
        record, arrays = Checkpoints(folder, passed_over.append).latest()
        whole = bool((arrays["w"] == record.epoch).all()) and not passed_over
        partial = any(name.startswith(".tmp-") for name in os.listdir(folder))
        found.append((whole, record.epoch - last, partial))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_hundred_kills_while_saving_lose_nothing():
    found = json.loads(run_python(SAVING))
    assert len(found) == 100
    assert all(whole for whole, _, _ in found)
    assert {ahead for _, ahead, _ in found} <= {0, 1}, "an epoch that was saved is gone"
    assert sum(partial for _, _, partial in found) > 20, "the kills did not hit the saves"


@pytest.mark.slow
def test_a_training_killed_in_either_stage_or_while_saving_ends_bit_equal(tmp_path):
    status, seconds = kills.finish(tmp_path / "whole", "mixed_bfloat16")
    assert status == 0
    reference = kills.traces(tmp_path / "whole"), seconds
    for number, aim in enumerate(("segmentation", "collaborative", "saving", "evaluation")):
        folder, rng = tmp_path / f"kill_{number}", random.Random(number)
        line, problems = kills.one_kill(folder, "mixed_bfloat16", rng, aim, reference)
        assert not problems, line
