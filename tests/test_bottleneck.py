"""Bottleneck features: the networks, the cache, the SVM, the cross-validation and its leak."""

import dataclasses
import functools
import json
import os
import pickle
import re
import shutil
import socket
from pathlib import Path

import keras
import numpy as np
import pytest
import skops.io
from check import check_arch, fails, ramp
from PIL import Image
from test_baselines import symbolic

import thyroid_keras as tk
from thyroid_keras import bottleneck as command
from thyroid_keras import evaluate, export, metrics, predict
from thyroid_keras.archs import pretrained
from thyroid_keras.archs.imagenet import begin
from thyroid_keras.archs.pretrained import APPLICATIONS, published_normalization
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.loading import ModelError
from thyroid_keras.report import results
from thyroid_keras.report.transfer import data_set_notes, transfer
from thyroid_keras.runs import Run, RunError, read_csv
from thyroid_keras.transfer import (
    Settings,
    bottleneck,
    extract,
    feature_network,
    fit_svm,
    load,
    save,
)
from thyroid_keras.transfer.data import deal
from thyroid_keras.transfer.validation import cross_validate, each_alone, leak

SHARED = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = SHARED / "imagenet_weights"
TINY = {"features": "mobilenet", "weights": "none", "alpha": 0.25, "image_size": 32}


def total(model):
    return sum(int(np.prod(w.shape)) for w in model.weights)


@pytest.mark.parametrize(("side", "expected"), [(150, 1_212_513), (224, 2_797_665)])
def test_the_small_network_counts_as_the_papers(side, expected):
    with symbolic("small_cnn", image_shape=(side, side, 3), num_classes=1) as model:
        assert total(model) == expected


@pytest.mark.slow
def test_networks_count_as_published():
    with symbolic("mobilenet") as model:
        assert total(model) - 2 * 1025 == 3_228_864
        trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        assert trainable - 2 * 1025 == 3_206_976
    with symbolic("mobilenet", version=2) as model:
        assert total(model) - 2 * 1281 == 2_257_984
    with symbolic("inception_v3") as model:
        assert total(model) - 2 * 2049 == 21_802_784


def test_contract_of_the_small_network(tmp_path):
    make = functools.partial(tk.build, "small_cnn", image_shape=(33, 40, 1), num_classes=3)
    check_arch(make, tmp_path, logits=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet", "inception_v3"])
def test_contract(name, tmp_path):
    arguments = {"image_shape": (81, 90, 1), "num_classes": 3, "normalization": "tf"}
    make = functools.partial(tk.build, name, **arguments)
    check_arch(make, tmp_path, logits=True, precision_tolerance=0.5)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/data/imagenet_weights")
@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("mobilenet_v1_0.25_128", {"alpha": 0.25}),
        pytest.param("mobilenet_v1_0.75_192", {"alpha": 0.75}, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2_1.0_224_qat", {"version": 2}, marks=pytest.mark.slow),
    ],
)
def test_the_cat_is_named_a_cat(file, arguments):
    names = (WEIGHTS / "imagenet_labels.txt").read_text().splitlines()
    side = int(re.search(r"_(128|192|224)", file)[1])
    arguments |= {"image_shape": (side, side, 3), "normalization": "tf"}
    model = tk.build(
        "mobilenet", num_classes=len(names), weights=WEIGHTS / f"{file}.npz", **arguments
    )
    with Image.open(WEIGHTS / "cat.bmp") as picture:
        image = np.float32(picture.convert("RGB").resize((side, side))) / 255
    best = np.argsort(-np.asarray(model.predict_on_batch(image[None]))[0])[:3]
    assert {names[i] for i in best} == {"tabby, tabby cat", "tiger cat", "Egyptian cat"}


def test_images_are_normalised_as_each_application_asks():
    image = ramp(1, 32, 32, 3)
    for name in APPLICATIONS.values():
        module = getattr(keras.applications, name).__module__.rpartition(".")[2]
        theirs = getattr(keras.applications, module).preprocess_input(255 * image.copy())
        ours = 255 * image
        if (normalization := published_normalization(name)) is not None:
            inputs, x = begin((32, 32, 3), normalization)
            ours = keras.Model(inputs, x).predict_on_batch(image)
        np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=name)


def write_arrays(path, model):
    arrays = {
        f"{layer.name}|{w.path.rpartition('/')[2]}": w.numpy()
        for layer in model.layers
        for w in layer.weights
    }
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Keras's own MobileNet of a quarter of the width, and a file of its weights."""
    options = {"alpha": 0.25, "include_top": False, "weights": None, "pooling": "avg"}
    model = keras.applications.MobileNet(input_shape=(64, 64, 3), **options)
    model.set_weights([0.5 + ramp(*w.shape) if w.ndim == 1 else (ramp(*w.shape) - 0.5)
                       for w in model.get_weights()])  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "quarter.npz"
    return model, path, write_arrays(path, model)


def test_features_are_those_of_keras_with_the_same_weights(theirs):
    model, path, _ = theirs
    ours = feature_network("mobilenet", weights=path, image_size=64)  # the width is the file's
    image = ramp(2, 64, 64, 3)
    inputs = keras.applications.mobilenet.preprocess_input(255 * image)
    expected = np.asarray(model.predict_on_batch(inputs))
    assert expected.std() > 1e-3 and ours.output_shape == (None, 256)
    np.testing.assert_allclose(ours.predict_on_batch(image), expected, rtol=1e-4, atol=1e-5)


def test_flattened_features():
    assert feature_network("VGG16", weights=None, image_size=64).output_shape == (None, 2048)
    average = feature_network("vgg16", weights=None, image_size=64, pooling="average")
    assert average.output_shape == (None, 512)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "MobileNetV2",
     "MobileNetV3Small", "NASNetMobile", "ResNet50V2", "Xception"],
)  # fmt: skip
def test_any_application_gives_features(name):
    network = feature_network(name, weights=None, image_size=96)
    found = np.asarray(network.predict_on_batch(ramp(1, 96, 96, 3)))
    assert found.shape == (1, network.output_shape[1])
    assert np.isfinite(found).all()


def test_files_that_are_no_weights_are_refused(theirs, tmp_path):
    _, path, arrays = theirs
    np.savez(tmp_path / "less.npz", **{k: v for k, v in arrays.items() if "conv_pw_7" not in k})
    np.savez(tmp_path / "pickled.npz", conv1=np.array([{}], dtype=object))
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:3000])
    np.savez_compressed(tmp_path / "bomb.npz", conv1=np.zeros(10**7))
    for name, said in (
        ("pickled", "pickle"),
        ("cut", "not a file of arrays"),
        ("bomb", "unpack to 80 MB"),
    ):
        with pytest.raises(ModelError, match=rf"{name}\.npz(.|\n)*{said}(.|\n)*Received"):
            pretrained.read_arrays(tmp_path / f"{name}.npz")
    with pytest.raises(ModelError, match=r"less\.npz: the weights of another(.|\n)*conv_pw_7 miss"):
        feature_network("mobilenet", weights=tmp_path / "less.npz", image_size=32)


def twins(groups=16, *, views=2, side=32, seed=0):
    """Noise, nearly the same for all images of a patient: nothing to learn but who it is."""
    rng = np.random.default_rng(seed)
    samples = []
    for g in range(groups):
        base = rng.integers(0, 256, (4, 4)).repeat(side // 4, 0).repeat(side // 4, 1)
        for v in range(views):
            image = np.clip(base + rng.normal(0, 3, base.shape), 0, 255).astype(np.uint8)
            sample = Sample(name=f"{seed}-{g}-{v}", image=image, label=g % 2, group=f"p{g}")
            samples.append(sample)
    names = ("benign", "malignant")
    return SampleTable(name="twins", samples=tuple(samples), class_names=names)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return feature_network("mobilenet", weights=None, alpha=0.25, image_size=32)


def test_features_are_kept_and_found_by_content(network, tmp_path):
    table = twins(6)
    first = extract(network, table, copies=1, cache=tmp_path)
    assert first.features.shape == (2, 12, 256) and first.computed == 24
    assert not np.array_equal(*first.features)
    plain = extract(network, table, copies=1)
    again = extract(network, table, copies=1, cache=tmp_path)
    assert again.computed == 0 and plain.computed == 24
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_allclose(plain.features, first.features, atol=1e-6)
    for others in (
        {"table": table.select(range(11, -1, -1))},
        {"cleaning": "classical"},
        {"seed": 1, "expected": 12},  # of the images themselves nothing changes
        {"copies": 2, "expected": 12},
    ):
        expected = others.pop("expected", 24)
        options = {"table": table, "copies": 1, "cache": tmp_path} | others
        assert extract(network, **options).computed == expected, others
    turned = tuple(dataclasses.replace(s, mirrored=True) for s in table.samples)
    turned = extract(network, dataclasses.replace(table, samples=turned), copies=1, cache=tmp_path)
    assert turned.computed == 24 and not np.array_equal(turned.features, first.features)
    whole = network.get_weights()
    network.set_weights([whole[0] * 1.01, *whole[1:]])
    assert extract(network, table, copies=1, cache=tmp_path).computed == 24
    network.set_weights(whole)


def test_damaged_features_are_computed_anew(network, tmp_path):
    table = twins(6)
    first = extract(network, table, copies=0, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-5] ^= 1
    for bad in (b"", good[:-100], bytes(flipped)):
        path.write_bytes(bad)
        again = extract(network, table, copies=0, cache=tmp_path)
        assert again.computed == 12 and path.read_bytes() == good
        np.testing.assert_array_equal(again.features, first.features)


def cloud(groups=24, classes=2, *, views=2, apart=3.0, seed=0):
    """Features, labels and groups of which a straight line tells the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(groups) % classes
    centres = apart * np.eye(classes, 8)[labels]
    return (centres + rng.normal(size=(views, groups, 8))).astype(np.float32), labels, labels * 0


@pytest.mark.parametrize("options", [{}, {"kernel": "rbf"}, {"scale": True}])
def test_the_svm_is_kept_whole(options, tmp_path):
    features, labels, _ = cloud()
    fitted = fit_svm(features, labels, np.arange(24), ("a", "b"), **options)
    found = fitted.probabilities(features[0])
    assert (found.argmax(1) == labels).mean() > 0.9 and 0 < fitted.threshold < 1
    np.testing.assert_allclose(found.sum(1), 1)
    save(tmp_path / "x.skops", fitted)
    again = load(tmp_path / "x.skops")
    np.testing.assert_array_equal(again.probabilities(features[0]), found)
    assert (again.class_names, again.threshold) == (("a", "b"), fitted.threshold)


@pytest.fixture(scope="module")
def guesses():
    """An SVM of noise: features, labels, groups, it, and what each of its machines learned from.

    Of noise every image that a machine has learned from is one of its support vectors.
    """
    features = np.random.default_rng(3).normal(size=(2, 48, 32)).astype(np.float32)
    groups = np.arange(48) // 4
    labels = groups % 2
    fitted = fit_svm(features, labels, groups, ("a", "b"), kernel="rbf")
    learned = [
        (features[:, :, None] == machine.estimator[-1].support_vectors_).all(3).any(2)
        for machine in fitted.classifier.calibrated_classifiers_
    ]
    return features, labels, groups, fitted, np.array(learned)


def test_the_machines_of_an_svm_learn_from_whole_groups(guesses):
    *_, groups, _, learned = guesses
    assert (learned.sum(axis=0) == 2).all(), "each image and its copy in two machines of three"
    for group in np.unique(groups):
        own = learned[..., groups == group]
        assert (own.all(axis=(1, 2)) == own.any(axis=(1, 2))).all()


def test_the_threshold_is_of_images_that_its_machine_has_not_learned_from(guesses):
    features, labels, _, fitted, learned = guesses
    scores = np.stack(
        [m.predict_proba(features[0])[:, 1] for m in fitted.classifier.calibrated_classifiers_]
    )
    seen = learned[:, 0]
    unseen, known = ((scores * of).sum(axis=0) / of.sum(axis=0) for of in (~seen, seen))
    expected, _ = metrics.choose_threshold(labels == 1, unseen)
    assert fitted.threshold == pytest.approx(expected)
    for others in (known, scores.mean(axis=0)):
        assert abs(metrics.choose_threshold(labels == 1, others)[0] - expected) > 0.01


def test_more_than_two_classes():
    features, labels, _ = cloud(classes=3)
    fitted = fit_svm(features, labels, np.arange(24), ("a", "b", "c"))
    assert (fitted.probabilities(features[1]).argmax(1) == labels).mean() > 0.9
    assert fitted.threshold is None


class Payload:
    def __reduce__(self):
        return os.system, ("touch marker",)


def test_what_could_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features, labels, _ = cloud()
    good = fit_svm(features, labels, np.arange(24), ("a", "b"))
    entries = {f.name: getattr(good, f.name) for f in dataclasses.fields(good)}
    entries["class_names"] = ["a", "b"]
    plain = good.classifier.estimator
    for name, content, said in (
        ("class", skops.io.dumps(entries | {"classifier": Payload()}), "Untrusted.*Payload"),
        ("function", skops.io.dumps(entries | {"classifier": os.system}), "Untrusted.*system"),
        ("more", skops.io.dumps(entries | {"x": Payload()}), "Untrusted.*Payload"),
        ("pickle", pickle.dumps(Payload()), "not a zip file"),
        ("other", skops.io.dumps(entries | {"classifier": plain}), "is a Pipeline"),
        ("less", skops.io.dumps({"classifier": good.classifier}), "something else"),
        ("cut", skops.io.dumps(entries)[:-300], "not a zip file"),
    ):
        path = tmp_path / f"{name}.skops"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=rf"{name}\.skops(.|\n)*{said}(.|\n)*Received"):
            load(path)
    assert not Path("marker").exists()
    os.system(Payload().__reduce__()[1][0])
    assert Path("marker").exists()  # the payload was live


def test_a_fold_is_judged_by_what_has_not_seen_it():
    features, labels, _ = cloud(30)
    groups = np.arange(30) // 2
    folds = np.arange(30) // 10
    seen = []

    def fit(values, its, own):
        seen.append((values, set(own)))
        return fit_svm(values, its, own, ("a", "b"))

    found, cuts = cross_validate(features, labels, groups, folds, fit)
    for fold, (values, own) in enumerate(seen):
        held = folds == fold
        assert not own & set(groups[held]) and values.shape == (2, 20, 8)
        for row in features[:, held].reshape(-1, 8):
            assert not (values == row).all(2).any()
    other = np.where(folds == 0, 1 - labels, labels)  # neither answer nor threshold may know
    again, cuts_again = cross_validate(features, other, groups, folds, fit)
    np.testing.assert_array_equal(again[:10], found[:10])
    np.testing.assert_array_equal(cuts_again[:10], cuts[:10])
    assert not np.array_equal(again[10:], found[10:])


def test_the_leak_makes_something_of_nothing():
    table = twins(30)
    pixels = np.stack([s.image.ravel() for s in table.samples]).astype(np.float32) / 255
    noise = np.random.default_rng(1).normal(0, 0.02, (2, *pixels.shape)).astype(np.float32)
    fit = functools.partial(fit_svm, class_names=table.class_names, kernel="rbf")
    wrong = leak(pixels + noise, table.labels, table.groups, 3, fit, table.class_names, 0)
    assert wrong["roc_auc"]["value"] > 0.95 and wrong["n"] == 120 and wrong["groups"] == 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("one", 0), ("two", 1)):
        write_pack(folder / f"{name}.npz", twins(seed=seed), (32, 32))
    return folder


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """A run of two joined data sets, with the leak."""
    out = tmp_path_factory.mktemp("run") / "run"
    words = ["--data", data / "one.npz", data / "two.npz", "--features", "mobilenet"]
    words += ["--weights", "none", "--alpha", 0.25, "--image-size", 32, "--copies", 1]
    words += ["--folds", 2, "--kernel", "rbf", "--scale", "--augment-before-split"]
    words += ["--out", out, "--cache", out.parent / "cache"]
    command.main([str(word) for word in words])
    return out


def test_a_run_leaves_its_folder(folder):
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert found == {
        "classifier.skops", "config.json", "features.keras", "log.txt", "metrics.json", "plots",
        "predictions.csv", "report.html", "split.csv"}  # fmt: skip
    metrics, rows = Run(folder).read_metrics(), read_csv(folder / "predictions.csv")
    assert metrics["n"] == len(rows) == 64 and metrics["groups"] == 32
    assert metrics["extraction"]["computed"] == 128 and len(metrics["per_fold"]) == 2
    assert all(metrics[k]["value"] is not None for k in ("roc_auc", "sensitivity", "specificity"))
    split = {row["image"]: row for row in read_csv(folder / "split.csv")}
    for row in rows:
        assert split[row["image"]]["split"] == f"fold_{row['fold']}"
        assert row["image"].split(":")[0] == row["group"].split(":")[0]
    sides = {}
    for row in split.values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert {len(of) for of in sides.values()} == {1}


def test_no_threshold_is_marked_where_each_fold_has_its_own(folder, monkeypatch):
    seen = {}

    def watched(name, draw):
        def spy(*arrays, **options):
            seen[name] = options
            return draw(*arrays, **options)

        return spy

    for name in ("roc", "fold_roc", "precision_recall"):
        monkeypatch.setattr(results, name, watched(name, vars(results)[name]))
    results.write_plots(Run(folder))
    assert "roc" not in seen and "fold_roc" in seen
    assert seen["precision_recall"]["threshold"] is None


def test_a_run_is_resumed_with_its_own_settings_alone(folder, data, capsys):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    sets = ["--data", data / "one.npz", data / "two.npz", "--out", folder, "--resume"]
    words = ["--features", "mobilenet", "--weights", "none", "--alpha", 0.25, "--image-size", 32]
    words += ["--copies", 1, "--folds", 2, "--classifier", "fc", "--seed", 1]
    said = fails(command.main, [*sets, *words], capsys)
    assert "--classifier" in said and "--augment-before-split" in said and "seed" in said
    now = {path: path.stat().st_mtime_ns for path in before}
    assert now == before


def test_each_data_set_is_judged_alone_too(folder):
    found = Run(folder).read_metrics()["data_sets"]
    assert [(one["name"], one["alone"]["n"], one["joined"]["n"]) for one in found] == [
        ("one", 32, 32), ("two", 32, 32)]  # fmt: skip
    rows = [r for r in read_csv(folder / "predictions.csv") if r["image"].startswith("one:")]
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert found[0]["joined"]["accuracy"]["value"] == pytest.approx(right)


def test_groups_that_share_a_picture_are_dealt_together(tmp_path):
    table = twins()
    samples = list(table.samples)
    for i in range(0, 32, 8):  # a patient and the next of the class, a pair of every four
        samples[i + 4] = dataclasses.replace(samples[i + 4], image=samples[i].image)
    table = dataclasses.replace(table, samples=tuple(samples))
    write_pack(tmp_path / "shared.npz", table, (32, 32))
    dealt = deal([tmp_path / "shared.npz"], Settings(folds=4))
    own = dealt.table.groups
    assert len(np.unique(own)) == 12 and set(dealt.folds) == set(range(4))
    for i in range(0, 32, 8):
        assert len(set(own[[i, i + 1, i + 4, i + 5]])) == 1
    assert all(len(set(dealt.folds[own == group])) == 1 for group in np.unique(own))


def test_a_data_set_too_small_to_be_alone_says_so(data, tmp_path):
    write_pack(tmp_path / "few.npz", twins(8, seed=5), (32, 32))
    dealt = deal([data / "one.npz", tmp_path / "few.npz"], Settings(folds=2))
    features = np.random.default_rng(0).random((1, 48, 4), dtype=np.float32)
    fit = functools.partial(fit_svm, class_names=dealt.table.class_names)
    joined = cross_validate(features, dealt.table.labels, dealt.table.groups, dealt.folds, fit)
    one, few = each_alone(features, dealt, 2, fit, joined, 0)
    assert one["alone"]["n"] == 32 and "reason" not in one
    assert few["joined"]["n"] == 16 and "alone" not in few
    assert few["reason"] == "a class of it is in 4 groups, and 6 are needed"
    found = {"data_sets": [one, few], "per_fold": [one["joined"]]}
    said = "few is not learned from alone: a class of it is in 4 groups, and 6 are needed."
    assert data_set_notes(found) == [said]
    page = transfer(found)
    assert (
        said in page and "few, learned from all" in page and "few, learned from alone" not in page
    )


def test_the_page_shows_both_figures_and_says_which_is_wrong(folder):
    metrics, page = Run(folder).read_metrics(), (folder / "report.html").read_text()
    right, wrong = (f"{of['roc_auc']['value']:.2f} (" for of in (metrics, metrics["leak"]))
    assert metrics["leak"]["roc_auc"]["value"] > metrics["roc_auc"]["value"] + 0.1
    assert f"AUC of {wrong}" in page and "That figure is wrong" in page
    assert f"expect the other: {right}" in page and "two, learned from alone" in page
    for words, n, figure in (("Right", 64, right), ("Wrong", 128, wrong)):
        row = re.search(rf"<th[^>]*>{words}: .*?</tr>", page, re.S)[0]
        assert f">{n}<" in row and figure in row


def test_pictures_are_predicted_by_the_classifier_of_all_images(folder, data, tmp_path):
    paths, cache = [data / "one.npz", data / "two.npz"], folder.parent / "cache"
    dealt, network = deal(paths, Settings(folds=2)), tk.load(folder / "features.keras")
    made = extract(network, dealt.table, copies=1, cache=cache)
    assert made.computed == 0  # what was saved is the very network
    names = dealt.table.class_names
    options = {"kernel": "rbf", "scale": True}
    fitted = fit_svm(made.features, dealt.table.labels, dealt.table.groups, names, **options)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, sample in enumerate(twins().samples[:5]):
        Image.fromarray(sample.image).save(pictures / f"{i}.png")
    predict.main([str(folder), str(pictures), "--out", str(tmp_path / "found.csv")])
    rows = read_csv(tmp_path / "found.csv")
    expected = fitted.probabilities(made.features[0][:5])[:, 1]
    assert [float(r["p_malignant"]) for r in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    threshold = Run(folder).read_metrics()["threshold"]  # which the report says
    decided = np.array(names)[(expected >= threshold).astype(int)]
    assert [r["predicted"] for r in rows] == decided.tolist()


def test_what_needs_a_whole_network_says_so(folder, capsys, tmp_path):
    assert "bottleneck features" in fails(evaluate.main, [folder], capsys)
    assert "--classifier fc" in fails(export.main, [folder, "--to", tmp_path / "x"], capsys)


def test_a_run_with_a_foreign_classifier_predicts_nothing(folder, capsys, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "classifier.skops").write_bytes(skops.io.dumps({"classifier": os.system}))
    Image.new("L", (32, 32)).save(tmp_path / "x.png")
    words = [tmp_path / "run", tmp_path / "x.png", "--out", tmp_path / "found.csv"]
    said = fails(predict.main, words, capsys)
    assert "classifier.skops: not a classifier" in said and "system" in said
    assert not (tmp_path / "found.csv").exists()


@pytest.mark.slow
def test_the_same_command_gives_the_same_figures(data, tmp_path):
    options = TINY | {"copies": 1, "folds": 2, "cache": tmp_path / "cache", "say": lambda _: None}
    _, first = bottleneck(data / "one.npz", out=tmp_path / "a", **options)
    _, again = bottleneck([data / "one.npz"], out=tmp_path / "b", **options)
    assert first.pop("extraction")["computed"] == 64 and not again.pop("extraction")["computed"]
    assert first == again and "leak" not in first and "data_sets" not in first
    with pytest.raises(RunError, match="not empty"):
        bottleneck(data / "one.npz", out=tmp_path / "a", **options)


def test_wrong_settings_are_named_at_once(capsys, data, tmp_path):
    words = ["--data", data / "one.npz", "--out", tmp_path / "run"]
    said = fails(command.main, [*words, "--copies", -1, "--folds", 1, "--seed", -1], capsys)
    assert all(f"--{name} must be" in said for name in ("copies", "folds", "seed"))
    more = ["--features", "vgg61", "--weights", "none", "--alpha", 2, "--image-size", 0]
    said = fails(command.main, [*words, *more], capsys)
    assert all(f"--{name}" in said for name in ("features must", "alpha", "image-size"))
    (tmp_path / "theirs.pth").touch()
    more = ["--weights", tmp_path / "theirs.pth", "--features", "resnet50"]
    assert "fit a VGG's features alone" in fails(command.main, [*words, *more], capsys)
    more = ["--weights", "none", "--image-size", 20]
    assert "MobileNet cannot be built" in fails(command.main, [*words, *more], capsys)
    more = ["--weights", "none", "--copies", 0, "--augment-before-split"]
    assert "--copies" in fails(command.main, [*words, *more], capsys)
    assert not (tmp_path / "run").exists()


def test_wrong_data_is_named(capsys, data, tmp_path):
    other = dataclasses.replace(twins(), class_names=("no", "yes"))
    write_pack(tmp_path / "other.npz", other, (32, 32))
    write_pack(tmp_path / "few.npz", twins(4), (32, 32))
    with pytest.raises(DataError, match=r"\('no', 'yes'\)"):
        deal([data / "one.npz", tmp_path / "other.npz"], Settings(folds=2))
    with pytest.raises(DataError, match="class 'benign' has samples in 2 groups"):
        deal([tmp_path / "few.npz"], Settings())
    words = ["--weights", "none", "--alpha", 0.25, "--image-size", 32, "--out", tmp_path / "run"]
    twice = ["--data", data / "one.npz", tmp_path / "none.npz", *words]
    assert "none.npz: no such file" in fails(command.main, twice, capsys)
    with pytest.raises(DataError, match="too few groups"):
        fit_svm(*cloud(4), ("a", "b"))


def test_without_a_network_the_way_out_is_said(capsys, data, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, says nothing
        monkeypatch.setattr(pretrained, "URL", f"http://127.0.0.1:{server.getsockname()[1]}/x.h5")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr(pretrained, "PATIENCE_S", 0.2)
        words = ["--data", data / "one.npz", "--out", tmp_path / "run"]
        said = fails(command.main, words, capsys)
    assert "cannot be downloaded" in said and "mobilenet*.h5" in said


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/data")
def test_ddti_and_its_leak(tmp_path):
    weights = WEIGHTS / "mobilenet_v1_0.75_192.npz"
    options = {"weights": str(weights), "image_size": 192, "augment_before_split": True}
    _, found = bottleneck(
        SHARED / "ddti", out=tmp_path / "run", cache=None, say=lambda _: None, **options
    )
    low, high = found["roc_auc"]["ci95"]
    assert 0.4 < low < found["roc_auc"]["value"] < high < 0.85
    assert found["leak"]["roc_auc"]["ci95"][0] > found["roc_auc"]["value"] + 0.1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n"] == 227
