"""Maps drawn over images, and boxes around what they light."""

import numpy as np
import pytest

from thyroid_keras import explain


def spot(value=1.0, floor=0.0):
    attention = np.full((8, 10), floor)
    attention[2:4, 5:8] = value
    return attention


def test_box_holds_what_is_at_least_half_as_high_as_the_highest():
    assert explain.attention_box(spot(), (8, 10)) == [5, 2, 3, 2]
    assert explain.attention_box(spot(0.8, 0.7), (8, 10)) == [0, 0, 10, 8]
    left, top, width, height = explain.attention_box(spot(), (80, 100))
    assert abs(left - 50) <= 2 and abs(top - 20) <= 2
    assert abs(width - 30) <= 4 and abs(height - 20) <= 4


def test_no_box_where_the_map_is_the_same_everywhere():
    assert explain.attention_box(np.full((8, 10), 0.3), (80, 100)) is None


@pytest.mark.parametrize("colour", [False, True])
def test_overlay_colours_what_is_high_and_leaves_the_rest(colour):
    image = np.full((80, 100, 3) if colour else (80, 100), 90, np.uint8)
    drawn = explain.overlay(image, spot())
    assert drawn.shape == (80, 100, 3) and drawn.dtype == np.uint8
    assert (drawn[60:, :30] == 90).all()
    assert np.abs(drawn[28:32, 60:65].astype(int) - 90).max() > 50


def test_a_flat_map_leaves_the_image_as_it_is():
    image = np.arange(80 * 100, dtype=np.uint64).reshape(80, 100).astype(np.uint8)
    np.testing.assert_array_equal(explain.overlay(image, np.ones((4, 4)))[..., 1], image)


def test_maps_are_compared_in_panels():
    sheet = explain.compare_maps(
        np.zeros((50, 100), np.uint8), {f"gate{i}": spot() for i in range(5)}
    )
    assert sheet.shape[1] == 4 * 324 and sheet.shape[0] == 2 * (160 + 26)


def test_panels_are_as_wide_as_the_names_of_their_maps():
    narrow, names = np.zeros((360, 120), np.uint8), ("class map, malignant", "a")
    sheet = explain.compare_maps(narrow, dict.fromkeys(names, spot()))
    width, rest = divmod(sheet.shape[1], 3)
    assert rest == 0 and width > 320 // 3 + 4
    alone = explain.compare_maps(np.zeros((360, 360), np.uint8), dict.fromkeys(names, spot()))
    black = [(one[:18] == 0).all(axis=-1).sum() for one in (sheet, alone)]
    assert black[0] == black[1] > 0, "a name is cut"


def test_a_box_is_drawn_red_on_its_map_alone():
    sheet = explain.compare_maps(
        np.zeros((50, 100), np.uint8), {"a": spot(), "b": spot()}, boxes={"b": [10, 5, 50, 30]}
    )
    assert sheet.shape[1] == 3 * 324, "three panels in one row"
    red = (sheet == (240, 20, 47)).all(axis=-1)
    rows, columns = np.nonzero(red)
    left, top = 2 * 324 + 32, 22 + 16  # at 3.2 times the size, below the caption
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, [left, top, left + 160, top + 96], atol=1)
    assert not red[top + 5 : top + 90, left + 5 : left + 150].any(), "a frame, not a patch"
