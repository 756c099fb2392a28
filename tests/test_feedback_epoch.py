"""Feedback from epoch to epoch: whose map is kept, how it moves, what outlives a kill."""

import shutil

import keras
import numpy as np
import pytest
from check import ramp
from tables import blobs

import thyroid_keras as tk
from thyroid_keras.benchmarking.flops import count_flops
from thyroid_keras.data.augment import Augmentation, affine_matrices, warp
from thyroid_keras.data.splits import make_splits
from thyroid_keras.layers import MapMemory
from thyroid_keras.recipes import RECIPES, feedback
from thyroid_keras.recipes.feedback import grid_matrices
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import Training, override
from thyroid_keras.training.checkpoints import Checkpoints

STILL = np.eye(2, 3, dtype=np.float32)[None]
TINY = ["image_size=32", "eta=8", "batch_size=8", "feedback=epoch", "epochs=2"]
TINY += ["rotation_deg=15", "warm_up_epochs=0", "learning_rate=0.05"]


def memory_of(maps, **options):
    memory = MapMemory(len(maps), **options)
    memory.build((None, *maps.shape[1:], 1), (None,), (None, 2, 3))
    memory.maps.assign(maps)
    return memory


def look_up(memory, index, matrices):
    height, width = memory.maps.shape[1:]
    other = np.full((len(index), height, width, 1), 7, np.float32)
    found = memory(other, np.array(index, np.int32), matrices)
    return keras.ops.convert_to_numpy(found)


def test_known_images_get_their_map_and_others_what_is_given():
    maps = ramp(3, 5, 4).astype(np.float16)
    found = look_up(memory_of(maps), [2, -1, 0], STILL.repeat(3, 0))
    np.testing.assert_array_equal(found[[0, 2], ..., 0], maps[[2, 0]])
    np.testing.assert_array_equal(found[1], 7)


def test_maps_are_neutral_before_there_are_any():
    for neutral in (1.0, 0.5):
        memory = MapMemory.from_config(MapMemory(2, neutral=neutral).get_config())
        memory.build((None, 3, 3, 1), (None,), (None, 2, 3))
        np.testing.assert_array_equal(look_up(memory, [0, 1], STILL.repeat(2, 0)), neutral)
    with pytest.raises(ValueError, match="`num_images`.*Received"):
        MapMemory(0)


MOVES = Augmentation(
    flip_horizontal=0.5, flip_vertical=0.5, rotation_deg=30, shift=0.2, zoom=(0.7, 1.4)
)


def test_maps_move_as_their_pictures_do():
    rng = np.random.default_rng(0)
    maps = rng.random((20, 16, 16)).astype(np.float16)
    matrices = affine_matrices(MOVES, 20, (16, 16), rng)
    moved = warp(maps[..., None].astype(np.float32), matrices)
    found = look_up(memory_of(maps), range(20), grid_matrices(matrices, 16, 16))
    # OpenCV rounds positions to 1/32 of a pixel
    assert np.abs(found - moved).max() < 0.1 and np.abs(found - moved).mean() < 0.01


def test_a_map_covers_the_square_of_its_picture():
    """A picture made of a map's squares, moved by whole squares and mirrored, is still that."""
    rng = np.random.default_rng(1)
    maps = rng.random((40, 8, 8)).astype(np.float16)
    shifts = 4 * rng.integers(-2, 3, (40, 2))
    flips = np.where(rng.random((40, 2)) < 0.5, -1.0, 1.0)
    linear = np.eye(2) * flips[:, None, :]
    centre = np.full(2, 15.5)
    offset = centre + shifts - np.einsum("bij,j->bi", linear, centre)
    matrices = np.concatenate([linear, offset[:, :, None]], axis=2)
    pictures = maps.repeat(4, 1).repeat(4, 2)[..., None].astype(np.float32)
    moved = warp(pictures, matrices)[:, 1::4, 1::4]
    found = look_up(memory_of(maps), range(40), grid_matrices(matrices, 32, 8))
    np.testing.assert_allclose(found, moved, atol=1e-5)


def recipe_of(*more):
    return override(RECIPES["fan"]["quick"], [*TINY, *more])


@pytest.fixture(scope="module")
def splits():
    return make_splits(blobs(32), progress=False)


class Killed(BaseException):
    """Stands for a kill: nothing in the program expects it."""


class Killer(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            raise Killed


def fit(splits, folder, *more, kill_at=0):
    """Runs the recipe; returns its model and the history of its only phase."""
    recipe = recipe_of(*more)
    keras.utils.set_random_seed(99)  # whatever a new process starts with
    training = Training(checkpoints=folder, feed=feed, watch=lambda phase, steps: [Killer(kill_at)])
    return recipe.procedure(recipe, splits, training), training.history["fan"]


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *fit(splits, folder)


def kept(folder, epoch):
    """The maps in the checkpoint of an epoch, the only array of half precision; the weights."""
    arrays = Checkpoints(folder / "fan").load(epoch)[1]
    weights = [arrays[f"weights/{i}"] for i in range(sum(n[0] == "w" for n in arrays))]
    (maps,) = [w for w in weights if w.dtype == np.float16]
    return maps, weights


def gates_by(recipe, table, weights):
    """The gate after each image's last pass, by the network with a memory."""
    network = feedback._build(recipe, table, num_images=len(table))
    network.set_weights(weights)
    count = len(table)
    images = np.stack([s.image for s in table.samples])[..., None] / np.float32(255)
    inputs = {"image": images, "index": np.arange(count, dtype=np.int32)}
    told = network.predict_on_batch(inputs | {"matrix": STILL.repeat(count, 0)})
    return np.asarray(network.get_layer("gate")(told["logits"], told["evidence"]))[..., 0]


@pytest.mark.slow
def test_each_epochs_maps_come_from_those_of_the_epoch_before(splits, whole):
    folder, table = whole[0], splits.train
    maps = {0: np.ones((len(table), 8, 8), np.float16)}  # neutral: nothing is known at first
    for epoch in (1, 2):
        maps[epoch], weights = kept(folder, epoch)
        found = {}
        for before in (0, 1):
            known = [maps[before] if w.dtype == np.float16 else w for w in weights]
            found[before] = gates_by(recipe_of(), table, known)
        np.testing.assert_allclose(maps[epoch], found[epoch - 1], atol=2e-3)
        assert np.ptp(maps[epoch]) > 0.02
    assert np.abs(found[0] - found[1]).max() > 0.01  # which map was fed is seen


def test_images_never_seen_are_looked_at_twice(splits, whole):
    _, model, history = whole
    images = np.stack([s.image for s in splits.val.samples])[..., None] / np.float32(255)
    logits = model.predict_on_batch(images)["logits"]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    best = min(history, key=lambda row: row["val_logits_loss"])
    expected = float(loss(splits.val.labels, logits))
    assert best["val_logits_loss"] == pytest.approx(expected, rel=1e-4)


def check_resumed(splits, whole, folder):
    resumed, history = fit(splits, folder)
    before, model, story = whole
    assert history == story
    for one, other in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(kept(folder, 2)[0], kept(before, 2)[0])


def test_resumed_is_uninterrupted_to_the_last_bit(splits, whole, tmp_path):
    shutil.copytree(whole[0] / "fan" / "epoch_0001", tmp_path / "fan" / "epoch_0001")
    check_resumed(splits, whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 3, 4])
def test_so_it_is_after_a_kill_in_any_step(splits, whole, tmp_path, kill_at):
    with pytest.raises(Killed):
        fit(splits, tmp_path, kill_at=kill_at)
    check_resumed(splits, whole, tmp_path)


@pytest.fixture
def lesson(splits, tmp_path, monkeypatch):
    """What the recipe would fit: the learner and its batches, untrained."""
    seen = {}
    monkeypatch.setattr(
        feedback, "fit_phase", lambda *arguments: seen.update(zip(NAMES, arguments, strict=True))
    )
    recipe = recipe_of()
    recipe.procedure(recipe, splits, Training(checkpoints=tmp_path, feed=feed))
    return seen


NAMES = ("learner", "phase", "train", "val", "training")


def test_the_learner_is_fed_the_map_of_each_image(lesson):
    learner, inputs = lesson["learner"], lesson["train"].batch(0, 0)[0]
    memory = learner.get_layer("memory")
    np.testing.assert_array_equal(inputs["index"], lesson["train"].order(0)[:8])

    def passes():
        said = learner(inputs)
        return np.asarray(said["logits_pass1"]), np.asarray(said["logits"])

    np.testing.assert_allclose(*passes(), atol=1e-6)  # a neutral gate is none
    maps = np.ones(memory.maps.shape, np.float16)
    maps[inputs["index"][3]] = 0.25
    memory.maps.assign(maps)
    first, last = passes()
    assert np.abs(first[3] - last[3]).max() > 1e-3
    others = np.arange(len(first)) != 3
    np.testing.assert_allclose(first[others], last[others], atol=1e-6)
    assert set(lesson["val"].batch(0, 0)[0]["index"]) == {-1}


def test_operations_of_the_learner_are_counted(lesson):
    network = tk.build("fan", image_shape=(32, 32, 1), eta=8)
    assert count_flops(lesson["learner"]) == count_flops(network)


def test_batches_say_how_their_images_were_moved(lesson):
    batches = lesson["train"]
    batches.targets = lambda arrays: (arrays, None)
    arrays = batches.batch(1, 2)[0]
    images = batches.store.read(arrays["index"])[0]
    np.testing.assert_allclose(arrays["image"], warp(images, arrays["matrix"]) / 255, atol=1e-6)
    assert np.abs(arrays["matrix"] - np.eye(2, 3)).max() > 1


@pytest.mark.slow
def test_the_true_class_may_choose_the_map_while_training(splits, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        feedback, "fit_phase", lambda learner, phase, *_: seen.append((learner, phase))
    )
    maps = []
    for target in ("last", "true"):
        recipe = recipe_of("evidence=class", f"gate_target={target}")
        recipe.procedure(recipe, splits, Training(checkpoints=tmp_path, feed=feed))
        learner, phase = seen[-1]
        phase.after_epoch()
        maps.append(np.asarray(learner.get_layer("memory").maps))
    last, true = maps
    positive = splits.train.labels == 1
    np.testing.assert_array_equal(last[positive], true[positive])
    assert np.abs(last[~positive] - true[~positive]).max() > 1e-3
