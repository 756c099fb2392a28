"""Judging without keeping masks: the same figures, whatever the number of images."""

import dataclasses
import tracemalloc

import keras
import numpy as np
import pytest
from tables import blobs

from thyroid_keras import metrics
from thyroid_keras.data.splits import Splits
from thyroid_keras.data.store import PixelStore
from thyroid_keras.evaluation import MASK_THRESHOLDS, choose_thresholds, evaluate, prediction_rows
from thyroid_keras.prediction import judge, predict
from thyroid_keras.runs import Run, write_json


def brightness_model(size):
    """Takes bright pixels for the mask, and the brightest for the class."""
    image = keras.Input((size, size, 1), name="image")
    return keras.Model(image, {"mask": keras.layers.Identity(name="mask")(image)})


@pytest.fixture(scope="module")
def judged():
    """The answers to 24 images, two of which have no true mask; and their store."""
    table = blobs(24, size=32)
    unknown = [dataclasses.replace(sample, mask=None) for sample in table.samples[:2]]
    table = dataclasses.replace(table, samples=(*unknown, *table.samples[2:]))
    store = PixelStore(table, (32, 32))
    return store, *judge(brightness_model(32), store, MASK_THRESHOLDS, batch_size=7)


def test_counts_are_those_of_the_masks(judged):
    store, probabilities, counts = judged
    images, masks = store.read(range(24))
    images, truth = images[..., 0] / np.float32(255), masks[..., 0] >= 128
    np.testing.assert_allclose(probabilities[:, 1], images.max(axis=(1, 2)), atol=1e-6)
    assert counts.shape == (3, 24, len(MASK_THRESHOLDS))
    assert np.isnan(counts[:2, :2]).all() and np.isfinite(counts[2]).all()
    for i, threshold in enumerate(MASK_THRESHOLDS):
        said = images >= np.float32(threshold)
        expected = [(truth & said).sum((1, 2)), truth.sum((1, 2)), said.sum((1, 2))]
        np.testing.assert_array_equal(counts[:, 2:, i], np.array(expected)[:, 2:])


def test_the_mask_threshold_has_the_largest_mean_dice(judged):
    store, probabilities, counts = judged
    chosen = choose_thresholds(store.table, probabilities, counts)
    images, masks = store.read(range(24))
    truth = masks[..., 0] >= 128
    positive = truth.any((1, 2))

    images, truth = images[positive, ..., 0] / np.float32(255), truth[positive]

    def dice(threshold):
        said = images >= np.float32(threshold)
        return np.mean(2 * (truth & said).sum((1, 2)) / (truth.sum((1, 2)) + said.sum((1, 2))))

    assert chosen["mask"] == max(MASK_THRESHOLDS, key=dice)
    assert dice(chosen["mask"]) > dice(0.05) and "Dice on 12 " in chosen["mask_origin"]
    nothing = np.where(np.arange(3)[:, None, None] == 1, 0, counts)
    assert (
        "no validation image"
        in choose_thresholds(store.table, probabilities, nothing)["mask_origin"]
    )


def test_both_thresholds_are_chosen_on_the_validation_split(tmp_path):
    model, val, test = brightness_model(32), blobs(12), blobs(16, seed=1)
    # half as bright, which another threshold would suit; and of other labels, one by one
    dim = [dataclasses.replace(s, image=s.image // 2) for s in reversed(test.samples)]
    test = dataclasses.replace(test, samples=tuple(dim))
    best, other = (
        choose_thresholds(table, *judge(model, PixelStore(table, (32, 32)), MASK_THRESHOLDS))
        for table in (val, test)
    )
    facts = {"name": val.name, "class_names": val.class_names, "group_unit": "patient"}
    facts |= {"mask_source": val.mask_source, "target": val.target, "notes": []}
    with Run.create(tmp_path / "run") as run:
        write_json(run.config, {"arch": "brightness", "data": facts, "seed": 0})
        found = evaluate(run, model, Splits(train=val, val=val, test=test, hashes={}))
    assert found["threshold"] == best["label"] > other["label"] + 0.1
    assert found["segmentation"]["threshold"] == best["mask"] > other["mask"] + 0.1
    assert found["validation"]["accuracy"]["value"] == 1 and found["sensitivity"]["value"] == 0


def test_predictions_hold_what_dice_needs(judged):
    store, probabilities, counts = judged
    at = counts[..., MASK_THRESHOLDS.index(0.2)]
    rows = prediction_rows(store.table, probabilities, at, {"label": 0.5}, fold=3)
    assert {row["fold"] for row in rows} == {3}
    for i, row in enumerate(rows):
        known = store.table.samples[i].mask is not None
        assert row["true_mask_px"] == (at[1, i] if known else None)
        assert row["mask_px"] == at[2, i]
        assert np.isfinite(row["dice"]) == (known and at[1, i] > 0)
    dice = [row["dice"] for row in rows]
    found = metrics.segmentation_metrics(at[:, 2:], store.table.groups[2:])
    assert found["dice"]["value"] == pytest.approx(np.nanmean(dice)) and np.nanmean(dice) < 1
    assert found["false_alarms"]["value"] == 1.0, "empty true masks with false pixels"
    bare = prediction_rows(store.table, probabilities, None, {"label": 0.5})
    assert "dice" not in bare[0] and bare[0]["fold"] is None


def test_memory_does_not_grow_with_the_number_of_masks():
    model, size = brightness_model(64), 64
    peaks = []
    for count in (32, 96, 288):
        store = PixelStore(blobs(count, size=size), (size, size))
        tracemalloc.start()
        judge(model, store, [0.5])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # the first call also traces the network; a kept mask would be 8 kB, even as float16
    assert peaks[2] - peaks[1] < 192 * size * size / 2


def test_batches_come_in_order_and_of_one_network_without_spread():
    store = PixelStore(blobs(10), (32, 32))
    batches = list(predict(brightness_model(32), store, batch_size=4))
    assert [len(batch.indices) for batch in batches] == [4, 4, 2]
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(10))
    assert all(batch.spread is None for batch in batches)
    plain = PixelStore(blobs(4, masks=False), (32, 32))
    assert next(predict(brightness_model(32), plain)).true_masks is None
    assert np.isnan(judge(brightness_model(32), plain, [0.5])[1][1]).all()
