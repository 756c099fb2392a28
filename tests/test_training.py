"""Phases, checkpoints, settings: what a long training must survive."""

import dataclasses
import json
import signal

import keras
import numpy as np
import pytest
from check import run_python
from tables import blobs

import thyroid_keras as tk
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits
from thyroid_keras.losses import FocalTversky
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import feed, open_stores, train_batches, val_batches
from thyroid_keras.recipes.pixel_labels import draw_pixel_labels
from thyroid_keras.training import (
    Diverged,
    Interrupted,
    Phase,
    SettingError,
    Training,
    copy_weights,
    fit_phase,
    later_seed,
    override,
    seed_problems,
)
from thyroid_keras.training.backend import set_precision
from thyroid_keras.training.checkpoints import CheckpointError, Checkpoints, Record
from thyroid_keras.training.settings import describe

TINY = ["image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8", "rotation_deg=10"]


def tiny(*more, arch="cs_agnet"):
    quick = ["segmentation_epochs=2", "epochs=2", "pixel_label_percent=50"]
    return override(RECIPES[arch]["quick"], [*TINY, *quick, *more])


@pytest.fixture(scope="module")
def splits():
    return make_splits(blobs(32), progress=False)


def tiny_model(dropout=False):
    x = inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu", name="first")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten()(x)
    if dropout:
        x = keras.layers.Dropout(0.3, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="label")(x))


def data(splits):
    recipe = tiny()
    stores = open_stores(recipe, splits)

    def pair(arrays):
        return arrays["image"], arrays["label"]

    return (
        train_batches(recipe, stores["train"], pair, 0),
        val_batches(recipe, stores["val"], pair),
    )


def phase(**changes):
    settings = {
        "name": "only",
        "title": "Only",
        "epochs": 4,
        "optimizer": lambda steps: keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.01, steps)
        ),
        "losses": "categorical_crossentropy",
    }
    return Phase(**settings | changes)


def training(folder, **changes):
    return Training(checkpoints=folder, feed=feed, **changes)


class Killed(BaseException):
    """Stands for a kill: nothing in the program expects it."""


def fit(folder, splits, kill_after=None, precision="float32", say=lambda line: None, **changes):
    keras.utils.set_random_seed(1)
    set_precision(precision)
    model = tiny_model(dropout=True)

    class Killer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if kill_after is not None and int(self.model.optimizer.iterations) >= kill_after:
                raise Killed

    context = training(folder, watch=lambda phase, steps: [Killer()], say=say)
    return fit_phase(model, phase(**changes), *data(splits), context), context


@pytest.mark.parametrize(
    ("kill_after", "precision"),
    [(1, "float32"), (3, "float32"), (4, "mixed_float16"), (8, "mixed_bfloat16"), (11, "float32")],
)
def test_resumed_is_uninterrupted_to_the_last_bit(tmp_path, splits, kill_after, precision):
    whole, story = fit(tmp_path / "whole", splits, precision=precision)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", splits, kill_after=kill_after, precision=precision)
    keras.utils.set_random_seed(99)  # whatever a new process starts with
    resumed, same_story = fit(tmp_path / "cut", splits, precision=precision)
    assert same_story.history == story.history
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_phase_is_not_repeated(tmp_path, splits):
    first, story = fit(tmp_path, splits)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("state.npz")}
    second, same_story = fit(tmp_path, splits)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("state.npz")} == stamps
    assert story.history == same_story.history
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])


def test_the_best_epoch_is_kept_and_patience_ends_the_phase(tmp_path, splits):
    # a huge step in epoch two spoils the network for good
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([8], [0.01, 30.0])
    model, story = fit(
        tmp_path, splits, epochs=10, patience=2, optimizer=lambda steps: keras.optimizers.SGD(rates)
    )
    losses = [row["val_loss"] for row in story.history["only"]]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 10
    train, val = data(splits)
    value = model.evaluate(feed(val, 0, 1)[0], verbose=0)
    assert value == pytest.approx(losses[best], rel=1e-4)


def test_what_is_not_finite_is_never_saved(tmp_path, splits):
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([6], [0.01, 3e38])
    with pytest.raises(Diverged, match="not finite in epoch 3"):
        fit(tmp_path, splits, optimizer=lambda steps: keras.optimizers.SGD(rates))
    record, arrays = Checkpoints(tmp_path / "only").latest()
    assert record.epoch == 2
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_nothing_is_kept_where_the_first_epoch_is_not_finite(tmp_path, splits):
    with pytest.raises(Diverged, match="in epoch 1. Try a lower"):
        fit(tmp_path, splits, optimizer=lambda steps: keras.optimizers.SGD(3e38))
    assert Checkpoints(tmp_path / "only").latest() is None


def test_what_is_monitored_must_be_measured(tmp_path, splits):
    with pytest.raises(ValueError, match=r"one of \['loss', 'val_loss'\].*'val_losss'"):
        fit(tmp_path, splits, monitor="val_losss")


def test_a_signal_ends_the_step_and_the_epoch_before_is_kept(tmp_path, splits):
    calls = []

    def stop_signal():
        calls.append(1)
        return signal.SIGTERM if len(calls) == 6 else None

    with pytest.raises(Interrupted) as caught:
        fit_phase(tiny_model(), phase(), *data(splits), training(tmp_path, stop_signal=stop_signal))
    assert caught.value.signal_number == signal.SIGTERM
    assert Checkpoints(tmp_path / "only").latest()[0].epoch == 1


def test_whoever_watches_is_told_of_the_end_however_it_comes(tmp_path, splits):
    ended = []

    class Watcher(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            ended.append(True)

    for signals, count in (([0, 0, signal.SIGTERM], 1), ([], 2)):
        given = iter(signals)
        watched = dataclasses.replace(
            training(tmp_path / str(count)),
            stop_signal=lambda given=given: next(given, 0),
            watch=lambda phase, steps: [Watcher()],
        )
        try:
            fit_phase(tiny_model(), phase(), *data(splits), watched)
        except Interrupted:
            assert signals
        assert len(ended) == count


JAX_EPOCHS = """
import keras, numpy as np
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import Phase, Training, fit_phase

class Numbered(keras.utils.PyDataset):
    epoch, seen = 0, []
    def __len__(self):
        return 2
    def __getitem__(self, step):
        self.seen.append((self.epoch, step))
        return np.ones((4, 3), "f"), np.ones((4, 1), "f")
    def on_epoch_end(self):
        self.epoch += 1

train, val = Numbered(), Numbered()
val.seen = []
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="y")])
phase = Phase(name="one", title="one", epochs=3, optimizer=lambda steps: "sgd", losses="mse",
              metrics=[], patience=None)
fit_phase(model, phase, train, val, Training(checkpoints=None, feed=feed))
print(keras.backend.backend(), train.seen[-6:])
"""


def test_jax_learns_from_the_same_epochs():
    wanted = [(epoch, step) for epoch in range(3) for step in range(2)]
    assert run_python(JAX_EPOCHS, KERAS_BACKEND="jax").strip() == f"jax {wanted}"


def test_a_signal_during_validation_waits_until_the_epoch_is_kept(tmp_path, splits):
    train, val = data(splits)
    calls = []

    def stop_signal():
        calls.append(1)
        return signal.SIGINT if len(calls) > len(train) else None

    with pytest.raises(Interrupted):
        fit_phase(tiny_model(), phase(), train, val, training(tmp_path, stop_signal=stop_signal))
    assert Checkpoints(tmp_path / "only").latest()[0].epoch == 1


def test_frozen_layers_stay_and_thaw_again(tmp_path, splits):
    model = tiny_model()
    first = model.get_layer("first").get_weights()
    statistics = model.get_layer("norm").get_weights()
    fit_phase(
        model, phase(frozen=("first", "norm"), epochs=1), *data(splits), training(tmp_path / "a")
    )
    np.testing.assert_array_equal(model.get_layer("first").get_weights()[0], first[0])
    np.testing.assert_array_equal(model.get_layer("norm").get_weights()[2], statistics[2])
    fit_phase(model, phase(epochs=1), *data(splits), training(tmp_path / "b"))
    assert not np.array_equal(model.get_layer("first").get_weights()[0], first[0])


def checkpoint(folder, epochs=3):
    kept = Checkpoints(folder)
    for epoch in range(1, epochs + 1):
        kept.save(Record(epoch=epoch, best_epoch=1, best=0.5), {"w": np.full(50, float(epoch))})
    return kept


def test_checkpoints_keep_the_last_two_and_the_best(tmp_path):
    checkpoint(tmp_path, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0001", "epoch_0004", "epoch_0005"]


@pytest.mark.parametrize("file", ["state.npz", "state.json"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, file):
    rng = np.random.default_rng(0)
    kept = checkpoint(tmp_path)
    path = tmp_path / "epoch_0003" / file
    whole = path.read_bytes()
    for cut in (0, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert kept.latest()[0].epoch == 2
    if file == "state.npz":
        for position in rng.integers(0, len(whole), 100):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            with pytest.raises(CheckpointError, match="altered"):
                kept.load(3)
    path.write_bytes(whole)
    assert kept.latest()[0].epoch == 3


def test_a_full_disk_is_said_and_the_old_state_stays(tmp_path, monkeypatch):
    kept = checkpoint(tmp_path, 2)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(CheckpointError, match="No space left.*Free space"):
        kept.save(Record(epoch=3, best_epoch=1, best=0.5), {"w": np.zeros(5)})
    assert kept.latest()[0].epoch == 2


def test_a_state_of_another_network_is_refused(tmp_path, splits):
    fit(tmp_path, splits)
    with pytest.raises(CheckpointError, match="another"):
        fit_phase(tiny_model(), phase(), *data(splits), training(tmp_path))


def test_segmentation_alone_takes_two_classes_only(tmp_path, splits):
    three = [dataclasses.replace(t, class_names=("a", "b", "c")) for t in splits.parts.values()]
    changed = dataclasses.replace(splits, train=three[0], val=three[1], test=three[2])
    recipe = tiny(arch="ds_agnet")
    with pytest.raises(DataError, match="two classes"):
        recipe.procedure(recipe, changed, training(tmp_path))


def test_a_kill_while_saving_loses_nothing(tmp_path, monkeypatch):
    kept = checkpoint(tmp_path, 2)

    def die(*arguments):
        raise Killed

    monkeypatch.setattr("os.rename", die)
    with pytest.raises(Killed):
        kept.save(Record(epoch=3, best_epoch=1, best=0.5), {"w": np.zeros(5)})
    monkeypatch.undo()
    assert kept.latest()[0].epoch == 2
    kept.save(Record(epoch=3, best_epoch=1, best=0.5), {"w": np.zeros(5)})
    assert kept.latest()[0].epoch == 3


@pytest.mark.parametrize(
    "arch",
    [
        "cs_agnet",
        *(
            pytest.param(a, marks=pytest.mark.slow)
            for a in ("ds_agnet", "vgg_unet", "vgg_unet_seg")
        ),
    ],
)
def test_every_recipe_trains_saves_and_loads(arch, tmp_path, splits):
    if arch == "vgg_unet":  # one of them in mixed precision
        set_precision("mixed_bfloat16")
    recipe = tiny("segmentation_epochs=1", "epochs=1", arch=arch)
    model = recipe.procedure(recipe, splits, training(tmp_path))
    half = model.get_layer("stage1_conv1").compute_dtype == "bfloat16"
    assert half == (arch == "vgg_unet")
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}
    model.save(tmp_path / "model.keras")
    image = splits.test.samples[0].image[None, ..., None] / np.float32(255)
    one, other = (m.predict_on_batch(image) for m in (model, tk.load(tmp_path / "model.keras")))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


OPTIONS = [
    ["vote_loss_weight=0", "pseudo_masks=soft", "keep_real_masks=true", "tversky_per=batch",
     "schedule=inverse_time"],
    ["zero_negative_masks=true", "start_from_segmentation=false", "pixel_label_percent=100",
     "cache=disk"],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_every_option_trains(options, tmp_path, splits):
    recipe = tiny("segmentation_epochs=1", "epochs=1", *options)
    context = training(tmp_path)
    model = recipe.procedure(recipe, splits, context)
    assert sorted(model.output_names) == ["label", "mask", "mask_2", "mask_4", "mask_8"]
    rows = context.history["collaborative"]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert ("vote1_loss" in rows[0]) == (recipe.vote_loss_weight > 0)


def test_pixel_labels_are_a_share_of_all_training_images(splits):
    for percent, expected in ((20, 0.2), (30, 0.3), (100, 1.0)):
        recipe = override(RECIPES["cs_agnet"]["paper"], [f"pixel_label_percent={percent}"])
        drawn = draw_pixel_labels(splits, recipe, 0)["train"]
        assert len(drawn) == int(expected * len(splits.train))
        labels = splits.train.labels[drawn]
        assert abs(labels.mean() - splits.train.labels.mean()) <= 1 / len(labels)


def test_stage_one_learns_from_the_drawn_masks_alone(tmp_path, splits):
    recipe, fed = tiny(), []

    def feed_once(batches, first_epoch, num_epochs):
        fed.extend(batches.order(first_epoch))
        raise Killed

    with pytest.raises(Killed):
        recipe.procedure(recipe, splits, dataclasses.replace(training(tmp_path), feed=feed_once))
    drawn = draw_pixel_labels(splits, recipe, 0)["train"]
    assert sorted(fed) == drawn.tolist() and 0 < len(drawn) < len(splits.train)


def test_copy_weights_copies_by_name_and_shape():
    small = {"image_shape": (32, 32, 1), "stage_filters": (2, 3, 4, 5, 6)}
    source, target = tk.build("ds_agnet", **small), tk.build("cs_agnet", **small)
    fresh = target.get_layer("vote1").get_weights()[0]
    copy_weights(source, target)
    for name in ("stage1_conv1", "mask_gate3", "mask"):
        pairs = zip(source.get_layer(name).weights, target.get_layer(name).weights, strict=True)
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    np.testing.assert_array_equal(target.get_layer("vote1").get_weights()[0], fresh)


def test_the_losses_are_the_papers():
    paper = RECIPES["cs_agnet"]["paper"]
    from thyroid_keras.recipes.collaborative import _phase

    losses = _phase(paper, "collaborative", "").losses
    focal = {name: loss.gamma for name, loss in losses.items() if isinstance(loss, FocalTversky)}
    coarse = dict.fromkeys(("mask_2", "mask_4", "mask_8"), pytest.approx(4 / 3))
    assert focal == coarse | {"mask": 1}
    assert isinstance(losses["label"], keras.losses.CategoricalCrossentropy)


def test_settings_are_checked_all_at_once():
    with pytest.raises(SettingError) as caught:
        override(
            RECIPES["cs_agnet"]["quick"],
            ["learning_rte=1", "epochs=many", "schedule=linear", "zoom=1", "arch=fan", "epochs"],
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert all("Received" in line or "no such field" in line for line in lines)


def test_values_in_brackets_stay_together():
    quick = RECIPES["global_attention"]["quick"]
    given = override(quick, ["backbone_arguments=filters=2, stage_convs=(1,1,1,1,1)"])
    assert given.backbone_arguments == ("filters=2", "stage_convs=(1,1,1,1,1)")
    assert given.arguments()["stage_convs"] == (1, 1, 1, 1, 1)
    for text in ("0.8,1.2", "(0.8, 1.2)", "[0.8,1.2]"):
        assert override(quick, [f"zoom={text}"]).zoom == (0.8, 1.2)


def test_settings_out_of_range_are_named_all_at_once_with_their_meaning():
    bad = ["batch_size=0", "image_size=40", "channels=2", "zoom=1.2,1.0", "flip_vertical=2",
           "pixel_label_percent=0", "stage_filters=1,2", "focal_gamma=5", "epochs=0",
           "tversky_alpha=-3", "phantom_views=0", "learning_rate=0"]  # fmt: skip
    with pytest.raises(SettingError) as caught:
        override(RECIPES["cs_agnet"]["quick"], bad)
    lines = str(caught.value).splitlines()
    assert {line.split(":")[0] for line in lines} == {f"--set {b.split('=')[0]}" for b in bad}
    assert "a multiple of 16" in str(caught.value)


def test_no_setting_is_infinite():
    bad = ["rotation_deg=inf", "zoom=1,inf", "learning_rate=nan", "gain=-inf"]
    with pytest.raises(SettingError) as caught:
        override(RECIPES["cs_agnet"]["quick"], bad)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4 and all("must be finite" in line for line in lines)


def test_steps_of_the_schedule_matter_only_where_it_has_them():
    recipe = RECIPES["fan"]["quick"]
    assert override(recipe, ["warm_up_epochs=100"]).schedule == "cosine"
    with pytest.raises(SettingError, match="--set decay_epochs"):
        override(recipe, ["warm_up_epochs=100", "schedule=steps"])


def test_the_greatest_seed_has_others_after_it():
    assert not seed_problems(2**32 - 1)
    assert [later_seed(2**32 - 1, n) for n in range(3)] == [2**32 - 1, 0, 1]


def test_every_field_of_every_recipe_is_described():
    for scales in RECIPES.values():
        for recipe in scales.values():
            assert "" not in describe(type(recipe))
            assert set(recipe.settings()) <= set(describe(type(recipe)))
            # weights of others may be out of reach here
            assert not [p for p in recipe.problems() if not p.startswith("--set weights: ")]


def test_settings_take_the_type_of_their_field():
    recipe = override(
        RECIPES["cs_agnet"]["quick"],
        ["epochs=3", "patience=none", "stage_filters=1,2,3,4,5", "zoom=0.9,1.1",
         "zero_negative_masks=true", "learning_rate=1e-3"],
    )  # fmt: skip
    assert (recipe.epochs, recipe.patience, recipe.zoom) == (3, None, (0.9, 1.1))
    assert recipe.stage_filters == (1, 2, 3, 4, 5) and recipe.zero_negative_masks is True
    assert json.loads(json.dumps(recipe.settings()))["learning_rate"] == 1e-3
    assert dataclasses.replace(recipe, epochs=8).epochs == 8
