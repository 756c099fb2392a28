"""The new FC layer on bottleneck features: what it learns from, and the one network it becomes."""

import functools
import json

import keras
import numpy as np
import pytest
from check import fails
from PIL import Image
from test_bottleneck import twins

import thyroid_keras as tk
from thyroid_keras import bottleneck as command
from thyroid_keras import evaluate, metrics, predict
from thyroid_keras.data.dealing import hold_out
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.samples import DataError
from thyroid_keras.runs import read_csv
from thyroid_keras.transfer import Settings, fit_head
from thyroid_keras.transfer.fc import VAL_SHARE, join

GROUPS = np.arange(40) // 2
LABELS = GROUPS % 2
NAMES = ("benign", "malignant")


def clouds(width=256, apart=1.5, views=2):
    """Features of which a straight line tells the classes."""
    rng = np.random.default_rng(0)
    centres = apart * np.eye(2, width)[LABELS]
    return (centres + 0.3 * rng.normal(size=(views, len(LABELS), width))).astype(np.float32)


@pytest.fixture(scope="module")
def held():
    return hold_out(LABELS, GROUPS, VAL_SHARE, 0)


@pytest.fixture(scope="module")
def head(held):
    """Learned where the copies of the images that say when to stop would spoil everything."""
    features = clouds()
    features[1:, held] = np.nan
    return fit_head(features, LABELS, GROUPS, NAMES)


def test_it_learns_from_copies_of_the_others_alone(head, held):
    assert 0 < held.sum() < 20 and not set(GROUPS[held]) & set(GROUPS[~held])
    found = head.probabilities(clouds()[0])
    assert np.isfinite(found).all() and (found.argmax(1) == LABELS).mean() > 0.9
    np.testing.assert_allclose(found.sum(1), 1)
    said = metrics.choose_threshold(LABELS[held] == 1, found[held, 1])
    assert (head.threshold, head.threshold_origin) == said


def test_it_is_the_papers_and_becomes_one_network_with_the_features(head, tmp_path):
    assert [layer.name for layer in head.network.layers if layer.weights] == ["fc", "logits"]
    assert head.network.get_layer("fc").units == 256
    assert head.network.get_layer("drop").rate == 0.5
    image = keras.Input((16, 16, 1))
    network = keras.Model(image, keras.layers.Flatten(name="features")(image))
    images = clouds()[0].reshape(-1, 16, 16, 1)
    join(network, head).save(tmp_path / "model.keras")
    logits = tk.load(tmp_path / "model.keras").predict_on_batch(images)["logits"]
    expected = head.probabilities(clouds()[0])
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)


def test_few_groups_and_settings_of_an_svm_are_refused():
    with pytest.raises(DataError, match=r"too few groups(.|\n)*4 images of 2 groups"):
        fit_head(clouds()[:, :4], LABELS[:4], GROUPS[:4], NAMES)
    with pytest.raises(ValueError, match=r"--scale is of an SVM(.|\n)*scale=True"):
        Settings(classifier="fc", scale=True)
    assert Settings(features="vgg16", classifier="fc").reported["accuracy"] == 0.94
    assert Settings(features="InceptionV3", classifier="fc").reported["specificity"] == 0.97


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("fc") / "run"
    write_pack(out.parent / "twins.npz", twins(), (32, 32))
    words = ["--data", out.parent / "twins.npz", "--classifier", "fc", "--features", "mobilenet"]
    words += ["--weights", "none", "--alpha", 0.25, "--image-size", 32, "--copies", 1]
    words += ["--folds", 2, "--augment-before-split", "--out", out, "--cache", out.parent / "cache"]
    command.main([str(word) for word in words])
    return out


@pytest.mark.slow
def test_a_run_leaves_one_network_that_predicts(folder, capsys, tmp_path):
    found = json.loads((folder / "metrics.json").read_text())
    assert found["n"] == 32 and len(found["per_fold"]) == 2 and found["leak"]["n"] == 64
    assert not (folder / "classifier.skops").exists()
    page = (folder / "report.html").read_text()
    assert "That figure is wrong" in page and "learned from" in page
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, sample in enumerate(twins().samples[:4]):
        Image.fromarray(sample.image).save(pictures / f"{i}.png")
    predict.main([str(folder), str(pictures), "--out", str(tmp_path / "found.csv")])
    rows, model = read_csv(tmp_path / "found.csv"), tk.load(folder)
    images = np.stack([s.image for s in twins().samples[:4]])[..., None].repeat(3, -1)
    logits = model.predict_on_batch(np.float32(images) / 255)["logits"]
    expected = np.asarray(keras.ops.softmax(logits))[:, 1]
    assert [float(r["p_malignant"]) for r in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    decided = np.array(NAMES)[(expected >= found["threshold"]).astype(int)]
    assert [r["predicted"] for r in rows] == decided.tolist()
    assert "judged once" in fails(evaluate.main, [folder], capsys)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_head(held):
    make = functools.partial(fit_head, clouds(), LABELS, GROUPS, NAMES)
    one, again, other = (make(seed=s).probabilities(clouds()[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_of_more_than_two_classes_the_likeliest_wins():
    labels = GROUPS % 3
    head = fit_head(clouds(8, views=1) + labels[:, None], labels, GROUPS, ("a", "b", "c"))
    assert head.threshold is None and head.probabilities(clouds(8)[0]).shape == (40, 3)
