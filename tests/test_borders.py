"""Borders: the sector and what is written over it, found, removed, split, and simulated."""

import json
import shutil
import weakref

import cv2
import numpy as np
import pytest
from check import check_arch, fails
from looking import finding
from PIL import Image
from tables import blobs, write_folder

import thyroid_keras as tk
from thyroid_keras import evaluate, export, predict, train
from thyroid_keras.borders import BorderRemover, border_remover, remove_borders
from thyroid_keras.borders import __main__ as borders_command
from thyroid_keras.borders.judging import judge_screen, summarise
from thyroid_keras.data import pictures
from thyroid_keras.data.audit.picture import inspect
from thyroid_keras.data.borders import (
    find_classical,
    find_sector,
    find_views,
    remove,
    remove_classical,
    split_views,
)
from thyroid_keras.data.borders.batches import ScreenBatches
from thyroid_keras.data.borders.removal import fill
from thyroid_keras.data.borders.screens import Screen, compose, insides
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.samples import Sample, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.loading import ModelError
from thyroid_keras.runs import read_csv
from thyroid_keras.serving.signatures import answer
from thyroid_keras.shortcuts import read_features

NETWORK = {"image_shape": (32, 48, 1), "stage_filters": (4, 5, 6)}
TINY = ["image_size=32,48", "stage_filters=4,5,6", "screens=16", "val_screens=8", "batch_size=8",
        "simulated_views=2", "phantom_patients=12", "epochs=1"]  # fmt: skip
SONONET = ["image_size=32,32", "filters=2", "stage_convs=1,1,1,1,1", "epochs=1", "batch_size=16"]


@pytest.fixture(scope="module")
def views():
    """Simulated ultrasound without any border."""
    return [s.image for s in phantom(8, views=1, target="malignancy", progress=False).samples]


@pytest.fixture(scope="module")
def screens(views):
    return [compose(views, np.random.default_rng([7, i])) for i in range(24)]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that finds borders, as a file."""
    path = tmp_path_factory.mktemp("network") / "borders.keras"
    finding().save(path)
    return path


def framed(view, box=(40, 20), size=(260, 320)):
    """A view on a black screen, and where it lies."""
    canvas, sector = np.zeros(size, np.uint8), np.zeros(size, bool)
    region = np.s_[box[1] : box[1] + view.shape[0], box[0] : box[0] + view.shape[1]]
    canvas[region], sector[region] = view, True
    return canvas, sector


def iou(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_the_classical_method_on_screens_whose_truth_is_known(screens):
    rows = [judge_screen(s, *find_classical(s.image)) for s in screens]
    mean = {name: np.nanmean([row[name] for row in rows]) for name in rows[0]}
    assert mean["sector_iou"] > 0.85 and mean["text_removed"] > 0.7 and mean["sector_lost"] < 0.08


def test_the_sector_is_found_to_the_pixel_beside_bars_and_text(views):
    image, sector = framed(views[0])
    image[20:150, 26:36] = np.linspace(255, 0, 130)[:, None].astype(np.uint8)
    cv2.putText(image, "TIRADS 4B", (40, 228), cv2.FONT_HERSHEY_PLAIN, 1, 255, 1)
    assert iou(find_sector(image), sector) > 0.97
    cleaned = remove_classical(image)
    assert not cleaned[~find_sector(image)].any()
    assert np.array_equal(cleaned[30:200, 50:220], image[30:200, 50:220])


def test_a_picture_that_is_all_sector_is_left_as_it_is(views):
    assert find_sector(views[2]).all() and find_sector(np.zeros((64, 64), np.uint8)).all()


def test_a_fan_is_found_as_a_fan(views):
    mask = cv2.fillConvexPoly(
        np.zeros((260, 320), np.uint8), np.array([(130, 5), (190, 5), (310, 250), (10, 250)]), 1
    )
    speckle = np.random.default_rng(0).integers(20, 120, mask.shape, dtype=np.uint8)
    found = find_sector(cv2.GaussianBlur(speckle, (5, 5), 0) * mask)
    assert iou(found, mask > 0) > 0.93 and not found[:60, :60].any()


@pytest.mark.parametrize("gap", [0, 6])
def test_double_views_are_told_from_single_ones(views, gap):
    pair = np.hstack([views[0], np.zeros((192, gap), np.uint8), views[1]])
    image, _ = framed(pair, box=(12, 20), size=(240, 420))
    (left, *_), (right, *_) = boxes = find_views(image)
    assert abs(left - 12) <= 2 and abs(right - (12 + 192 + gap)) <= 3
    assert abs(boxes[0][2] - 192) <= 3
    assert len(find_views(framed(views[0])[0])) == 1


def test_splitting_keeps_the_view_that_the_label_is_of(views):
    image, _ = framed(np.hstack(views[:2]), box=(12, 20), size=(240, 420))
    mask = np.zeros(image.shape, np.uint8)
    mask[80:100, 300:330] = 255
    known = {"image": image, "label": 0, "group": "p1"}
    samples = (
        Sample(name="marked", mask=mask, **known),
        Sample(name="boxed", box=(30, 60, 20, 20), **known),
        Sample(name="unmarked", **known),
        Sample(name="crop", roi=(0, 0, 60, 60), **known),
        Sample(name="single", **known | {"image": framed(views[2])[0]}),
    )
    table = split_views(SampleTable(name="t", samples=samples, class_names=("a", "b")), False)
    names = [sample.name for sample in table.samples]
    assert names == ["marked#right", "boxed#left", "unmarked#left", "unmarked#right", "crop",
                     "single"]  # fmt: skip
    assert {sample.group for sample in table.samples} == {"p1"}
    assert "split: 3" in table.notes[-1]


def test_what_is_larger_than_a_screen_is_searched_in_a_smaller_picture(views, monkeypatch):
    image, _ = framed(np.hstack(views[:2]), box=(12, 20), size=(240, 420))
    cv2.putText(image, "T I R A D S 4 C", (100, 234), cv2.FONT_HERSHEY_PLAIN, 1, 210, 1)
    twice = image.repeat(2, 0).repeat(2, 1)[:-1, :-1]
    one, large = (Sample(name="a", image=i, label=0, group="p") for i in (image, twice))
    monkeypatch.setattr(pictures, "MAX_SCREEN_PIXELS", image.size)
    table = SampleTable(name="t", samples=(one, large), class_names=("a", "b"))
    split = [np.array(sample.roi) for sample in split_views(table, False).samples]
    assert np.abs(2 * np.array(split[:2]) - split[2:]).max() <= 1 and len(split) == 4
    found = read_features(table, progress=False)
    for name in ("sector", "text", "border strip", "outside the sector"):
        np.testing.assert_allclose(*found[name], rtol=0.02, atol=1)
    assert inspect(one)[0].characters == inspect(large)[0].characters == 8
    assert inspect(large)[0].size == (839, 479)


def test_calipers_go_whether_coloured_or_white_and_blood_flow_stays(views):
    image = np.repeat(views[3][..., None], 3, axis=2)
    image[60:71, 90], image[65, 85:96] = (0, 200, 220), (0, 200, 220)
    cv2.putText(image, "DIST", (110, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    drawn = (image != views[3][..., None]).any(2)
    overlay = find_classical(image)[1]
    assert overlay[drawn].mean() > 0.95 and overlay[~drawn].mean() < 0.02
    doppler = image.copy()
    doppler[40:120, 40:120, 0] = 255
    assert not find_classical(doppler)[1][45:115, 45:80].any()


def test_removal_blackens_outside_and_fills_inside(views):
    sector, text = np.ones(views[0].shape, bool), np.zeros(views[0].shape, bool)
    sector[:20], text[100:110, 50:60] = False, True
    image = np.where(text, np.uint8(255), views[0])
    for picture in (image, np.repeat(image[..., None], 3, axis=2)):
        found = remove(picture, sector, text)
        assert found.shape == picture.shape and found.dtype == np.uint8
        assert not found[:20].any()
        assert 0 < found[100:110, 50:60].mean() < 200
        apart = ~text & sector
        assert np.array_equal(found[apart], picture[apart])


def test_a_hole_is_filled_layer_by_layer_from_what_is_known():
    rng = np.random.default_rng(0)
    for trial in range(20):
        image = rng.integers(0, 256, (14, 17, 3), np.uint8)
        hole = rng.random((14, 17)) < 0.6
        known = ~hole & (rng.random((14, 17)) < 0.3)
        if trial == 0:
            hole[:], known[:] = True, False  # nothing to fill from
        found = fill(image, known, hole)
        assert np.array_equal(found, filled_by_hand(image, known, hole))
        assert np.array_equal(fill(image[..., 0], known, hole), found[..., 0])


def filled_by_hand(image, known, hole):
    """`fill`, pixel by pixel as its docstring says."""
    out, first, known = np.where(known[..., None], image, 0).astype(int), known, known.copy()

    def window(values, y, x, reach):
        return values[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]

    while layer := [
        at for at in zip(*np.nonzero(hole & ~known), strict=True) if window(known, *at, 1).any()
    ]:
        means = [window(out, *at, 3)[window(known, *at, 3)].mean(0) for at in layer]
        for at, mean in zip(layer, means, strict=True):
            out[at], known[at] = np.floor(mean + 0.5), True
    if first.any():
        out[hole & ~known] = np.floor(image[first].mean(0) + 0.5)
    return out


def test_screens_tell_the_truth_about_themselves(views, screens):
    bright = [np.full((100, 100), 200, np.uint8)]
    assert all(s.image.shape == s.sector.shape == s.text.shape == (360, 560) for s in screens)
    wholes = [compose(bright, np.random.default_rng([1, i]), size=(64, 80)) for i in range(60)]
    assert 0 < sum(screen.sector.all() for screen in wholes) < 20
    for i in range(8):
        screen = compose(bright, np.random.default_rng(i), size=(180, 280))
        tissue = screen.sector & ~cv2.dilate(screen.text.astype(np.uint8), np.ones((9, 9))) > 0
        assert np.median(screen.image[tissue]) > 40
        rest = ~screen.sector & ~screen.text
        assert not rest.any() or np.median(screen.image[rest]) < 50
        assert screen.text.any()
        again = compose(bright, np.random.default_rng(i), size=(180, 280))
        assert np.array_equal(again.image, screen.image)


def test_insides_hold_no_border(views):
    image, _ = framed(np.hstack(views[:2]), box=(12, 20), size=(240, 420))
    found = insides(Sample(name="x", image=image, label=0, group="g"))
    assert len(found) == 2
    assert all(min(view[:, 0].mean(), view[:, -1].mean(), view[0].mean()) > 5 for view in found)
    (whole,) = insides(Sample(name="x", image=views[2], label=0, group="g"))
    assert np.array_equal(whole, views[2])


def test_batches_of_screens_are_the_same_after_a_restart(views):
    options = {"count": 6, "batch_size": 4, "seed": (1, 2)}
    one, other = (ScreenBatches(views, (32, 48), 3, **options) for _ in range(2))
    images, masks = one.batch(3, 1)
    assert images.shape == (2, 32, 48, 3) and 0 <= images.min() and images.max() <= 1
    assert masks["sector"].shape == masks["text"].shape == (2, 32, 48, 1)
    assert np.array_equal(other.batch(3, 1)[0], images)
    assert not np.array_equal(other.batch(4, 1)[0], images)
    fixed = ScreenBatches(views, (32, 48), 3, fixed=True, **options)
    assert np.array_equal(fixed.batch(4, 1)[0], fixed.batch(0, 1)[0])


def test_figures_of_a_screen_by_hand():
    sector, text = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    sector[5:15, 5:15], text[0, :4], text[8, 8] = True, True, True
    screen = Screen(image=np.zeros((20, 20), np.uint8), sector=sector, text=text)
    right = judge_screen(screen, sector, text)
    assert right == {"sector_iou": 1, "text_removed": 1, "text_in_sector_removed": 1,
                     "sector_lost": 0}  # fmt: skip
    wide = judge_screen(screen, sector, cv2.dilate(text.astype(np.uint8), np.ones((3, 3))) > 0)
    assert wide["sector_lost"] == pytest.approx(8 / 99)
    everything = judge_screen(screen, np.ones_like(sector), np.zeros_like(text))
    assert everything == {"sector_iou": 0.25, "text_removed": 0, "text_in_sector_removed": 0,
                          "sector_lost": 0}  # fmt: skip
    blind = judge_screen(screen, sector, np.zeros_like(text))
    assert (blind["text_removed"], blind["text_in_sector_removed"]) == (0.8, 0)
    rows = [right | {"group": "a"}, everything | {"group": "b", "text_removed": np.nan}]
    found = summarise(rows)
    assert found["sector_iou"]["value"] == 0.625 and found["text_removed"]["value"] == 1


def test_the_network_keeps_the_contract(tmp_path):
    check_arch(lambda: tk.build("border_unet", **NETWORK), tmp_path)
    model = tk.build("border_unet")
    assert model.count_params() == 216_186
    assert {k: v.shape for k, v in model.output.items()} == dict.fromkeys(
        ("sector", "text"), (None, 256, 352, 1)
    )
    for wrong in ({"image_shape": (36, 48, 1)}, {"stage_filters": (4,)}):
        with pytest.raises(ValueError, match="Received"):
            tk.build("border_unet", **NETWORK | wrong)


def test_a_network_that_knows_removes_what_it_finds(views):
    picture = np.full((128, 160), 5, np.uint8)
    picture[20:100, 30:130] = 120
    picture[114:122, 146:154] = 120  # a speck
    picture[50:60, 60:70] = 255
    found = BorderRemover(finding())(picture)
    assert not any(part.any() for part in (found[:16], found[:, :26], found[104:]))
    assert (found[30:45, 40:120] == 120).all() and found[45:65, 55:75].max() < 140


def test_a_network_of_grey_levels_leaves_no_colours(views):
    picture = np.repeat(views[0][..., None], 3, axis=2)
    picture[60:71, 90] = (0, 200, 220)
    found = BorderRemover(finding())(picture)
    assert np.ptp(found[60:71, 90], axis=-1).max() < 20


def test_what_removes_borders_is_named_or_refused(network, tmp_path):
    assert border_remover("none") is None and border_remover("classical") is remove_classical
    assert isinstance(border_remover(str(network)), BorderRemover)
    other = tmp_path / "other.keras"
    tk.build("ds_agnet", image_shape=(32, 32, 1), stage_filters=(2, 3, 4, 5, 6)).save(other)
    for wrong, said in ((tmp_path / "no.keras", "no such file"), (other, "finds no borders")):
        with pytest.raises(ModelError, match=said):
            border_remover(str(wrong))


def test_pictures_are_cleaned_before_they_are_cropped_and_resized(views):
    picture = np.repeat(views[0][..., None], 3, axis=2)
    picture[60:71, 90] = (0, 200, 220)
    seen = []

    def clean(image):
        seen.append(image.copy())
        return np.where(np.arange(192)[:, None, None] < 96, image, np.uint8(0))

    sample = Sample(name="a", image=picture, label=0, group="g", roi=(0, 48, 96, 96))
    table = SampleTable(name="t", samples=(sample,), class_names=("a", "b"), clean=clean)
    images, _ = PixelStore(table, (32, 32)).read([0])
    assert np.array_equal(seen[0], picture), "with its colours, and whole"
    assert images[0, :16].min() > 0 and not images[0, 16:].any()


def test_training_leaves_a_run_that_the_command_takes(views, tmp_path, capsys):
    run = tmp_path / "run"
    train.main(["--arch", "border_unet", "--out", str(run), "--set", *TINY])
    metrics = json.loads((run / "metrics.json").read_text())
    for found in (metrics, metrics["classical"]):
        assert all(0 <= found[n]["value"] <= 1 for n in ("sector_iou", "text_removed"))
    assert metrics["classical"]["sector_iou"]["value"] > metrics["sector_iou"]["value"] + 0.1
    assert len(read_csv(run / "predictions.csv")) == metrics["n"]
    page = (run / "report.html").read_text()
    assert "IoU of the sector" in page and "find the ultrasound sector" in page
    assert (run / "plots" / "before_and_after.png").stat().st_size > 10_000
    evaluate.main([str(run)])
    assert json.loads((run / "metrics.json").read_text()) == metrics
    picture, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(framed(views[0])[0]).save(picture)
    borders_command.main([str(picture), "--out", str(out), "--method", str(run)])
    assert np.asarray(Image.open(out / "0001_a.png")).shape == (260, 320)
    assert "python -m thyroid_keras.borders" in fails(predict.main, [run, picture], capsys)


def test_the_command_writes_before_and_after(views, tmp_path, capsys):
    pair, _ = framed(np.hstack(views[:2]), box=(12, 20), size=(240, 420))
    Image.fromarray(pair).save(tmp_path / "pair.png")
    out = tmp_path / "out"
    borders_command.main([str(tmp_path / "pair.png"), "--out", str(out), "--views", "split"])
    assert sorted(p.name for p in out.iterdir()) == [
        "0001_pair_before_after.png", "0001_pair_left.png", "0001_pair_right.png",
    ]  # fmt: skip
    assert np.asarray(Image.open(out / "0001_pair_before_after.png")).shape[1] > 2 * 420
    (tmp_path / "bad.png").write_bytes(b"")
    said = fails(borders_command.main, [tmp_path / "bad.png", "--out", out], capsys)
    assert "is empty" in said
    said = fails(borders_command.main, ["a.png", "b.png", "--out", out], capsys)
    assert "a.png: no such" in said and "b.png: no such" in said
    (tmp_path / "a\x1b]0;owned\x07\x1b[2Jb.png").write_bytes(b"")
    for images in (tmp_path, tmp_path / "\x1b[2J.png"):
        said = fails(borders_command.main, [images, "--out", out], capsys)
        assert "\\x1b[2J" in said and "\x1b" not in said and "\x07" not in said


def test_the_command_holds_one_picture_at_a_time(tmp_path, monkeypatch):
    held, most = weakref.WeakValueDictionary(), []

    def decode(path, channels):
        picture = np.zeros((40, 60), np.uint8)
        held[len(most)] = picture
        most.append(len(held))
        return picture

    monkeypatch.setattr("thyroid_keras.borders.pictures.decode", decode)
    for i in range(6):
        (tmp_path / f"{i}.png").touch()
    remove_borders([str(tmp_path)], out=tmp_path / "out", say=lambda line: None)
    assert len(most) == 12 and max(most) <= 2


@pytest.mark.slow
def test_a_run_reads_every_picture_without_borders(network, tmp_path, capsys):
    """The same in training, evaluation and prediction, by a network kept in the run."""
    data = write_folder(blobs(48), tmp_path / "data")
    own = shutil.copy(network, tmp_path / "own.keras")
    run = tmp_path / "run"
    command = ["--arch", "sononet", "--data", str(data), "--out", str(run)]
    train.main([*command, "--set", *SONONET, f"borders={own}"])
    (tmp_path / "own.keras").unlink()
    metrics = json.loads((run / "metrics.json").read_text())
    evaluate.main([str(run)])
    assert json.loads((run / "metrics.json").read_text()) == metrics
    kept = run / "borders.keras"
    assert kept.read_bytes() == network.read_bytes()
    rows = read_csv(run / "predictions.csv")[:3]
    out = tmp_path / "p.csv"
    predict.main([str(run), *(str(data / row["image"]) for row in rows), "--out", str(out)])
    for found, row in zip(read_csv(out), rows, strict=True):
        said, known = (float(r["p_calcification"]) for r in (found, row))
        assert said == pytest.approx(known, abs=1e-5)
    assert {"largest", "features"} < set(metrics["shortcuts"])
    assert "outside the sector" in (run / "report.html").read_text()
    export.main([str(run), "--to", str(tmp_path / "served" / "sononet")])
    asked = [(data / row["image"]).read_bytes() for row in rows]
    served = answer(tmp_path / "served" / "sononet" / "1", asked)["probabilities"][:, 0]
    assert served == pytest.approx([float(row["p_calcification"]) for row in rows], abs=1e-5)
    card = (tmp_path / "served" / "sononet" / "1" / "README.md").read_text()
    assert "borders are removed" in card
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["borders"] = "classical"  # as if it had been trained so
    (run / "config.json").write_text(json.dumps(config))
    predict.main([str(run), *(str(data / row["image"]) for row in rows), "--out", str(out)])
    export.main([str(run), "--to", str(tmp_path / "served" / "sononet")])
    served = answer(tmp_path / "served" / "sononet" / "2", asked)["probabilities"][:, 0]
    said = [float(row["p_calcification"]) for row in read_csv(out)]
    assert served == pytest.approx(said, abs=1e-5)
    on_phones = [run, "--format", "litert", "--to", tmp_path / "x"]
    assert "borders=" in fails(export.main, on_phones, capsys)
    missing = ["--arch", "ds_agnet", "--set", "borders=nowhere.keras"]
    assert "nowhere.keras: no such file" in fails(train.main, missing, capsys)


def test_a_run_may_split_views(views, tmp_path):
    from thyroid_keras.preparation import read_table
    from thyroid_keras.recipes import RECIPES
    from thyroid_keras.training import override

    for i in range(2):
        folder = tmp_path / "data" / f"class{i}"
        folder.mkdir(parents=True)
        pair, _ = framed(np.hstack(views[i : i + 2]), box=(12, 20), size=(240, 420))
        Image.fromarray(pair).save(folder / f"{i}.png")
    source = {"path": str(tmp_path / "data"), "format": None, "target": None, "seed": 0}
    recipe = override(RECIPES["fan"]["quick"], ["views=split", "borders=classical"])
    table = read_table(source, recipe)
    assert len(table) == 4 and table.clean is remove_classical
    assert [s.name.rpartition("#")[2] for s in table.samples] == ["left", "right"] * 2
