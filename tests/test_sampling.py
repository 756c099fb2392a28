"""Samplers: every second image is background, whatever the data, and draws repeat by seed."""

import numpy as np
import pytest
from scipy import stats
from tables import blobs

from thyroid_keras.data.batches import Batches
from thyroid_keras.data.sampling import (
    sampling_weights,
    stratified_batch_size,
    stratified_sampler,
    weighted_sampler,
)
from thyroid_keras.data.store import PixelStore

# 14 classes as in the paper, background third by label, classes of very unequal size; 70
# batches of 52 in all
COUNTS = [40, 7, 3005, 15, 120, 30, 9, 60, 25, 11, 200, 80, 33, 5]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(14), COUNTS))
SAMPLERS = {"weighted": weighted_sampler, "stratified": stratified_sampler}


def draw(sampler, epoch=0, seed=0):
    return sampler(epoch, np.random.default_rng([seed, epoch]))


def test_expected_shares_are_exact():
    weights = sampling_weights(LABELS)
    shares = np.bincount(LABELS, weights)
    expected = np.full(14, 1 / 26)
    expected[2] = 0.5
    np.testing.assert_allclose(shares, expected, rtol=1e-12)
    for label, count in enumerate(COUNTS):  # the paper's weights, 1 / n_c and 13 times that
        share = (13 if label == 2 else 1) / count / 26
        np.testing.assert_allclose(weights[label == LABELS], share, rtol=1e-12)


def test_any_number_of_classes_and_gaps_between_labels():
    for present in ([0, 1], [0, 3, 7], [1, 2, 5, 9]):
        labels = np.repeat(present, np.arange(len(present), 0, -1))
        shares = np.bincount(labels, sampling_weights(labels))[present]
        np.testing.assert_allclose(shares, [0.5, *[0.5 / (len(present) - 1)] * (len(present) - 1)])


def test_background_may_be_named():
    shares = np.bincount(LABELS, sampling_weights(LABELS, background=5))
    np.testing.assert_allclose(shares[[5, 2]], [0.5, 1 / 26])


def test_weighted_draws_are_what_they_should_be():
    order = weighted_sampler(LABELS)
    drawn = LABELS[np.concatenate([draw(order, epoch) for epoch in range(5)])]
    low, high = stats.binom.interval(0.9999, len(drawn), 0.5)
    assert low <= (drawn == 2).sum() <= high
    low, high = stats.binom.interval(0.9999, len(drawn), 1 / 26)
    rest = np.delete(np.bincount(drawn), 2)
    assert (low <= rest).all() and (rest <= high).all()


def test_draws_are_with_replacement_and_as_many_as_images():
    positions = draw(weighted_sampler(LABELS))
    assert len(positions) == len(LABELS)
    assert len(np.unique(positions)) < 0.7 * len(positions)


def test_stratified_batches_are_all_alike():
    size = stratified_batch_size(LABELS)
    assert size == 52
    drawn = LABELS[draw(stratified_sampler(LABELS))]
    assert len(drawn) == len(LABELS)
    for start in range(0, len(drawn), size):
        counts = np.bincount(drawn[start : start + size], minlength=14)
        assert counts[2] == 26 and (np.delete(counts, 2) == 2).all()
    firsts = drawn[::size]
    assert len(np.unique(firsts)) > 3, "the classes keep their places within the batch"


def test_stratified_classes_show_all_images_before_one_returns():
    positions = draw(stratified_sampler(LABELS))
    for label in (0, 2, 10):
        times = np.bincount(positions, minlength=len(LABELS))[label == LABELS]
        assert times.max() - times.min() <= 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_follow_seed_and_epoch(name):
    first, again = (draw(SAMPLERS[name](LABELS), epoch=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in ({"epoch": 4}, {"epoch": 3, "seed": 1}):
        second = draw(SAMPLERS[name](LABELS), **other)
        # other images, not only another order of the same
        assert len(np.intersect1d(first[:52], second[:52])) < 30


@pytest.mark.parametrize("name", SAMPLERS)
def test_batches_go_on_where_they_stopped(name):
    store = PixelStore(blobs(20, masks=False), (32, 32))
    settings = {
        "batch_size": stratified_batch_size(store.table.labels),
        "targets": lambda arrays: (arrays["index"], arrays["label"]),
        "order": SAMPLERS[name](store.table.labels),
        "seed": 5,
    }
    whole, resumed = Batches(store, **settings), Batches(store, **settings)
    seen = [[whole.batch(epoch, step)[0] for step in range(len(whole))] for epoch in range(3)]
    np.testing.assert_array_equal(resumed.batch(2, 1)[0], seen[2][1])
    assert sum(map(len, seen[0])) == 20
    assert not np.array_equal(np.concatenate(seen[0]), np.concatenate(seen[1]))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="Received: background=14"):
        weighted_sampler(LABELS, background=14)
    with pytest.raises(ValueError, match="two classes"):
        weighted_sampler([1, 1, 1])
    with pytest.raises(ValueError, match="Received: per_class=0"):
        stratified_sampler(LABELS, per_class=0)
