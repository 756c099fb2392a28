"""The aligned phantom: its site alone tells the class, and only many images tell the site."""

from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from thyroid_keras import experiment
from thyroid_keras.data.phantom import PHANTOMS, phantom_site
from thyroid_keras.global_map import weigh
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.cut_off import fault, train_global_attention
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.recipes.protocol import _right_about
from thyroid_keras.training import Training


@pytest.fixture(scope="module")
def table():
    return phantom_site(150, image_size=64, seed=3, progress=False)


def pixels(table):
    return np.stack([s.image for s in table.samples]).astype(float)


def test_it_is_what_global_attention_learns_from_unless_given_data():
    recipes = [*RECIPES["global_attention"].values(), *RECIPES["pixel_classifier"].values()]
    for recipe in recipes:
        assert PHANTOMS[recipe.target] is phantom_site


def test_every_image_has_the_same_site_and_its_own_content(table):
    assert PHANTOMS["site"] is phantom_site and table.aligned
    assert len({s.mask.tobytes() for s in table.samples}) == 1
    assert len({s.image.tobytes() for s in table.samples}) == len(table)
    assert 0.4 < table.labels.mean() < 0.6
    share = np.mean(table.samples[0].mask == 255)
    assert share == pytest.approx(np.pi * 0.13**2, rel=0.05)


def test_a_larger_table_holds_the_smaller_one(table):
    few = phantom_site(5, views=2, image_size=64, seed=3, progress=False)
    for sample, same in zip(few.samples[::2], table.samples[:5], strict=True):
        np.testing.assert_array_equal(sample.image, same.image)
    others = phantom_site(5, image_size=64, seed=4, progress=False).samples
    for sample, other in zip(table.samples[:5], others, strict=True):
        assert not np.array_equal(other.image, sample.image)


def test_the_site_tells_the_class_and_the_whole_image_hardly(table):
    images, inside = pixels(table), table.samples[0].mask == 255
    smooth = np.stack([cv2.blur(image, (3, 3)) for image in images])
    there, elsewhere, positive = smooth[:, inside], smooth[:, ~inside], table.labels == 1
    # the focus is the brightest part of the site or its darkest
    bright = there.max(axis=1) + there.min(axis=1) - 2 * np.median(there, axis=1)
    assert roc_auc_score(table.labels, bright) > 0.99
    assert abs(roc_auc_score(table.labels, smooth.mean(axis=(1, 2))) - 0.5) < 0.15
    assert abs(roc_auc_score(table.labels, elsewhere.mean(axis=1)) - 0.5) < 0.1
    # elsewhere lie foci as bright and as dark as that at the site
    assert np.median(elsewhere.max(axis=1)) > np.median(there[positive].max(axis=1))
    assert np.median(elsewhere.min(axis=1)) < np.median(there[~positive].min(axis=1))


def test_the_site_stands_out_in_the_mean_of_many_images_and_in_none_alone(table):
    images, inside = pixels(table), table.samples[0].mask == 255

    def brightest_is_there(image):
        wide = cv2.blur(image, (15, 15)) - cv2.blur(image, (41, 41))  # a lobule, its neighbourhood
        return inside[np.unravel_index(wide.argmax(), wide.shape)]

    assert brightest_is_there(images.mean(axis=0))
    assert np.mean([brightest_is_there(image) for image in images]) < 0.4


@pytest.mark.parametrize(
    ("name", "value"), [("num_patients", 0), ("views", 0), ("image_size", 31), ("seed", -1)]
)
def test_arguments_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}={value}"):
        phantom_site(**{"num_patients": 1, name: value})


@pytest.mark.slow
def test_a_run_without_data_is_judged_by_its_map_its_class_maps_and_its_boxes(tmp_path):
    settings = ["epochs=2", "cutoff_epochs=1", "phantom_patients=24", "image_size=32"]
    _, found = experiment.train(
        "global_attention", out=tmp_path / "run", settings=settings, say=str
    )
    assert {"ratio", "rank"} <= found["global_map"]["after"].keys()
    assert "nearly even" in found["global_map"]["fault"]  # an epoch does not get it far
    assert "nearly even" in (tmp_path / "run/report.html").read_text()
    assert "nearly even" in (tmp_path / "run/log.txt").read_text()
    assert found["maps"]["n"] == found["localisation"]["n"] == found["n"]
    assert found["localisation"]["constant"]["value"] == 1  # place gives it away


@pytest.mark.slow
def test_the_map_finds_the_site():
    table = phantom_site(560, seed=5, progress=False)
    recipe = RECIPES["global_attention"]["quick"]
    train, val, test = np.split(np.arange(len(table)), [200, 260])
    splits = SimpleNamespace(train=table.select(train), val=table.select(val))
    training = Training(checkpoints=None, feed=feed)
    model = train_global_attention(recipe, splits, training)
    values = keras.ops.convert_to_numpy(model.get_layer("global_attention").map)[0, ..., 0]
    found = weigh(values, table.samples[0].mask == 255)
    assert found["ratio"] >= 2 and found["rank"] > 0.8 and not fault(values)
    assert np.mean(_right_about(model, recipe, table.select(test))) > 0.85
