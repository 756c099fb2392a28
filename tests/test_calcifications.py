"""Number, area, shape and place of calcifications, by hand and on the phantom."""

import dataclasses

import cv2
import numpy as np
import pytest

from thyroid_keras.calcifications import Survey, measure, rows_of, survey, with_numbers
from thyroid_keras.calcifications.survey import figures_of_calcifications
from thyroid_keras.data.pack import read_pack, write_pack
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.store import PixelStore
from thyroid_keras.prediction import Batch


def test_parts_are_counted_measured_and_put_in_order():
    mask = np.zeros((40, 60), bool)
    mask[10, 10:16] = True  # a line of six
    mask[20:24, 30:34] = True  # a square of sixteen
    mask[24, 34] = True  # touches it by a corner
    parts = measure(mask)
    assert [p["number"] for p in parts] == [1, 2]
    assert [p["area_px"] for p in parts] == [17, 6]
    line = parts[1]
    assert line["area_share"] == 6 / 2400
    assert (line["x_px"], line["y_px"]) == (13, 10.5)
    # a rectangle's second moments: side ** 2 / 12
    assert line["major_px"] == pytest.approx(4 * 6 / 12**0.5)
    assert line["minor_px"] == pytest.approx(4 / 12**0.5)
    assert line["elongation"] == pytest.approx(6) and line["angle_deg"] == pytest.approx(0)
    assert line["margin_px"] == 10.5, "from the centre of row 10 to the picture's rim"
    assert measure(np.zeros((4, 4), bool)) == []


def test_the_angle_rises_to_the_right():
    mask = np.zeros((30, 30), bool)
    for i in range(10):
        mask[20 - i, 5 + i] = True
    assert measure(mask)[0]["angle_deg"] == pytest.approx(45)
    assert measure(mask[:, ::-1])[0]["angle_deg"] == pytest.approx(135)


def test_an_ellipse_has_its_own_axes_in_px_and_mm():
    canvas = cv2.ellipse(np.zeros((200, 200), np.uint8), (100, 90), (60, 20), 30, 0, 360, 255, -1)
    (part,) = measure(canvas > 0)
    assert part["major_px"] == pytest.approx(120, rel=0.02)
    assert part["minor_px"] == pytest.approx(40, rel=0.03)
    assert part["angle_deg"] == pytest.approx(150, abs=0.5)  # cv2 turns clockwise
    (part,) = measure(canvas > 0, spacing_mm=(0.1, 0.1))
    assert part["major_mm"] == pytest.approx(part["major_px"] / 10)
    assert part["area_mm2"] == pytest.approx(part["area_px"] / 100)
    assert part["margin_mm"] == pytest.approx(part["margin_px"] / 10)
    flat = canvas[::2] > 0  # half the rows, of twice the height
    (half,) = measure(flat, spacing_mm=(0.2, 0.1))
    assert half["major_mm"] == pytest.approx(part["major_mm"], rel=0.02)


def test_only_what_lies_in_the_nodule_counts_and_its_margin_is_the_measure():
    nodule = np.zeros((60, 60), bool)
    nodule[10:50, 10:50] = True
    mask = np.zeros((60, 60), bool)
    mask[2:5, 2:5] = True  # outside
    mask[29:31, 29:31] = True  # the middle
    mask[10, 30] = True  # at the margin
    middle, rim = measure(mask, nodule=nodule)
    assert middle["area_share"] == 4 / 1600
    assert middle["place"] == 0 and rim["place"] == pytest.approx(1 - 0.5 / middle["margin_px"])
    assert rim["margin_px"] == 0.5


def a_batch(table, size, move=0):
    """The true masks as predicted ones, moved."""
    store = PixelStore(table, size)
    indices = np.arange(len(table))
    truth = store.read(indices)[1][..., 0] >= 128
    masks = np.roll(truth, move, axis=2).astype(np.float32)
    fields = {"probabilities": None, "spread": None, "true_masks": truth}
    return Batch(indices=indices, masks=masks, **fields), store


@pytest.fixture(scope="module")
def table():
    return phantom(6, views=2, progress=False)


def test_the_truth_has_no_error_and_the_phantom_its_millimetres(table):
    batch, store = a_batch(table, (96, 96))
    surveys = survey(batch, store, 0.5)
    found = figures_of_calcifications(surveys, table.groups, 0)
    assert found["n"] == 12 and found["given"] == (table.labels == 1).sum() == 6
    for name in ("number_error", "number_off", "area_error", "false"):
        assert found[name]["value"] == 0
    assert found["found"]["value"] == 1 and found["found"]["n"] == 6
    assert found["number"]["value"] == found["true_number"]["value"] > 0.5
    rows = rows_of(surveys, table)
    assert len(rows) == found["number"]["value"] * 12
    sample = next(s for s in table.samples if s.name == rows[0]["image"])
    spacing = 2 * sample.spacing_mm[0]  # 192 px shown at 96
    assert rows[0]["area_mm2"] == pytest.approx(rows[0]["area_px"] * spacing**2)
    assert 0.02 < sample.spacing_mm[0] < 0.2, "a nodule of one to three centimetres"
    assert 0 <= min(r["place"] for r in rows) and max(r["place"] for r in rows) <= 1


def test_a_pack_keeps_the_nodule_and_its_millimetres(table, tmp_path):
    first = dataclasses.replace(table.samples[0], nodule=None, spacing_mm=None)
    table = dataclasses.replace(table, samples=(first, *table.samples[1:]))
    write_pack(tmp_path / "pack.npz", table, (48, 96))
    packed = read_pack(tmp_path / "pack.npz")
    assert packed.samples[0].nodule is packed.samples[0].spacing_mm is None
    rows = [rows_of(survey(*a_batch(t, (48, 96)), 0.5), t) for t in (table, packed)]
    assert rows[0] == rows[1] and any("area_mm2" in row for row in rows[0])


def test_a_mended_pack_of_odd_spacings_is_refused(table, tmp_path):
    write_pack(tmp_path / "pack.npz", table, (48, 96))
    with np.load(tmp_path / "pack.npz") as arrays:
        arrays = dict(arrays)
    for spacing in (np.ones((12, 3)), np.ones((2, 2)), np.zeros((12, 2)), np.full((12, 2), "x")):
        np.savez(tmp_path / "odd.npz", **arrays | {"spacing_mm": spacing})
        with pytest.raises(DataError, match="spacing_mm"):
            read_pack(tmp_path / "odd.npz")


def test_parts_beside_the_true_ones_are_false_and_those_not_found(table):
    batch, store = a_batch(table, (96, 96), move=30)
    still, _ = a_batch(table, (96, 96))
    found = [
        figures_of_calcifications(survey(b, store, 0.5), table.groups, 0) for b in (batch, still)
    ]
    assert found[0]["found"]["value"] < 0.5 < found[1]["found"]["value"]
    assert found[0]["false"]["value"] > 0.4


def test_numbers_stand_beside_the_answers():
    parts = [{"number": 1}]
    surveys = [Survey(index=0, parts=parts), Survey(index=1, parts=[], true_parts=parts)]
    rows = with_numbers([{"image": "a"}, {"image": "b"}], surveys)
    assert rows == [
        {"image": "a", "calcifications": 1},
        {"image": "b", "calcifications": 0, "true_calcifications": 1},
    ]
    assert with_numbers([{"image": "a"}], []) == [{"image": "a"}]
