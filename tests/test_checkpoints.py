"""Damaged, hostile and impossible checkpoints: refused, and the one before is used."""

import io
import json
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from tables import blobs
from test_training import Killed, data, fit, phase, tiny, tiny_model, training

from thyroid_keras.data.splits import make_splits
from thyroid_keras.training import Diverged, fit_phase
from thyroid_keras.training.checkpoints import CheckpointError, Checkpoints, Record, _sums

FILES = ("state.npz", "state.json", "SHA256SUMS")


@pytest.fixture(scope="module")
def splits():
    return make_splits(blobs(32), progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, splits):
    """An uninterrupted training: its folder, weights and history."""
    folder = tmp_path_factory.mktemp("whole")
    model, story = fit(folder, splits)
    return folder, model.get_weights(), story.history


def damages(path, rng):
    """Yields 200 damaged contents of the files of a checkpoint, as `(file, bytes)`."""
    contents = {name: (path / name).read_bytes() for name in FILES}
    for number in range(180):
        name = FILES[number % 3]
        content = bytearray(contents[name])
        place = rng.integers(len(content))
        if number % 2:
            content[place] ^= 1 << rng.integers(8)
        else:
            del content[place]
        yield name, bytes(content)
    record = json.loads(contents["state.json"])
    for number in range(20):  # valid JSON, and no longer what happened
        field = ("epoch", "best_epoch", "best", "finished", "history")[number % 5]
        value = [] if field == "history" else record[field] + number + 1
        yield "state.json", json.dumps(record | {field: value}).encode()


def test_each_of_200_damaged_checkpoints_is_refused_and_the_one_before_is_used(whole, tmp_path):
    folder = shutil.copytree(whole[0] / "only", tmp_path / "only")
    said = []
    kept = Checkpoints(folder, said.append)
    newest = folder / "epoch_0004"
    refused = 0
    for name, content in damages(newest, np.random.default_rng(0)):
        intact = (newest / name).read_bytes()
        (newest / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="epoch_0004"):
            kept.load(4)
        assert kept.latest()[0].epoch == 3
        refused += 1
        (newest / name).write_bytes(intact)
    assert refused == len(said) == 200
    assert kept.latest()[0].epoch == 4


@pytest.mark.parametrize("damaged", [("state.npz", 4), ("state.json", 4), ("SHA256SUMS", 3)])
def test_what_goes_on_from_the_epoch_before_ends_bit_equal(damaged, whole, tmp_path, splits):
    name, cut_epoch = damaged
    with pytest.raises(Killed):
        fit(tmp_path, splits, kill_after=3 * cut_epoch - 1)
    newest = max((tmp_path / "only").glob("epoch_*"))
    content = bytearray((newest / name).read_bytes())
    content[len(content) // 2] ^= 4
    (newest / name).write_bytes(content)
    said = []
    keras.utils.set_random_seed(99)
    model, story = fit(tmp_path, splits, say=said.append)
    assert newest.name in said[0]
    assert story.history == whole[2]
    for one, other in zip(model.get_weights(), whole[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_phase_whose_best_epoch_is_damaged_begins_anew(whole, tmp_path):
    kept = Checkpoints(tmp_path)
    for epoch in range(1, 5):
        kept.save(Record(epoch=epoch, best_epoch=1, best=0.5), {"w": np.zeros(3)})
    (tmp_path / "epoch_0001" / "state.npz").write_bytes(b"")
    assert kept.latest() is None


def resealed(folder, **files):
    """Replaces files of the newest epoch, and their checksums with them."""
    newest = max(folder.glob("epoch_*"))
    for name, content in files.items():
        (newest / name.replace("_", ".")).write_bytes(content)
    (newest / "SHA256SUMS").write_bytes(_sums(newest))
    return newest


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def huge():
    """A file that says it holds more than any memory does."""
    stream = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    )
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights/0.npy", header.getvalue())
    return stream.getvalue()


def hostile(marker):
    record = {"epoch": 4, "best_epoch": 4, "best": 0.1, "finished": True, "history": []}
    return {
        "pickled objects": {"state_npz": npz(w=np.array([Payload(marker)], dtype=object))},
        "huge shape": {"state_npz": huge()},
        "bomb": {"state_npz": npz(compressed=True, w=np.zeros(10**7))},
        "no archive": {"state_npz": b"<html>"},
        "deep nesting": {"state_json": b"[" * 100_000},
        "a list": {"state_json": b"[]"},
        "another field": {"state_json": json.dumps(record | {"code": "x"}).encode()},
        "not a number": {"state_json": json.dumps(record | {"best": float("nan")}).encode()},
        "text for a number": {"state_json": json.dumps(record | {"epoch": "4"}).encode()},
        "another epoch": {"state_json": json.dumps(record | {"epoch": 9}).encode()},
        "a future best": {"state_json": json.dumps(record | {"best_epoch": 9}).encode()},
        "history of text": {"state_json": json.dumps(record | {"history": ["x"]}).encode()},
    }


@pytest.mark.parametrize("attack", hostile(""))
def test_a_checkpoint_made_with_intent_is_refused(attack, whole, tmp_path):
    folder = shutil.copytree(whole[0] / "only", tmp_path / "only")
    marker = tmp_path / "marker"
    resealed(folder, **hostile(marker)[attack])
    with pytest.raises(CheckpointError, match="epoch_0004"):
        Checkpoints(folder).load(4)
    assert Checkpoints(folder).latest()[0].epoch == 3
    assert not marker.exists()


@pytest.mark.parametrize("change", ["dtype", "shape", "fewer"])
def test_arrays_of_another_network_are_refused(change, whole, tmp_path, splits):
    shutil.copytree(whole[0] / "only", tmp_path / "only")
    with np.load(tmp_path / "only/epoch_0004/state.npz") as file:
        arrays = dict(file)
    first = arrays.pop("weights/0")
    if change != "fewer":
        arrays["weights/0"] = first.astype("U9") if change == "dtype" else first[..., :1]
    resealed(tmp_path / "only", state_npz=npz(**arrays))
    with pytest.raises(CheckpointError, match="another network"):
        fit(tmp_path, splits)


def test_weights_that_are_not_finite_are_not_saved_though_the_loss_is(tmp_path, splits):
    class Spoiler(keras.callbacks.Callback):
        def on_test_end(self, logs=None):  # after the losses of the second epoch
            if int(self.model.optimizer.iterations) == 6:
                bias = self.model.get_layer("first").bias
                bias.assign(np.full(bias.shape, np.inf))

    context = training(tmp_path, watch=lambda phase, steps: [Spoiler()])
    with pytest.raises(Diverged, match="weights not finite in epoch 2"):
        fit_phase(tiny_model(), phase(), *data(splits), context)
    record, arrays = Checkpoints(tmp_path / "only").latest()
    assert record.epoch == 1
    assert all(np.isfinite(a).all() for a in arrays.values())


@pytest.mark.slow
def test_a_stage_two_that_diverges_leaves_both_stages_finite(tmp_path, splits):
    recipe = tiny("learning_rate=1e38", "segmentation_epochs=1", "schedule=inverse_time")
    with pytest.raises(Diverged, match="Stage 2"):
        recipe.procedure(recipe, splits, training(tmp_path))
    assert Checkpoints(tmp_path / "segmentation").latest()[0].finished
    for path in tmp_path.rglob("state.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


def test_the_loss_scale_and_the_random_states_are_in_the_checkpoint(tmp_path, splits):
    def optimizer(steps):
        scaled = {"initial_scale": 8.0, "dynamic_growth_steps": 2}
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), **scaled)

    settings = {"precision": "mixed_float16", "optimizer": optimizer}
    whole, _ = fit(tmp_path / "whole", splits, **settings)
    scale = float(whole.optimizer.dynamic_scale)
    assert scale > 8.0, "it must have moved, or nothing is tested"
    with pytest.raises(Killed):
        fit(tmp_path / "cut", splits, kill_after=8, **settings)
    keras.utils.set_random_seed(99)
    resumed, _ = fit(tmp_path / "cut", splits, **settings)
    assert float(resumed.optimizer.dynamic_scale) == scale
    states = [v for v in resumed.variables if "seed" in v.path]
    assert states, "a network with dropout has random state"
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_too_little_room_is_said_before_the_first_step(tmp_path, splits, monkeypatch):
    monkeypatch.setattr("thyroid_keras.training.checkpoints.free_bytes", lambda path: 5_000)
    with pytest.raises(CheckpointError, match=r"need 0\.0 MB, and 0\.0 MB are free.*--out"):
        fit_phase(tiny_model(), phase(), *data(splits), training(tmp_path))
    assert not (tmp_path / "only").exists()


FULL = """
import resource, sys
import numpy as np
from thyroid_keras.training.checkpoints import CheckpointError, Checkpoints, Record
kept = Checkpoints(sys.argv[1])
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        kept.save(Record(epoch=3, best_epoch=1, best=0.5), {"w": np.ones(10**5)})
    except CheckpointError as error:
        print(error, kept.latest()[0].epoch, len(list(kept.folder.iterdir())))
"""


def test_a_disk_that_fills_up_leaves_the_old_state_and_no_other(tmp_path):
    kept = Checkpoints(tmp_path)
    for epoch in (1, 2):
        kept.save(Record(epoch=epoch, best_epoch=1, best=0.5), {"w": np.ones(3)})
    limits = ["0", "50", "500", "400000", "800000"]  # bytes, the last within the file's end
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, *limits], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(limits)
    for line in lines:
        assert "File too large; the epochs before are untouched. Free space" in line
        assert line.endswith(" 2 2"), "the second epoch is the newest of two"
