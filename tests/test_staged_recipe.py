"""What the procedures of SonoNet and AG-SonoNet hand over to the training, stage by stage."""

import dataclasses

import keras
import numpy as np
import pytest

from thyroid_keras.data.augment import AG_SONONET_AUTHORS, Augmentation
from thyroid_keras.data.samples import Sample, SampleTable
from thyroid_keras.data.splits import make_splits
from thyroid_keras.recipes import RECIPES, staged
from thyroid_keras.training import Training, override
from thyroid_keras.training.sgd import SGD

TINY = ["image_size=16,16", "filters=1", "stage_convs=1,1,1,1,1"]  # the rest is the paper's
COUNTS = {"sky": 60, "arm": 30, "leg": 10}
VOTES = ["logits_scale3", "logits_scale4", "logits_scale5"]


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    labels = np.repeat(range(len(COUNTS)), list(COUNTS.values()))
    samples = tuple(
        Sample(name=f"{i}", image=rng.integers(256, size=(16, 16), dtype=np.uint8), label=int(k),
               group=f"p{i}")
        for i, k in enumerate(labels)
    )  # fmt: skip
    table = SampleTable(name="limbs", samples=samples, class_names=tuple(COUNTS))
    return make_splits(table, progress=False)


@pytest.fixture
def stages_of(splits, monkeypatch):
    """Function of settings; returns each stage's model, phase and batches, and trains nothing."""

    def run(*settings, arch="ag_sononet"):
        handed = []
        monkeypatch.setattr(staged, "fit_phase", lambda *given: handed.append(given[:3]))
        recipe = override(RECIPES[arch]["paper"], [*TINY, *settings])
        recipe.procedure(recipe, splits, Training(checkpoints=None, feed=None))
        return handed

    return run


def shares(train, epochs=50):
    """How often each class is drawn."""
    drawn = np.concatenate([train.order(epoch) for epoch in range(epochs)])
    return np.bincount(train.store.table.labels[drawn], minlength=len(COUNTS)) / len(drawn)


def test_the_papers_stages(stages_of):
    found = [(phase.name, phase.epochs, list(model.output)) for model, phase, _ in stages_of()]
    assert found == [
        ("sononet", 100, ["logits"]), ("mean", 300, VOTES), ("ft", 300, ["logits"]),
    ]  # fmt: skip
    ((_, phase, _),) = stages_of(arch="sononet")
    assert (phase.name, phase.epochs) == ("sononet", 300)
    assert [phase.patience for _, phase, _ in stages_of("patience=7")] == [7, 7, 7]


@pytest.mark.parametrize(
    ("setting", "layer", "attribute", "papers", "value"),
    [
        ("normalization", "gate", "normalization", "mean_flow", "sigmoid"),
        ("gating", "gate", "gating", "grid", "global"),
        ("gate_bias", "gate", "gate_bias", False, True),
        ("attention_pool", "attended", "pool", "sum", "mean"),
    ],
)
def test_settings_of_the_gates_reach_every_gated_stage(
    setting, layer, attribute, papers, value, stages_of
):
    for settings, expected in (([], papers), ([f"{setting}={value}"], value)):
        _, *gated = stages_of(*settings)
        assert [phase.name for _, phase, _ in gated] == ["mean", "ft"]
        for model, phase, _ in gated:
            for scale in (3, 4):
                found = getattr(model.get_layer(f"{layer}{scale}"), attribute)
                assert found == expected, phase.name


def test_the_joint_answer_weighs_what_the_recipe_says(stages_of):
    for settings, softmaxes in (([], 0), (["ft_input=softmax"], 3)):
        *_, (model, _, _) = stages_of(*settings)
        kinds = [layer for layer in model.layers if isinstance(layer, keras.layers.Softmax)]
        assert len(kinds) == softmaxes


def test_each_loss_has_its_weight(stages_of):
    for _, phase, _ in stages_of():
        assert set(phase.loss_weights.values()) == {1.0}, phase.name
        assert all(loss.from_logits for loss in phase.losses.values())
    for settings, vote in (([], 0.1), (["vote_loss_weight=0.3"], 0.3)):
        *_, (_, phase, _) = stages_of("aggregation=deep_sup", *settings)
        assert phase.loss_weights == {"logits": 1.0, **dict.fromkeys(VOTES, vote)}
        assert set(phase.losses) == set(phase.loss_weights)


def test_every_stage_has_nesterovs_momentum_and_the_papers_penalty(stages_of):
    for _, phase, _ in stages_of():
        optimizer = phase.optimizer(phase.epochs)
        assert isinstance(optimizer, SGD) and optimizer.nesterov is True, phase.name
        found = optimizer.momentum, optimizer.l2, optimizer.penalised
        assert found == (0.9, 1e-4, "kernels"), phase.name
    for _, phase, _ in stages_of("momentum=0.5", "l2=0.01", "penalised=all"):
        optimizer = phase.optimizer(phase.epochs)
        found = optimizer.momentum, optimizer.l2, optimizer.penalised
        assert found == (0.5, 0.01, "all"), phase.name


def test_the_penalty_is_on_the_variables_that_the_recipe_names(stages_of):
    for settings in ([], ["penalised=all"]):
        *_, (model, phase, _) = stages_of("l2=0.5", *settings)
        optimizer = phase.optimizer(phase.epochs)
        optimizer.build(model.trainable_variables)
        before = [np.array(v) for v in model.trainable_variables]
        # without a gradient a weight is moved by the penalty alone
        optimizer.apply([keras.ops.zeros_like(v) for v in model.trainable_variables])
        for variable, old in zip(model.trainable_variables, before, strict=True):
            penalised = bool(settings) or variable.name == "kernel"
            moved = not np.array_equal(variable, old)
            assert moved == (penalised and bool(np.any(old))), variable.path


def test_the_rate_changes_at_the_papers_epochs(stages_of):
    steps = 7  # an epoch's
    for _, phase, _ in stages_of():
        optimizer = phase.optimizer(phase.epochs * steps)
        expected = {0: 0.01, 4: 0.01, 5: 0.1, 99: 0.1}
        if phase.epochs == 300:
            expected |= {100: 0.01, 199: 0.01, 200: 0.001, 299: 0.001}
        for epoch, rate in expected.items():
            for step in (epoch * steps, epoch * steps + steps - 1):
                optimizer.iterations.assign(step)
                assert float(optimizer.learning_rate) == pytest.approx(rate), (phase.name, step)


def test_images_are_moved_as_the_paper_or_the_authors_do(stages_of):
    papers = Augmentation(flip_horizontal=0.5, rotation_deg=25, shift_px=4, zoom=(0.7, 1.3))
    for settings, expected in (
        ([], papers),
        (["rotation_deg=5"], dataclasses.replace(papers, rotation_deg=5)),
        (["augmentation=authors"], AG_SONONET_AUTHORS),
    ):
        assert [train.augmentation for _, _, train in stages_of(*settings)] == [expected] * 3


@pytest.mark.parametrize("arch", ["sononet", "ag_sononet"])
def test_every_second_image_is_background_in_every_stage(arch, stages_of):
    for settings, expected in (
        ([], [0.5, 0.25, 0.25]),
        (["background=leg"], [0.25, 0.25, 0.5]),
        (["sampling=shuffle"], [0.6, 0.3, 0.1]),
    ):
        for _, phase, train in stages_of(*settings, arch=arch):
            assert train.batch_size == 64
            assert shares(train) == pytest.approx(expected, abs=0.03), (settings, phase.name)


@pytest.mark.parametrize(("settings", "half"), [([], "sky"), (["background=leg"], "leg")])
def test_every_batch_of_the_stratified_sampling_is_filled_alike(settings, half, stages_of):
    for _, _, train in stages_of("sampling=stratified", "per_class=3", *settings):
        assert train.batch_size == 2 * 2 * 3
        labels = train.store.table.labels[train.order(0)]
        for start in range(0, len(labels) - 11, 12):
            counts = np.bincount(labels[start : start + 12], minlength=3)
            assert counts.tolist() == [6 if name == half else 3 for name in COUNTS]
