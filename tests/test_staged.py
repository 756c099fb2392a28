"""The training of SonoNet and AG-SonoNet: stages, schedule, penalty, sampling, votes."""

import keras
import numpy as np
import pytest

import thyroid_keras as tk
from thyroid_keras.archs import build
from thyroid_keras.data.phantom import phantom_planes
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits
from thyroid_keras.layers import CombineVotes
from thyroid_keras.recipes import RECIPES, staged
from thyroid_keras.recipes.feeding import augmentation_of, feed
from thyroid_keras.recipes.rates import schedule
from thyroid_keras.training import SettingError, Training, override
from thyroid_keras.training.sgd import SGD

TINY = ["image_size=32,48", "filters=2", "stage_convs=1,1,1,1,1", "epochs=1", "warm_up_epochs=0"]
STAGES = ["warm_start_epochs=1", "scale_epochs=1"]


def tiny(*more, arch="ag_sononet"):
    stages = STAGES if arch == "ag_sononet" else []
    return override(RECIPES[arch]["quick"], [*TINY, *stages, *more])


@pytest.fixture(scope="module")
def splits():
    table = phantom_planes(12, views=8, image_size=(32, 48), progress=False)
    return make_splits(table, progress=False)


def fit(recipe, splits, folder):
    """Runs the recipe; returns its model and the history by phase."""
    training = Training(checkpoints=folder, feed=feed)
    return recipe.procedure(recipe, splits, training), training.history


def test_each_stage_starts_from_the_weights_of_the_one_before(splits, tmp_path):
    still = tiny("learning_rate=1e-12", "l2=0")
    model, history = fit(still, splits, tmp_path)
    assert list(history) == ["sononet", "mean", "ft"]
    shape = {"image_shape": (32, 48, 1), "num_classes": 8, "filters": 2, "whiten": True}
    keras.utils.set_random_seed(0)
    sononet = build("sononet", stage_convs=(1,) * 5, **shape)
    keras.utils.set_random_seed(1)
    votes = build("ag_sononet", stage_convs=(1,) * 5, aggregation="mean", **shape)
    layers = {f"stage{s}_conv1": sononet for s in range(1, 6)}
    layers |= {f"logits_scale{s}": votes for s in (3, 4, 5)} | {"gate3": votes, "gate4": votes}
    for name, source in layers.items():
        expected = source.get_layer(name).get_weights()
        for weight, other in zip(model.get_layer(name).get_weights(), expected, strict=True):
            np.testing.assert_allclose(weight, other, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("settings", "stages", "heads"),
    [
        (["aggregation=deep_sup", "sampling=stratified", "per_class=1", "normalization=softmax"],
         ["sononet", "deep_sup"], ["logits", "logits_scale3", "logits_scale4", "logits_scale5"]),
        (["aggregation=concat", "warm_start_epochs=0", "gating=global", "augmentation=authors"],
         ["concat"], ["logits"]),
        (["aggregation=mean", "vote_rule=max", "schedule=steps", "penalised=all"],
         ["sononet", "mean"], ["label", "logits_scale3", "logits_scale4", "logits_scale5"]),
    ],
    ids=lambda value: value[0],
)  # fmt: skip
def test_every_aggregation_trains_saves_and_loads(settings, stages, heads, splits, tmp_path):
    model, history = fit(tiny(*settings), splits, tmp_path)
    assert list(history) == stages
    losses = [row["loss"] for rows in history.values() for row in rows]
    assert np.isfinite(losses).all()
    model.save(tmp_path / "model.keras")
    images = np.stack([s.image for s in splits.test.samples[:2]])[..., None] / np.float32(255)
    one, other = (m.predict_on_batch(images) for m in (model, tk.load(tmp_path / "model.keras")))
    assert sorted(one) == heads
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)
    # the recipe's network whitens for itself
    dimmed = model.predict_on_batch(images / 2 + 0.1)
    np.testing.assert_allclose(dimmed[heads[0]], one[heads[0]], atol=1e-3)


def test_votes_are_combined_by_the_rule_of_the_recipe(splits, tmp_path):
    weighted = ["aggregation=mean", "vote_rule=weighted_mean", "vote_weights=1,0,3"]
    model, _ = fit(tiny(*weighted, "warm_start_epochs=0"), splits, tmp_path)
    images = np.stack([s.image for s in splits.test.samples[:4]])[..., None] / np.float32(255)
    found = model.predict_on_batch(images)
    third, fifth = (keras.ops.softmax(found[f"logits_scale{s}"]) for s in (3, 5))
    np.testing.assert_allclose(found["label"], (third + 3 * fifth) / 4, atol=1e-6)
    again = CombineVotes.from_config(model.get_layer("label").get_config())
    assert (again.rule, again.vote_weights) == ("weighted_mean", (1.0, 0.0, 3.0))


def test_rate_warms_up_and_falls_by_the_epoch():
    recipe, steps = RECIPES["sononet"]["paper"], 7
    rates = schedule(recipe, steps, 300)
    # the paper's: 0.01 for 5 epochs, then 0.1, and a tenth every 100 epochs
    expected = {0: 0.01, 4: 0.01, 5: 0.1, 99: 0.1, 100: 0.01, 199: 0.01, 200: 0.001, 299: 0.001}
    for epoch, rate in expected.items():
        for step in (epoch * steps, epoch * steps + steps - 1):
            assert float(rates(step)) == pytest.approx(rate, rel=1e-5), epoch


def test_cosine_rises_first():
    recipe = override(RECIPES["sononet"]["quick"], ["warm_up_epochs=2", "warm_up_factor=0.2"])
    rates = [float(schedule(recipe, 10, 12)(step)) for step in range(121)]
    assert rates[0] == pytest.approx(0.2 * recipe.learning_rate)
    assert np.argmax(rates) == 20 and rates[20] == pytest.approx(recipe.learning_rate)
    assert rates[-1] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("penalised", ["kernels", "all"])
def test_penalty_goes_through_the_momentum(penalised):
    """NumPy reference of PyTorch's SGD(nesterov=True, weight_decay=l2)."""
    rate, momentum, l2 = 0.1, 0.9, 0.5
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    layer.set_weights([np.array([[1.0], [-2.0]], np.float32), np.array([3.0], np.float32)])
    optimizer = SGD(rate, momentum=momentum, nesterov=True, l2=l2, penalised=penalised)
    optimizer.build(layer.trainable_variables)
    expected = [w.astype(float) for w in layer.get_weights()]
    decays = [l2, l2 if penalised == "all" else 0.0]
    buffers = [0.0, 0.0]
    rng = np.random.default_rng(0)
    for _ in range(3):
        gradients = [rng.normal(size=w.shape).astype(np.float32) for w in expected]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients])
        for i, gradient in enumerate(gradients):
            gradient = gradient + decays[i] * expected[i]
            buffers[i] = momentum * buffers[i] + gradient
            expected[i] = expected[i] - rate * (gradient + momentum * buffers[i])
    for found, wanted in zip(layer.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    config = SGD.from_config(optimizer.get_config())
    assert (config.l2, config.penalised) == (l2, penalised)


def test_penalty_is_checked():
    with pytest.raises(ValueError, match="`l2` must be at least 0"):
        SGD(l2=-1)
    with pytest.raises(ValueError, match="`penalised` must be one of"):
        SGD(penalised="biases")


def test_the_sampler_of_the_recipe_draws_background_every_second_time(splits):
    table = splits.train
    draws = {}
    for name in (None, "Femur"):
        options = staged._sampling(tiny(*([f"background={name}"] if name else [])), table)
        rng = np.random.default_rng(0)
        orders = np.concatenate([options["order"](epoch, rng) for epoch in range(200)])
        draws[name] = (table.labels[orders] == table.class_names.index(name or "Background")).mean()
    assert draws[None] == pytest.approx(0.5, abs=0.02)
    assert draws["Femur"] == pytest.approx(0.5, abs=0.02)
    with pytest.raises(DataError, match="choose among 4CH.*background='Sky'"):
        staged._sampling(tiny("background=Sky"), table)


def test_paper_recipe_is_the_papers():
    recipe = RECIPES["ag_sononet"]["paper"]
    moved = augmentation_of(recipe)
    assert (moved.rotation_deg, moved.shift_px, moved.zoom) == (25, 4, (0.7, 1.3))
    assert not moved.anisotropic_zoom and moved.fill == "nearest"
    assert (recipe.size, recipe.batch_size, recipe.l2) == ((208, 272), 64, 1e-4)
    assert recipe.reported(recipe)["f1"] == 0.922
    for other in ("filters=64", "normalization=softmax", "gating=global"):
        assert recipe.reported(override(recipe, [other])) == {}
    quick = RECIPES["ag_sononet"]["quick"]
    assert quick.reported(quick)["f1"] == 0.922 and RECIPES["sononet"]["paper"].reported(
        RECIPES["sononet"]["paper"]
    )


@pytest.mark.parametrize(
    "setting",
    ["vote_rule=weighted_mean", "vote_weights=1,2,3", "image_size=8,48", "momentum=1", "shift=0.1",
     "stage_convs=1,2", "decay_epochs=1", "vote_rule=max", "warm_up_factor=0", "image_size=64"],
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(SettingError, match=r"--set \w+: .*Received"):
        override(RECIPES["ag_sononet"]["paper"], [setting])
