"""Focal Tversky loss: values by hand, and gradients where the formula has none."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from thyroid_keras.losses import FocalTversky


def images(*rows):
    return np.array(rows, "float32").reshape(len(rows), 1, -1, 1)


def test_value_by_hand():
    truth, predicted = images([1, 1, 0, 0]), images([0.8, 0.5, 0.1, 0.3])
    hits, misses, false_alarms = 1.3, 0.7, 0.4
    index = (hits + 1) / (hits + 0.7 * misses + 0.3 * false_alarms + 1)
    assert float(FocalTversky(gamma=1)(truth, predicted)) == pytest.approx(1 - index, rel=1e-6)
    focal = float(FocalTversky()(truth, predicted))
    assert focal == pytest.approx((1 - index) ** 0.75, rel=1e-6)


def test_a_miss_costs_more_than_a_false_alarm():
    miss = FocalTversky()(images([1, 1, 0, 0]), images([1, 0, 0, 0]))
    false_alarm = FocalTversky()(images([1, 1, 0, 0]), images([1, 1, 1, 0]))
    assert float(miss) > float(false_alarm)


def test_per_image_does_not_depend_on_the_batch_and_per_batch_does():
    truth, predicted = images([1, 1, 0, 0], [0, 0, 0, 0]), images([1, 0, 0, 0], [0, 1, 1, 0])
    pairs = zip(truth, predicted, strict=True)
    single = [float(FocalTversky()(t[None], p[None])) for t, p in pairs]
    assert float(FocalTversky()(truth, predicted)) == pytest.approx(np.mean(single), rel=1e-6)
    hits, misses, false_alarms = 1, 1, 2
    index = (hits + 1) / (hits + 0.7 * misses + 0.3 * false_alarms + 1)
    batch = float(FocalTversky(gamma=1, per="batch")(truth, predicted))
    assert batch == pytest.approx(1 - index, rel=1e-6)


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("truth", [0.0, 1.0])
@pytest.mark.parametrize("predicted", [0.0, 1.0])
def test_gradients_are_finite_for_empty_full_and_perfect_masks(per, truth, predicted):
    target = tf.fill((2, 4, 4, 1), truth)
    probability = tf.Variable(tf.fill((2, 4, 4, 1), predicted))
    with tf.GradientTape() as tape:
        loss = FocalTversky(per=per)(target, probability)
    gradient = tape.gradient(loss, probability)
    assert np.isfinite(float(loss))
    assert np.isfinite(gradient.numpy()).all()
    if truth == predicted:
        assert float(loss) < 1e-4


def test_config_round_trip():
    loss = FocalTversky(alpha=0.6, gamma=2, per="batch")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert twin.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "arguments", [{"gamma": 0.5}, {"smooth": 0}, {"per": "pixel"}, {"alpha": -1}]
)
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f"Received: {next(iter(arguments))}="):
        FocalTversky(**arguments)
