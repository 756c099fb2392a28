"""The aligned phantom: its site alone tells the class."""

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from thyroid_keras.data.phantom import PHANTOMS, phantom_site
from thyroid_keras.recipes import RECIPES


@pytest.fixture(scope="module")
def table():
    return phantom_site(150, image_size=64, seed=3, progress=False)


def pixels(table):
    return np.stack([s.image for s in table.samples]).astype(float)


def test_it_is_what_global_attention_learns_from_unless_given_data():
    for recipe in RECIPES["global_attention"].values():
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
    smooth = np.stack([cv2.blur(image, (5, 5)) - np.median(image) for image in images])
    # the focus is the brightest part of the site or its darkest
    bright = smooth[:, inside].max(axis=1) + smooth[:, inside].min(axis=1)
    assert roc_auc_score(table.labels, bright) > 0.99
    assert roc_auc_score(table.labels, smooth.mean(axis=(1, 2))) < 0.65
    assert roc_auc_score(table.labels, smooth[:, ~inside].mean(axis=1)) < 0.6
    # elsewhere lie foci as bright and as dark as that at the site
    there, elsewhere, positive = smooth[:, inside], smooth[:, ~inside], table.labels == 1
    assert np.median(elsewhere.max(axis=1)) > np.median(there[positive].max(axis=1))
    assert np.median(elsewhere.min(axis=1)) < np.median(there[~positive].min(axis=1))


@pytest.mark.parametrize(
    ("name", "value"), [("num_patients", 0), ("views", 0), ("image_size", 31), ("seed", -1)]
)
def test_arguments_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}={value}"):
        phantom_site(**{"num_patients": 1, name: value})
