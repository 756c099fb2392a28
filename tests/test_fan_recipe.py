"""FAN's training: settings, losses on its passes, every option, the run it leaves."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from check import run_python
from tables import blobs

import thyroid_keras as tk
from thyroid_keras import metrics
from thyroid_keras.archs.fan import FEEDBACKS
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.splits import make_splits
from thyroid_keras.first_look import judge_first_look
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import augmentation_of, feed
from thyroid_keras.training import SettingError, Training, override
from thyroid_keras.training.backend import set_precision

TINY = ["image_size=32", "eta=8", "epochs=1", "batch_size=32", "warm_up_epochs=0"]
TRAIN = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import keras
from thyroid_keras import train
train.main(["--arch", "fan", "--data", {data!r}, "--out", {out!r}, "--set", *{settings!r}])
print("backend", keras.backend.backend())
"""


def tiny(*more):
    return override(RECIPES["fan"]["quick"], [*TINY, *more])


@pytest.fixture(scope="module")
def splits():
    return make_splits(blobs(32), progress=False)


def fit(recipe, splits, folder):
    """Runs the recipe; returns its model and the history of its only phase."""
    training = Training(checkpoints=folder, feed=feed)
    return recipe.procedure(recipe, splits, training), training.history["fan"]


def images_of(table):
    return np.stack([s.image for s in table.samples])[..., None] / np.float32(255)


def check_training(settings, precision, splits, folder):
    set_precision(precision)
    recipe = tiny(*settings)
    model, history = fit(recipe, splits, folder)
    row = history[0]
    assert np.isfinite(list(row.values())).all()
    passes = 1 if recipe.feedback == "none" else recipe.passes
    heads = {f"val_logits_pass{p}_loss" for p in range(1, passes)}
    assert heads == {name for name in row if name.startswith("val_logits_pass")}
    if heads:
        early = sum(row[head.removeprefix("val_")] for head in heads)
        weighed = row["logits_loss"] + recipe.first_pass_loss_weight * early
        assert row["loss"] == pytest.approx(weighed, rel=1e-4)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}
    model.save(folder / "model.keras")
    images = images_of(splits.test)
    one, other = (m.predict_on_batch(images) for m in (model, tk.load(folder / "model.keras")))
    assert list(one) == ["logits"] and one["logits"].dtype == np.float32
    np.testing.assert_allclose(one["logits"], other["logits"], atol=1e-6)


def test_trains_saves_and_loads(splits, tmp_path):
    check_training([], "mixed_bfloat16", splits, tmp_path)


def undecided():
    """A network whose looks differ, and the same with all its answers."""
    keras.utils.set_random_seed(0)
    whole = tk.build("fan", image_shape=(32, 32, 1), eta=8, all_passes=True)
    classifier, rng = whole.get_layer("classifier"), np.random.default_rng(1)
    classifier.set_weights([rng.normal(0, 20, w.shape) for w in classifier.get_weights()])
    return keras.Model(whole.input, {"logits": whole.output["logits"]}), whole


def test_the_first_look_is_judged_beside_the_last(splits):
    model, whole = undecided()
    logits = whole.predict_on_batch(images_of(splits.test))
    first, last = (
        float(np.ravel(metrics.roc_auc(splits.test.labels == 1, logits[name] @ [-1, 1]))[0])
        for name in ("logits_pass1", "logits")
    )
    assert abs(first - last) > 0.5, "figures that either look would give"
    found = judge_first_look(model, splits)["first_look"]
    assert found["roc_auc"]["value"] == pytest.approx(first)
    assert found["n"] == len(splits.test)
    assert judge_first_look(tk.build("fan", image_shape=(32, 32, 1), eta=8, feedback="none"),
                            splits) == {}  # fmt: skip


def test_the_first_look_has_a_threshold_of_the_validation_split(splits):
    model, whole = undecided()
    bright = [dataclasses.replace(s, image=255 - s.image // 2) for s in splits.test.samples]
    test = dataclasses.replace(splits.test, samples=tuple(bright))
    shifted = dataclasses.replace(splits, test=test)
    scores, cuts = {}, {}
    for name in ("val", "test"):
        table = getattr(shifted, name)
        logits = whole.predict_on_batch(images_of(table))["logits_pass1"]
        scores[name] = np.asarray(keras.ops.softmax(logits))[:, 1]
        cuts[name], _ = metrics.choose_threshold(table.labels == 1, scores[name])
    right = {name: np.mean((scores["test"] >= cuts[name]) == test.labels) for name in cuts}
    assert right["val"] != right["test"], "figures that either threshold would give"
    found = judge_first_look(model, shifted)["first_look"]
    assert found["accuracy"]["value"] == pytest.approx(right["val"])


OPTIONS = {
    "mixed_float16": [
        ["first_pass_loss_weight=0", "gate_target=last", "passes=3"],
        ["feedback=epoch", "jit_compile=true"],
    ],
    "mixed_bfloat16": [
        ["feedback=none", "kappa=1"],
        ["feedback=epoch", "gate_form=sigmoid", "gate_scale=literal", "gate_target=true",
         "dilate=true", "schedule=steps", "gate_at=lfm", "rotation_deg=20"],
    ],
    "float32": [["gate_at=lfm", "evidence=class", "gate_scale=standardise", "kappa=3"]],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "options"), [(p, options) for p, many in OPTIONS.items() for options in many]
)
def test_every_option_trains(precision, options, splits, tmp_path):
    check_training(options, precision, splits, tmp_path)


def test_settings_out_of_range_are_named_all_at_once():
    bad = ["eta=9", "kappa=100", "batch_size=0", "momentum=1", "decay_epochs=0", "l2=-1",
           "feedback=epoch", "passes=1", "first_pass_loss_weight=-0.1",
           "learning_rate=0"]  # fmt: skip
    with pytest.raises(SettingError) as caught:
        override(RECIPES["fan"]["paper"], bad)
    lines = str(caught.value).splitlines()
    named = {f"--set {b.split('=')[0]}" for b in bad if b != "feedback=epoch"}
    assert {line.split(":")[0] for line in lines} == named
    assert all("Received" in line for line in lines)
    for side, known in ((64, "one of 32, 16, 8, 4, 2"), (63, "none, since that is odd")):
        with pytest.raises(SettingError, match=f"of {side} px {known}; change either"):
            override(RECIPES["fan"]["quick"], [f"image_size={side}"])
    with pytest.raises(SettingError, match="gate_target: out of range.*gives the label away"):
        tiny("gate_target=true")
    unknown = ["feedback=back", "gate_at=input", "evidence=all", "gate_form=tanh", "kappa=9"]
    with pytest.raises(SettingError) as caught:
        tiny(*unknown)
    assert str(caught.value).count("must be one of") == 4 and "kappa: out of" in str(caught.value)


def test_paper_recipe_is_the_papers():
    paper = RECIPES["fan"]["paper"]
    assert (paper.size, paper.channels, paper.batch_size) == ((224, 224), 1, 10)
    assert (paper.learning_rate, paper.decay_epochs, paper.decay_factor) == (0.01, 100, 0.1)
    assert (paper.schedule, paper.warm_up_epochs, paper.l2) == ("steps", 0, 0.0)
    moved = augmentation_of(paper)
    assert (moved.flip_horizontal, moved.rotation_deg, moved.zoom) == (0, 0, (1, 1))


def test_the_papers_figures_belong_to_the_papers_settings():
    paper = RECIPES["fan"]["paper"]
    assert paper.reported(paper)["accuracy"] == 0.8899
    assert paper.reported(override(paper, ["feedback=none", "kappa=1"]))["sensitivity"] == 0.9885
    assert paper.reported(override(paper, ["feedback=none", "eta=7"])) == {}
    assert paper.reported(override(paper, ["eta=112", "kappa=7"])) == {"accuracy": 0.894}
    assert paper.reported(RECIPES["fan"]["quick"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_training_runs_on_jax_without_tensorflow(feedback, tmp_path):
    write_pack(tmp_path / "blobs.npz", blobs(32), (32, 32))
    files = {"data": str(tmp_path / "blobs.npz"), "out": str(tmp_path / "run")}
    code = TRAIN.format(settings=[*TINY, f"feedback={feedback}"], **files)
    assert "backend jax" in run_python(code, KERAS_BACKEND="jax")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["roc_auc"]["value"] <= 1
    assert keras.saving.load_model(tmp_path / "run" / "model.keras").name == "fan"
