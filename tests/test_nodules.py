"""Maps against nodules in a run: figures, columns, pictures, page, commands."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from check import ramp
from PIL import Image
from test_borders import framed
from test_places import described_run

import thyroid_keras as tk
from thyroid_keras import explain, metrics, report
from thyroid_keras.answers import class_probabilities
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.splits import Splits
from thyroid_keras.data.store import PixelStore
from thyroid_keras.evaluation import evaluate
from thyroid_keras.examples import read_examples
from thyroid_keras.explain import __main__ as explain_command
from thyroid_keras.explanation import explain as explain_pictures
from thyroid_keras.inspection import predict as predict_pictures
from thyroid_keras.layers import LAPClassifier
from thyroid_keras.nodules import has_nodules, map_thresholds, pooled_facts
from thyroid_keras.pooling import _out_of_fold, _pooled_figures
from thyroid_keras.report.results import read_answers
from thyroid_keras.runs import Run, RunError, read_csv, write_csv, write_json

SIZE = (32, 32)


def network(kappa=2, strides=4):
    """A small network with LAP that calls some images benign and others malignant."""
    image = keras.Input((*SIZE, 1), name="image")
    x = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="first")(image)
    x = keras.layers.Conv2D(4, 3, strides, padding="same", activation="relu", name="last")(x)
    classifier = LAPClassifier(2, kappa, name="classifier")
    model = keras.Model(image, {"logits": classifier(x)[0]}, name="fan")
    for variable in model.weights:
        variable.assign(3 * (ramp(*variable.shape) - 0.5))
    return model


@pytest.fixture(scope="module")
def table():
    return phantom(10, views=2, image_size=32, target="malignancy", progress=False)


@pytest.fixture(scope="module")
def judged(table, tmp_path_factory):
    """The run folder of a network that was never trained, judged; one mask is not known."""
    run = described_run(tmp_path_factory.mktemp("runs") / "lap", network(), table)
    known = list(table.samples)
    known[9] = dataclasses.replace(known[9], mask=None)
    table = dataclasses.replace(table, samples=tuple(known))
    val, test = table.select(range(8)), table.select(range(8, 20))
    return run, evaluate(run, tk.load(run.folder), Splits(train=val, val=val, test=test, hashes={}))


def maps_of(run, table, threshold):
    """Pixels, masks, and the maps of the named classes, signed and not, at the image's size."""
    pixels, masks = PixelStore(table, SIZE).read(np.arange(len(table)))
    model, images = tk.load(run.folder), pixels / np.float32(255)
    logits = keras.ops.convert_to_numpy(model.predict_on_batch(images)["logits"])
    named = (1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) >= threshold).astype(int)
    signed = explain.evidence_map(model, images, named)
    return masks[..., 0] >= 128, explain.resize_maps(signed, SIZE), explain.unit_maps(signed, SIZE)


def test_a_run_says_how_well_its_maps_find_the_nodule(judged, table):
    run, found = judged
    said = json.loads(run.metrics.read_text())["maps"]
    assert said == found["maps"] and said["n"] == 11 and said["truth"] == "simulated truth"
    test = table.select([8, *range(10, 20)])
    masks, signed, unit = maps_of(run, test, found["threshold"])
    cut = said["rule"]["map"]
    assert said["rule"]["tolerance_px"] == pytest.approx(15 * 32 / 224, abs=0.01)
    cuts = unit >= cut
    both, total = (masks & cuts).sum((1, 2)), masks.sum((1, 2)) + cuts.sum((1, 2))
    expected = {
        "pointing": metrics.pointing_hits(signed, masks, 15 * 32 / 224),
        "average_precision": metrics.pixel_average_precision(signed, masks),
        "dice": 2 * both / total,
        "iou": both / (total - both),
    }
    for name, values in expected.items():
        assert said[name]["value"] == pytest.approx(values.mean(), rel=1e-3), name
        assert said[name]["n"] == 11 and said[name]["groups"] == 6
        assert said[name]["ci95"][0] <= said[name]["value"] <= said[name]["ci95"][1]
    assert said["random"]["average_precision"]["value"] == pytest.approx(masks.mean())
    middle = masks[:, 15:17, 15:17].any((1, 2))
    assert middle.mean() <= said["centre"]["pointing"]["value"] <= 1
    for name in ("deletion", "insertion"):
        assert said[name]["n"] == said["rule"]["followed"] == 12
        assert 0 < said[name]["value"] < 1 and 0 < said["centre"][name]["value"] < 1
        curve = said["curves"][f"map_{name}"]
        assert len(curve) == 11
        assert said[name]["value"] == pytest.approx(np.trapezoid(curve, dx=0.1))
    ends = [said["curves"][f"map_{name}"] for name in ("deletion", "insertion")]
    assert ends[0][0] == pytest.approx(ends[1][-1]) and ends[0][-1] == pytest.approx(ends[1][0])


def test_the_threshold_of_maps_is_the_best_on_validation(judged, table):
    run, found = judged
    masks, _, unit = maps_of(run, table.select(range(8)), found["threshold"])

    def dice(threshold):
        cut = unit >= np.float32(threshold)
        shared = 2 * (masks & cut).sum((1, 2)) / (masks.sum((1, 2)) + cut.sum((1, 2)))
        return shared.mean()

    rule = found["maps"]["rule"]
    each = [dice(t) for t in metrics.MASK_THRESHOLDS]
    assert dice(rule["map"]) == pytest.approx(max(each)) and max(each) > min(each)
    assert "Dice on 8 validation images" in rule["map_origin"]


def test_what_each_image_is_worth_is_kept_and_pooled(judged, table, tmp_path):
    run, found = judged
    answers = read_answers(run, table.class_names)
    assert len(answers.maps) == 14 and np.isnan(answers.maps["map_hit"]).sum() == 1
    assert np.nanmean(answers.maps["map_dice"]) == pytest.approx(found["maps"]["dice"]["value"])
    whole = Run(tmp_path)
    write_csv(whole.predictions, _out_of_fold([run, run]))
    pooled = _pooled_figures(whole, [run, run], run.read_config())["maps"]
    assert pooled["n"] == 22 and pooled["rule"]["followed"] == 24
    assert pooled["rule"]["map"] == pytest.approx(found["maps"]["rule"]["map"])
    assert "mean of the 2 folds' thresholds" in pooled["rule"]["map_origin"]
    for name in ("pointing", "insertion"):
        assert pooled[name]["value"] == pytest.approx(found["maps"][name]["value"])
    centre = [one["centre"]["dice"]["value"] for one in (pooled, found["maps"])]
    assert centre[0] == pytest.approx(centre[1])


def test_page_and_gallery_show_the_maps(judged, table):
    run, found = judged
    page = run.report.read_text()
    assert "Pointing game" in page and "Centre of the image" in page
    assert 'alt="Deletion and insertion curves"' in page
    (falling, rising) = report.faithfulness(found["maps"]).axes
    for ax, name in ((falling, "deletion"), (rising, "insertion")):
        drawn = [line.get_ydata().tolist() for line in ax.lines]
        assert drawn == [found["maps"]["curves"][f"{who}_{name}"] for who in ("map", "centre")]
    figure = found["maps"]["pointing"]
    assert "{:.2f} ({:.2f}–{:.2f})".format(figure["value"], *figure["ci95"]) in page
    store = PixelStore(table.select(range(8, 20)), SIZE)
    probabilities = read_answers(run, table.class_names).probabilities
    picks = [("as asked", 0), ("as asked", 3)]
    cut = {"label": 0.5, "map": 0.4}
    examples = read_examples(tk.load(run.folder), store, picks, probabilities, cut)
    for example in examples:
        assert list(example.maps) == ["class map"] == list(example.signed)
        assert example.maps["class map"].min() < 0 < example.maps["class map"].max()
        assert example.mask_threshold == 0.4 and example.predicted_mask.max() == 1
    drawn = report.map_sheet(examples, class_names=table.class_names)
    image = drawn.axes[1].images[-1]
    low, high = image.to_rgba([-1.0, 1.0])[:, :3]
    assert low[2] > low[0] and high[0] > high[2], "cold below 0, warm above"
    assert image.get_array().min() >= -1 and image.get_clim() == (-1, 1)
    shown = report.gallery(examples, class_names=table.class_names)
    panels = [ax.get_xlabel() for ax in shown.axes]
    assert panels[3] == "predicted mask" and panels[2].startswith("class map, IoU")


def test_other_tasks_have_no_nodules(table):
    model = network()
    assert has_nodules(model, table)
    bare = tuple(dataclasses.replace(sample, mask=None) for sample in table.samples)
    assert not has_nodules(model, dataclasses.replace(table, samples=bare))
    assert not has_nodules(model, dataclasses.replace(table, target="calcification"))
    assert not has_nodules(model, dataclasses.replace(table, class_names=("a", "b", "c")))
    masked = tk.build("cs_agnet", image_shape=(32, 32, 1), stage_filters=(2, 3, 4, 5, 6))
    assert not has_nodules(masked, table)


@pytest.fixture(scope="module")
def gap(judged, table):
    return described_run(judged[0].folder.parent / "gap", network(1, strides=8), table)


def named_by(run, images):
    """The classes that `predict` names, at the threshold of the run."""
    probabilities = class_probabilities(tk.load(run.folder).predict_on_batch(images))
    found = run.read_metrics() if run.metrics.exists() else {}
    return metrics.decide(probabilities, found.get("threshold", 0.5))


def test_gap_and_lap_are_drawn_side_by_side(judged, gap, table, tmp_path):
    run, _ = judged
    Image.fromarray(np.kron(table.samples[9].image, np.ones((2, 2), np.uint8))).save(
        tmp_path / "a.png"
    )
    out = tmp_path / "out"
    arguments = [str(run.folder), str(tmp_path / "a.png"), "--out", str(out), "--method", "cam"]
    explain_command.main([*arguments, "--beside", str(gap.folder)])
    (boxes,) = json.loads((out / "boxes.json").read_text()).values()
    image = table.samples[9].image[None, ..., None] / np.float32(255)
    for (name, box), one in zip(boxes.items(), (run, gap), strict=True):
        named = named_by(one, image)
        found = explain.localise(tk.load(one.folder), image, named)
        label = table.class_names[named[0]]
        assert name == f"{one.folder.name}: class map, {label}"
        assert box == [2 * side for side in explain.find_box([found.maps["AG3"][0]])]
    mask = np.asarray(Image.open(out / "0001_a_mask.png"))
    evidence = explain.evidence_map(tk.load(run.folder), image, named_by(run, image))
    cut = explain.unit_maps(evidence, (64, 64))[0] >= judged[1]["maps"]["rule"]["map"]
    assert 0 < cut.sum() < 64 * 64
    np.testing.assert_array_equal(mask, 255 * cut)
    drawing = np.asarray(Image.open(out / "0001_a_cam.png")).astype(int)
    assert drawing.shape == (346, 3 * 324, 3), "the picture and a map of each"
    tones = drawing[22:342, 324:644]
    assert (tones[..., 0] - tones[..., 2] > 30).any() and (tones[..., 2] - tones[..., 0] > 30).any()
    assert not np.ptp(drawing[22:342, :320], axis=-1).any(), "the original is grey"


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_maps_are_of_the_class_that_predict_names(judged, table, tmp_path, method):
    folder = shutil.copytree(judged[0].folder, tmp_path / "run")
    run, found = Run(folder), judged[0].read_metrics()
    Image.fromarray(table.samples[9].image).save(tmp_path / "a.png")
    for threshold, k in ((0.0, 1), (1.1, 0)):
        write_json(run.metrics, found | {"threshold": threshold})
        picture = [tmp_path / "a.png"]
        (row,) = predict_pictures(folder, picture, out=tmp_path / "rows.csv", say=str)
        (boxes,) = explain_pictures(folder, picture, out=tmp_path, method=method).values()
        (name,) = boxes
        assert row["predicted"] == table.class_names[k] and name.endswith(table.class_names[k])


def test_grad_cam_is_drawn_of_any_network_and_layer(judged, table, tmp_path):
    run, _ = judged
    model = tk.load(run.folder)
    for number in range(len(table)):  # one for whose answer some feature speaks
        image = table.samples[number].image[None, ..., None] / np.float32(255)
        named = named_by(run, image)
        if all(explain.grad_cam(model, image, named, name).max() > 0 for name in (None, "first")):
            break
    Image.fromarray(table.samples[number].image).save(tmp_path / "a.png")
    for layer in (None, "first"):
        (boxes,) = explain_pictures(
            run.folder, [tmp_path / "a.png"], out=tmp_path, method="gradcam", layer=layer
        ).values()
        ((name, box),) = boxes.items()
        assert name.startswith("Grad-CAM, ") and len(box) == 4
    found = explain.grad_cam(model, image, named, layer="first")[0]
    assert box == explain.attention_box(found, SIZE)
    assert (tmp_path / "0001_a_gradcam.png").exists()


@pytest.mark.parametrize("method", ["attention", "cam", "gradcam"])
def test_a_network_without_features_is_told_so(method, table, tmp_path):
    image = keras.Input((*SIZE, 1))
    answer = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(image))
    run = described_run(tmp_path / "flat", keras.Model(image, answer), table)
    Image.new("L", (9, 9), 7).save(tmp_path / "a.png")
    with pytest.raises(RunError, match="it has no maps of any kind"):
        explain_pictures(run.folder, [tmp_path / "a.png"], out=tmp_path / "out", method=method)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_drawn_is_said_of_all_runs_at_once(judged, gap, table, tmp_path, capsys):
    plain = described_run(tmp_path / "none", network(), table)
    Image.fromarray(table.samples[9].image).save(tmp_path / "a.png")
    arguments = plain.folder, [tmp_path / "a.png"]
    with pytest.raises(RunError, match="no attention gates; it answers to --method cam"):
        explain_pictures(*arguments, out=tmp_path)
    with pytest.raises(RunError) as caught:
        explain_pictures(*arguments, out=tmp_path, layer="x", beside=[gap.folder], method="cam")
    assert str(caught.value).count("--method gradcam alone takes") == 2
    with pytest.raises(SystemExit) as left:
        explain_command.main(
            [
                str(judged[0].folder),
                "a.png",
                "--out",
                "o",
                "--method",
                "gradcam",
                "--layer",
                "classifier",
            ]
        )
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "among first, last" in said and said.strip().endswith("Received: layer='classifier'")


def test_runs_that_split_double_views_differently_are_not_drawn_beside_each_other(
    judged, table, tmp_path
):
    whole = described_run(tmp_path / "whole", network(1), table)
    split = described_run(tmp_path / "split", network(1), table)
    write_json(split.config, split.read_config() | {"recipe": {"views": "split"}})
    views = [s.image for s in phantom(4, views=1, target="malignancy", progress=False).samples]
    picture = tmp_path / "double.png"
    Image.fromarray(framed(np.hstack(views[:2]), box=(12, 20), size=(240, 420))[0]).save(picture)
    with pytest.raises(RunError, match="`views` differ.*whole.*split"):
        explain_pictures(
            whole.folder, [picture], out=tmp_path / "o", method="cam", beside=[split.folder]
        )
    assert not (tmp_path / "o").exists()


def test_runs_of_one_name_are_told_apart(judged, table, tmp_path):
    twin = described_run(tmp_path / "lap", network(1), table)
    Image.fromarray(table.samples[9].image).save(tmp_path / "a.png")
    folders = [judged[0].folder, twin.folder]
    (boxes,) = explain_pictures(
        folders[0], [tmp_path / "a.png"], out=tmp_path / "o", method="cam", beside=folders[1:]
    ).values()
    assert [name.partition(": class map")[0] for name in boxes] == [str(f) for f in folders]


def test_answers_without_maps_have_none(judged, tmp_path, table):
    rows = [
        {k: v for k, v in row.items() if not k.startswith(("map_", "centre_", "random_"))}
        for row in read_csv(judged[0].predictions)
    ]
    other = Run(tmp_path)
    write_csv(other.predictions, rows)
    assert read_answers(other, table.class_names).maps == {}


def test_an_ensemble_takes_the_mean_of_the_folds_thresholds(judged, table):
    _, found = judged
    rule = found["maps"]["rule"]
    other = {"truth": "drawn", "rule": rule | {"map": rule["map"] + 0.1, "centre": 0.9}}
    pooled = {"maps": pooled_facts([found["maps"], other], "a mean")}
    expected = {"map": rule["map"] + 0.05, "map_origin": "a mean"}
    expected["centre"] = (rule["centre"] + 0.9) / 2
    assert map_thresholds(pooled) == pytest.approx(expected)
    assert map_thresholds({"n": 3}) == {}
