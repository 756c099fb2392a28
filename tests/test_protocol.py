"""The paper's protocol of global attention beside repeated trainings; the prior; no attention."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from check import ramp
from PIL import Image
from tables import blobs

import thyroid_keras as tk
from thyroid_keras import evaluate, train
from thyroid_keras.data.splits import make_splits
from thyroid_keras.layers import GlobalAttention, PixelCNN
from thyroid_keras.recipes import RECIPES, cut_off, protocol
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.recipes.protocol import Memory, grid_points
from thyroid_keras.training import SettingError, Training, override

NAME = "global_attention"
TINY = ["image_size=32", "batch_size=8", "epochs=3", "cutoff_epochs=2", "pixel_channels=4",
        "backbone_arguments=filters=2"]  # fmt: skip


class Kept(dict):
    """A training whose files are in memory."""

    def training(self, folder, seed=0):
        return Training(
            checkpoints=folder, feed=feed, seed=seed, keep=self.__setitem__, kept=self.get
        )

    def protocol(self):
        return json.loads(self["protocol.json"])


def test_a_grid_is_every_combination():
    grid = ["grid=penalty=0.1|1,l2=1e-3"]
    with pytest.raises(SettingError, match="--set grid"):
        override(RECIPES[NAME]["quick"], grid)  # and nothing to choose by
    recipe = override(RECIPES[NAME]["quick"], [*grid, "cv_folds=2"])
    assert grid_points(recipe) == [["penalty=0.1", "l2=1e-3"], ["penalty=1", "l2=1e-3"]]
    assert grid_points(RECIPES[NAME]["quick"]) == [[]]
    with pytest.raises(SettingError) as caught:
        override(recipe, ["grid=penalty=-1|x,epochs=3|4", "cv_folds=1", "repeats=0"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 5 and all("Received" in line for line in lines)
    assert sum("--set grid" in line for line in lines) == 3


def test_what_was_done_on_the_side_is_not_done_again(tmp_path):
    kept, calls = Kept(), []

    def make(aside):
        calls.append(aside)
        aside.checkpoints.mkdir(parents=True)
        aside.keep("map_before.npy", b"of a training on the side")
        return [0.5]

    for _ in range(2):  # the second as after a break
        memory = Memory(kept.training(tmp_path / "checkpoints"))
        assert memory.of("final", make) == [0.5]
    assert len(calls) == 1 and set(kept) == {"protocol.json"}
    assert not (tmp_path / "checkpoints" / "final").exists()
    assert kept.protocol() == {"final": [0.5]}


def test_a_prior_is_added_to_the_logits_and_is_not_trained():
    layer = GlobalAttention(PixelCNN(3), num_images=2, has_prior=True)
    layer.build((None, 8, 9, 1))
    stack = ramp(1, 8, 9, 2)
    layer.attach(stack)
    without = keras.ops.convert_to_numpy(layer.pixel_cnn(stack))
    layer.look()
    np.testing.assert_allclose(layer.map, without, atol=1e-6)
    prior = 4 * ramp(1, 8, 9, 1) - 2
    layer.prior.assign(prior)
    layer.look()
    odds = np.log(without / (1 - without)) + prior
    np.testing.assert_allclose(layer.map, 1 / (1 + np.exp(-odds)), atol=1e-5)
    assert all(weight is not layer.prior for weight in layer.trainable_weights)
    assert GlobalAttention.from_config(layer.get_config()).has_prior
    with pytest.raises(ValueError, match="has_prior=True"):
        GlobalAttention(has_prior=True)


def test_without_attention_it_is_the_backbone():
    shape = {"image_shape": (32, 37, 3), "num_classes": 3}
    small = {"filters": 2, "stage_convs": (1, 1, 1, 1, 1)}
    model = tk.build(NAME, **shape, backbone="sononet", mode="none", num_images=4, **small)
    plain = tk.build("sononet", **shape, **small)
    assert NAME not in [layer.name for layer in model.layers]
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(ramp(2, 32, 37, 3)), plain(ramp(2, 32, 37, 3)), atol=1e-6)


@pytest.mark.parametrize(("mode", "problem"), [("pixel_cnn", None), ("l1", "prior")])
def test_priors_and_regions_are_checked_before_anything_else(mode, problem, tmp_path):
    path = tmp_path / "prior.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    settings = [f"mode={mode}", f"prior={path}", "region=0.5,0.5,0.2,0.2"]
    if problem is None:
        assert override(RECIPES[NAME]["quick"], settings).arguments()["has_prior"]
    else:
        with pytest.raises(SettingError, match="--set prior: out of range"):
            override(RECIPES[NAME]["quick"], settings)
    with pytest.raises(SettingError) as caught:
        override(RECIPES[NAME]["quick"], ["prior=none.png", "region=1,1"])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "--set prior", "--set region"
    ]  # fmt: skip


def test_the_papers_folds_are_of_whole_patients(tmp_path, monkeypatch):
    splits, seen = make_splits(blobs(80, masks=False, views=4), progress=False), []

    def train(recipe, parts, training):
        seen.append([set(table.groups) for table in (parts.train, parts.val)])
        return [0.5] * recipe.epochs

    monkeypatch.setattr(protocol, "_accuracies", train)
    recipe = override(RECIPES[NAME]["quick"], [*TINY, "cv_folds=3", "kept_epochs=1"])
    protocol._measure_as_the_paper(recipe, splits, Memory(Kept().training(tmp_path)))
    pool = set(splits.train.groups) | set(splits.val.groups)
    *folds, whole = seen
    assert len(folds) == 3 and whole == [pool, set(splits.test.groups)]
    for learned, held in folds:
        assert learned | held == pool and not learned & held
    assert sum(len(held) for _, held in folds) == len(pool)


@pytest.mark.slow
def test_the_papers_protocol_and_repeated_trainings(tmp_path):
    splits, kept = make_splits(blobs(40, masks=False), progress=False), Kept()
    more = ["cv_folds=2", "kept_epochs=2", "repeats=2", "grid=penalty=0.1|0.001"]
    recipe = override(RECIPES[NAME]["quick"], [*TINY, *more])
    recipe.procedure(recipe, splits, kept.training(tmp_path / "checkpoints"))
    found = kept.protocol()
    curves = {name: found[name] for name in found if name.startswith("trial_")}
    assert set(curves) == {f"trial_{i}_{fold}" for i in range(2) for fold in range(2)}
    assert all(len(curve) == 3 for curve in [*curves.values(), found["final"]])
    for i, tried in enumerate(found["grid"]):
        mean = np.mean([curves[f"trial_{i}_0"], curves[f"trial_{i}_1"]], axis=0)
        assert tried["accuracy"] == pytest.approx(np.sort(mean)[-2:].mean(), abs=0.02)
        assert len(tried["epochs"]) == 2
    assert found["chosen"]["accuracy"] == max(tried["accuracy"] for tried in found["grid"])
    assert found["measured"] == [found["final"][e - 1] for e in found["chosen"]["epochs"]]
    repeats = np.array([found["repeat_0"], found["repeat_1"]])
    assert repeats.shape == (2, len(splits.test)) and set(repeats.ravel()) <= {0, 1}
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["frozen", "joint"]
    before = kept["protocol.json"]
    recipe.procedure(recipe, splits, kept.training(tmp_path / "checkpoints"))
    assert kept["protocol.json"] == before


@pytest.mark.slow
def test_the_folds_never_see_the_test_images(tmp_path, monkeypatch):
    splits, seen = make_splits(blobs(40, masks=False), progress=False), []
    real = cut_off.read_stack

    def stack(network, store):
        seen.append({sample.name for sample in store.table.samples})
        return real(network, store)

    monkeypatch.setattr(cut_off, "read_stack", stack)
    recipe = override(RECIPES[NAME]["quick"], [*TINY, "cv_folds=2", "kept_epochs=1"])
    recipe.procedure(recipe, splits, Kept().training(tmp_path))
    test = {sample.name for sample in splits.test.samples}
    assert len(seen) == 4 and not any(test & names for names in seen)
    pool = {sample.name for part in (splits.train, splits.val) for sample in part.samples}
    assert seen[0] | seen[1] == pool and not seen[0] & seen[1] and seen[2] == pool


@pytest.mark.slow
def test_a_run_reports_its_map_and_takes_the_prior_out(tmp_path):
    table, folder = blobs(30), tmp_path / "data"
    for i, sample in enumerate(table.samples):
        place = folder / str(sample.label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.image).save(place / f"{i}.png")
    grey = np.full((32, 32), 25, np.uint8)
    grey[8:24, 8:24] = 230
    Image.fromarray(grey).save(tmp_path / "prior.png")
    settings = [*TINY, "region=0.5,0.5,0.5,0.5", f"prior={tmp_path / 'prior.png'}"]
    train.main(["--arch", NAME, "--data", str(folder), "--out", str(tmp_path / "run"), "--seed",
                "1", "--precision", "float32", "--set", *settings])  # fmt: skip
    found = json.loads((tmp_path / "run/metrics.json").read_text())["global_map"]
    assert 0 < found["least"] < found["most"] < 1
    before = np.load(tmp_path / "run/map_before.npy", allow_pickle=False)
    applied = tk.load(tmp_path / "run").get_layer(NAME).map.numpy()[0, ..., 0]
    assert applied[8:24, 8:24].mean() > 3 * applied[:6].mean() and before.shape == (32, 32)
    assert found["after"]["ratio"] < 2 and found["before"]["ratio"] < 2  # without the prior
    assert found["after"] != found["before"] and found["region"]["source"] == (
        "given: 0.5,0.5,0.5,0.5"
    )
    text = (tmp_path / "run/report.html").read_text()
    assert "One map for all images" in text
    assert (tmp_path / "run/plots/global_map.png").stat().st_size > 5000
    assert dataclasses.asdict(RECIPES[NAME]["quick"])["prior"] is None
    other = tmp_path / "other"
    for i, sample in enumerate(blobs(8, seed=5).samples):
        (other / str(sample.label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.image).save(other / str(sample.label) / f"{i}.png")
    evaluate.main([str(tmp_path / "run"), "--data", str(other)])
    path = tmp_path / "run/evaluation-other/metrics.json"
    assert json.loads(path.read_text())["global_map"] == found, "the prior taken out there too"
