"""Boxes in a run: figures, columns, pictures, page, commands; and boxes that come with data."""

import csv
import dataclasses
import json

import keras
import numpy as np
import parity
import pytest
from check import fails, ramp
from PIL import Image

import thyroid_keras as tk
from thyroid_keras import metrics, predict, report, viewing
from thyroid_keras.convert import __main__ as convert_command
from thyroid_keras.data.audit import audit
from thyroid_keras.data.boxes import true_boxes
from thyroid_keras.data.manifest import read_manifest
from thyroid_keras.data.pack import read_pack, write_pack
from thyroid_keras.data.phantom.planes import phantom_planes
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import Splits
from thyroid_keras.data.store import PixelStore
from thyroid_keras.ensemble import ensemble
from thyroid_keras.evaluation import evaluate
from thyroid_keras.examples import read_examples
from thyroid_keras.explain import __main__ as explain_command
from thyroid_keras.explanation import explain
from thyroid_keras.layers import GridAttention
from thyroid_keras.layers.whitening import Whitening
from thyroid_keras.narration import conclusion
from thyroid_keras.places import figures_of_boxes
from thyroid_keras.pooling import _out_of_fold, _pooled_figures
from thyroid_keras.report.results import read_answers
from thyroid_keras.runs import Run, RunError, read_csv, write_csv, write_json

SIZE = (32, 48)


def network(arch="ag_sononet", table=None, **arguments):
    """A small network that names several classes, as a run has it."""
    arguments |= {"filters": 2, "stage_convs": (1, 1, 1, 1, 1), "whiten": True}
    model = tk.build(arch, image_shape=(*SIZE, 1), num_classes=8, **arguments)
    for i, variable in enumerate(model.weights):
        if "gamma" not in variable.path and "variance" not in variable.path:
            variable.assign(variable + 0.5 * (ramp(*variable.shape) - 0.5) * (i % 3))
    return keras.Model(model.input, {"logits": model.output}, name=arch)


@pytest.fixture(scope="module")
def table():
    return phantom_planes(4, views=8, image_size=SIZE, progress=False)


def judged_run(folder, model, table):
    """The run folder of a network that was never trained, judged."""
    halves = table.select(range(8)), table.select(range(8, 32))
    splits = Splits(train=halves[0], val=halves[0], test=halves[1], hashes={})
    run = described_run(folder, model, table)
    return run, evaluate(run, model, splits)


def described_run(folder, model, table):
    """A run folder of which nothing is there but the model and what it was made of."""
    with Run.create(folder) as run:
        data = {"name": table.name, "class_names": table.class_names, "group_unit": "patient"}
        data |= {"mask_source": table.mask_source, "target": "plane", "notes": [], "source": {}}
        write_json(run.config, {"arch": model.name, "data": data, "seed": 0})
        model.save(run.model)
    return run


@pytest.fixture(scope="module")
def judged(table, tmp_path_factory):
    keras.utils.set_random_seed(1)
    return judged_run(tmp_path_factory.mktemp("runs") / "run", network(), table)


def test_a_run_says_how_well_its_boxes_fit(judged, table):
    run, found = judged
    test = table.select(range(8, 32))
    store = PixelStore(test, SIZE)
    pixels = store.read(np.arange(24))[0] / np.float32(255)
    places, truth = tk.explain.localise(tk.load(run.folder), pixels), true_boxes(store)
    known = np.isfinite(truth[:, 0])
    assert (known == [s.mask is not None for s in test.samples]).all() and 6 < known.sum() < 24
    ious = metrics.box_iou(truth, places.boxes)
    said = json.loads(run.metrics.read_text())["localisation"]
    assert said == found["localisation"] and said["n"] == known.sum()
    assert said["iou"]["value"] == pytest.approx(ious[known].mean())
    assert said["iou"]["groups"] == 3 and len(said["iou"]["ci95"]) == 2
    assert said["correct"]["value"] == pytest.approx((ious[known] > 0.5).mean())
    classes = [row["class"] for row in said["per_class"]]
    assert "Background" not in classes and len(classes) == len(set(test.labels[known]))
    assert said["truth"] == "boxes around the masks (simulated truth)"
    assert said["rule"]["sigma_px"] == pytest.approx(5 * (32 * 48 / 208 / 272) ** 0.5, abs=1e-3)
    before = true_boxes(PixelStore(table.select(range(8)), SIZE))  # of validation
    mean = np.nanmean(before, axis=0)
    assert not np.allclose(mean, truth[known].mean(axis=0), atol=0.1)
    constant = metrics.box_iou(truth[known], np.broadcast_to(mean, (known.sum(), 4)))
    assert said["constant"]["value"] == pytest.approx(constant.mean())
    paired = metrics.paired_mean(ious[known], constant, test.groups[known])
    assert said["above_constant"] == paired
    bare = figures_of_boxes(store, truth, places.boxes, None, 0)
    assert bare["iou"] == said["iou"]
    assert bare["constant"]["reason"] == "no validation image has a true box"
    assert "image by image" in run.report.read_text(encoding="utf-8")


def test_predictions_hold_the_box_and_its_iou(judged, table):
    run, found = judged
    rows = read_csv(run.predictions)
    boxes = np.array(
        [[float(r[f"box_{s}"]) for s in ("left", "top", "width", "height")] for r in rows]
    )
    truth = true_boxes(PixelStore(table.select(range(8, 32)), SIZE))
    ious = np.array([float(r["iou"] or "nan") for r in rows])
    np.testing.assert_allclose(ious, metrics.box_iou(truth, boxes))
    answers = read_answers(run, table.class_names)
    again = metrics.localisation_metrics(
        answers.ious, answers.labels, answers.groups, table.class_names
    )
    assert again["iou"] == found["localisation"]["iou"], "what pooling takes"


def test_folds_pool_their_boxes(judged, tmp_path):
    run, found = judged
    whole = Run(tmp_path)
    write_csv(whole.predictions, _out_of_fold([run, run]))
    pooled = _pooled_figures(whole, [run, run], run.read_config())["localisation"]
    alone = found["localisation"]
    assert pooled["n"] == 2 * alone["n"] and pooled["rule"] == alone["rule"]
    assert pooled["iou"]["value"] == pytest.approx(alone["iou"]["value"])
    assert [row["n"] for row in pooled["per_class"]] == [2 * row["n"] for row in alone["per_class"]]
    assert pooled["constant"]["value"] is None and pooled["above_constant"]["value"] is None
    assert pooled["usual_box"] == pytest.approx(alone["usual_box"])


def test_page_and_last_words_name_the_boxes(judged):
    run, found = judged
    page = run.report.read_text()
    assert "Where it looks" in page and "Relatively correct" in page
    value, sd = found["localisation"]["iou"]["value"], found["localisation"]["iou"]["sd"]
    assert f"{value:.2f} ({sd:.2f})" in page
    lines = list(conclusion(found | {"group_unit": "patient"}, run))
    assert any(f"mean IoU {value:.3f}" in line for line in lines)


def test_the_gallery_shows_every_map_and_both_boxes(judged, table):
    run, found = judged
    store = PixelStore(table.select(range(8, 32)), SIZE)
    shown = [i for i, s in enumerate(store.table.samples) if s.mask is not None][:2]
    shown += [i for i, s in enumerate(store.table.samples) if s.mask is None][:1]
    probabilities = np.array(
        [[float(r[f"p_{c}"]) for c in table.class_names] for r in read_csv(run.predictions)]
    )
    arguments = tk.load(run.folder), store, [("as asked", i) for i in shown], probabilities
    examples = read_examples(*arguments, {"label": 0.5})
    assert list(examples[0].maps) == ["AG1", "AG2", "AG3", "AG-all"]
    for draw in (report.gallery, report.map_sheet):
        figure = draw(examples, class_names=table.class_names)
        words = [ax.get_xlabel() for ax in figure.axes]
        count = len(figure.axes) // 3
        assert [
            sum(len(ax.patches) for ax in figure.axes[r * count :][:count]) for r in range(3)
        ] == [2, 2, 1]
        assert sum("IoU" in word for word in words) == 2
        assert sum("no true box" in word for word in words) == 1
        last = figure.axes[count - 1].patches
        edges = [patch.get_edgecolor()[:3] for patch in last]
        assert edges[0][2] > edges[0][0] and edges[1][0] > edges[1][2], "blue truth, red answer"
        left, top, width, height = examples[0].box
        assert last[1].get_bbox().bounds == (left - 0.5, top - 0.5, width, height)
    plain = read_examples(*arguments, {"label": 0.5}, boxes=False)
    figure = report.map_sheet(plain, class_names=table.class_names)
    assert not any(ax.patches for ax in figure.axes)
    assert (run.plots / "gallery.png").exists()


@pytest.mark.parametrize("method", ["attention", "cam"])
def test_explain_draws_maps_and_boxes_of_the_picture(judged, table, tmp_path, method):
    run, _ = judged
    large = np.kron(table.samples[9].image, np.ones((3, 2), np.uint8))
    Image.fromarray(large).save(tmp_path / "large.png")
    Image.fromarray(table.samples[10].image).save(tmp_path / "small.png")
    arguments = [str(run.folder), str(tmp_path), "--out", str(tmp_path / "out"), "--method", method]
    explain_command.main(arguments)
    boxes = json.loads((tmp_path / "out" / "boxes.json").read_text())
    assert len(list((tmp_path / "out").glob(f"*_{method}.png"))) == 2
    small = table.samples[10].image[None, ..., None] / np.float32(255)
    found = tk.explain.localise(tk.load(run.folder), small)
    said, stretched = (boxes[str(tmp_path / f"{name}.png")] for name in ("small", "large"))
    if method == "attention":
        assert list(said) == ["AG1", "AG2", "AG3", "AG-all"]
        assert said["AG-all"] == found.boxes[0].tolist()
    else:
        (name,) = said
        assert name == f"class map, {table.class_names[found.class_indices[0]]}"
        box = tk.explain.find_box([found.maps["AG3"][0]])
        assert said[name] == (None if box is None else list(box))
    left, top, width, height = list(stretched.values())[-1]
    assert 0 <= left < 96 and 0 <= top < 96 and left + width <= 96 and top + height <= 96
    assert left % 2 == 0 and top % 3 == 0 and width % 2 == 0 and height % 3 == 0


def test_what_a_network_lacks_is_said_with_the_way_out(table, tmp_path):
    run = described_run(tmp_path / "plain", network("sononet"), table)
    picture = tmp_path / "a.png"
    Image.fromarray(table.samples[0].image).save(picture)
    with pytest.raises(RunError, match="no attention gates; it answers to --method cam"):
        explain(run.folder, [picture], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (maps,) = explain(run.folder, [picture], out=tmp_path / "out", method="cam").values()
    assert len(maps) == 1
    image = keras.Input((*SIZE, 1))
    x = keras.layers.Conv2D(2, 3)(image)
    seen = keras.layers.Multiply()([x, GridAttention(2, name="gate1")(x, x)])
    gated = keras.Model(image, keras.layers.Dense(8)(keras.layers.Flatten()(seen)))
    gated.save(run.model)
    with pytest.raises(RunError, match="no class map.*it answers to --method attention"):
        explain(run.folder, [picture], out=tmp_path / "none", method="cam")
    with pytest.raises(ValueError, match="method='gradient'"):
        explain(run.folder, [picture], out=tmp_path / "none", method="gradient")


def test_without_truth_there_are_no_figures_of_boxes(table, tmp_path):
    bare = tuple(dataclasses.replace(sample, mask=None) for sample in table.samples)
    run, found = judged_run(
        tmp_path / "bare", network(), dataclasses.replace(table, samples=bare, mask_source=None)
    )
    assert "localisation" not in found and "iou" not in read_csv(run.predictions)[0]
    assert "Where it looks" not in run.report.read_text()
    assert (run.plots / "gallery.png").exists()


def test_an_ensemble_is_judged_and_explained_like_a_network(table, tmp_path):
    model = ensemble([network(), network(normalization="softmax")])
    run, found = judged_run(tmp_path / "both", model, table)
    assert 0 <= found["localisation"]["iou"]["value"] <= 1
    Image.fromarray(table.samples[0].image).save(tmp_path / "a.png")
    (maps,) = explain(run.folder, [tmp_path / "a.png"], out=tmp_path / "out").values()
    assert list(maps) == ["AG1", "AG2", "AG3", "AG-all"]


def both():
    """Two networks that answer together."""
    return ensemble([network(), network(normalization="softmax")])


def fed_back():
    """A network whose gate no class map goes with."""
    return tk.build("fan", image_shape=(32, 32, 1), eta=8, num_classes=8)


def fixed():
    """A network with one map for all images."""
    small = {"num_classes": 8, "mode": "l1", "backbone": "small_cnn"}
    return tk.build("global_attention", image_shape=(32, 32, 3), **small)


@pytest.mark.parametrize(
    ("build", "method"),
    [(network, "attention"), (network, "cam"), (both, "attention"), (fed_back, "attention"),
     (fed_back, "cam"), (fixed, "attention")],
)  # fmt: skip
def test_each_picture_passes_one_network_once(build, method, table, tmp_path, monkeypatch):
    run = described_run(tmp_path / "run", build(), table)
    for i in range(5):
        Image.fromarray(table.samples[i].image).save(tmp_path / f"{i}.png")
    model, networks, passed = tk.load(run.folder), [], []
    predict_on_batch = keras.Model.predict_on_batch

    def counting(network, images):
        networks.append(network)
        passed.append(len(images))
        return predict_on_batch(network, images)

    (viewer,) = viewing.open_viewers([run.folder], [tmp_path], method, None)
    with monkeypatch.context() as patched:
        patched.setattr(viewing, "BATCH_SIZE", 2)
        patched.setattr(keras.Model, "predict_on_batch", counting)
        looks = list(viewing.look(viewer, method, None))
    assert passed == [2, 2, 1] and all(one is networks[0] for one in networks), "built once"
    pixels = viewer.store.read(np.arange(5))[0] / np.float32(255)
    expected = tk.explain.attention_maps(model, pixels)
    if method == "cam":
        expected = {"": tk.explain.evidence_map(model, pixels)}
    elif build in (network, both):
        expected = tk.explain.localise(model, pixels).maps
    for row, (maps, _) in enumerate(looks):
        for values, wanted in zip(maps.values(), expected.values(), strict=True):
            np.testing.assert_allclose(values, wanted[row], atol=1e-4)
        assert method == "cam" or list(maps) == list(expected)


def test_a_converted_model_is_no_run_and_both_commands_say_how_it_is_asked(tmp_path, capsys):
    file, picture = tmp_path / "converted.keras", tmp_path / "a.png"
    checkpoint = parity.GOLDEN / "ag_sononet.pth"
    arguments = [checkpoint, "--arch", "ag_sononet", "--out", file, "--image-size", *SIZE]
    convert_command.main([str(argument) for argument in arguments])
    said = [capsys.readouterr().out]
    for main in (explain_command.main, predict.main):
        said.append(fails(main, [file, picture, "--out", tmp_path / "out.csv"], capsys))
        assert "a model file. Give the run folder" in said[-1]
    for one in said:
        assert "thyroid_keras.load(FILE)" in one and "thyroid_keras.explain.localise" in one
    pixels = keras.ops.convert_to_numpy(Whitening()(ramp(2, *SIZE, 1)))
    assert tk.explain.localise(tk.load(file), pixels).boxes.shape == (2, 4)
    assert "no such folder" in fails(
        predict.main, [tmp_path / "none.keras", picture, "--out", tmp_path / "out.csv"], capsys
    )


# ------------------------------------------------------------------ boxes that come with data


def write_manifest(root, *boxes):
    """A manifest of pictures of 40x30 pixels, with these cells as boxes."""
    with open(root / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "box"])
        for i, box in enumerate(boxes):
            noise = np.random.default_rng(i).integers(0, 255, (30, 40), dtype=np.uint8)
            Image.fromarray(noise).save(root / f"{i}.png")
            rows.writerow([f"{i}.png", "ab"[i % 2], box])
    return root


def test_a_manifest_may_hold_boxes(tmp_path):
    found = audit(write_manifest(tmp_path, "5 6 20 10", "", "0 0 40 30"), split=False).accept()
    assert [s.box for s in found.samples] == [(5, 6, 20, 10), None, (0, 0, 40, 30)]
    assert not any("ignored" in note for note in found.notes)
    boxes = true_boxes(PixelStore(found, (60, 20)))
    np.testing.assert_allclose(boxes[0], [2.5, 12, 10, 20])
    assert np.isnan(boxes[1]).all()


WRONG = ["5 6 20", "5,6,20,10", "a b c d", "-1 0 4 4", "1 1 0 5", "1.5 1 4 4", "1 1 9999999 2"]


def test_every_wrong_box_is_named_by_row_and_by_file(tmp_path):
    outside = ["30 6 11 10", "5 25 20 6"]
    root = write_manifest(tmp_path, "5 6 20 10", *WRONG, *outside)
    with pytest.raises(DataError) as caught:
        read_manifest(root)
    said = caught.value.problems
    assert len(said) == len(WRONG)
    for row, (cell, problem) in enumerate(zip(WRONG, said, strict=True), 3):
        assert f"row {row}: `box` must be" in problem and cell in problem
    found = audit(root, split=False).problems
    assert len(found) == len(WRONG) + 2
    for i, box in zip((8, 9), ((30, 6, 11, 10), (5, 25, 20, 6)), strict=True):
        assert any(f"{i}.png: the box" in p and f"Received: box={box}" in p for p in found)


def test_a_pack_keeps_boxes_at_its_size(tmp_path):
    table = read_manifest(write_manifest(tmp_path, "5 6 20 10", "", "0 0 40 30"))
    write_pack(tmp_path / "pack.npz", table, (60, 80))
    again = read_pack(tmp_path / "pack.npz")
    assert [s.box for s in again.samples] == [(10, 12, 40, 20), None, (0, 0, 80, 60)]


def test_a_mended_pack_of_odd_boxes_is_refused(tmp_path):
    table = read_manifest(write_manifest(tmp_path, "5 6 20 10", ""))
    write_pack(tmp_path / "pack.npz", table, (60, 80))
    with np.load(tmp_path / "pack.npz") as arrays:
        arrays = dict(arrays)
    for boxes in (np.zeros((2, 3), int), np.zeros((1, 4), int), np.full((2, 4), "x")):
        np.savez(tmp_path / "odd.npz", **arrays | {"box": boxes})
        with pytest.raises(DataError, match="odd.npz"):
            read_pack(tmp_path / "odd.npz")
