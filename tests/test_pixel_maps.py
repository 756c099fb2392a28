"""What is known of pixels beforehand, and how a map's weight lies in a region."""

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.pixel_maps import read_prior, read_region
from thyroid_keras.data.samples import DataError
from thyroid_keras.global_map import _without, weigh
from thyroid_keras.recipes.cut_off import fault
from thyroid_keras.report.global_map import draw_global_map, global_map
from thyroid_keras.runs import Run


def test_a_picture_is_a_prior_of_probabilities(tmp_path):
    grey = np.array([[0, 51], [204, 255]], np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(grey).save(tmp_path / "prior.png")
    logits = read_prior(str(tmp_path / "prior.png"), (4, 4))
    assert logits.dtype == np.float32
    share = 1 / (1 + np.exp(-logits[::2, ::2]))
    np.testing.assert_allclose(share, [[0.01, 0.2], [0.8, 0.99]], atol=1e-6)


def test_an_array_is_a_prior_of_logits(tmp_path):
    path = str(tmp_path / "prior.npy")
    np.save(path, np.array([[-2.0, 2.0], [-2.0, 2.0]]))
    np.testing.assert_allclose(read_prior(path, (4, 4))[:, [0, 3]], [[-2, 2]] * 4)
    for wrong in (np.zeros(4), np.full((2, 2), np.nan), np.array([["a"]])):
        np.save(path, wrong)
        with pytest.raises(DataError, match="prior.npy: must hold finite numbers.*Received: shape"):
            read_prior(path, (4, 4))
    np.savez(tmp_path / "several.npz", np.zeros((2, 2)))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(DataError, match="several.npy: is an archive"):
        read_prior(str(tmp_path / "several.npy"), (4, 4))
    (tmp_path / "empty.npy").touch()
    with pytest.raises(DataError, match="empty.npy: cannot be read"):
        read_prior(str(tmp_path / "empty.npy"), (4, 4))
    (tmp_path / "prior.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="cannot be read"):
        read_prior(path, (4, 4))
    with pytest.raises(ImageError, match="no such file"):
        read_prior(str(tmp_path / "none.png"), (4, 4))


def test_a_prior_is_as_large_as_its_file_and_not_as_its_header_says(tmp_path):
    path = tmp_path / "prior.npy"
    np.save(path, np.zeros((2, 3)))
    honest, lying = b"(2, 3), }              ", b"(10000000, 1000000), } "
    path.write_bytes(path.read_bytes().replace(honest, lying))
    with pytest.raises(DataError, match="prior.npy: cannot be read"):
        read_prior(str(path), (4, 4))
    data = bytearray(path.read_bytes())
    data[10:128] = b"{" * 118  # no header at all
    path.write_bytes(data)
    with pytest.raises(DataError, match="prior.npy: cannot be read"):
        read_prior(str(path), (4, 4))


def test_a_prior_may_be_stored_by_column(tmp_path):
    np.save(tmp_path / "prior.npy", np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(read_prior(str(tmp_path / "prior.npy"), (2, 2)), [[1, 2], [3, 4]])


def test_a_region_is_a_mask_or_an_ellipse(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 4:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(
        read_region(str(tmp_path / "mask.png"), (4, 4)), mask[::2, ::2] > 0
    )
    inside = read_region("0.25,0.5,0.25,0.5", (40, 80))
    rows, columns = np.nonzero(inside)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 29, 10, 29)
    assert inside.sum() == pytest.approx(np.pi / 4 * 20 * 20, rel=0.02)
    for wrong in ("0.5,0.5", "nowhere.png", "0.5,0.5,9,9", "2,2,0.1,0.1"):
        with pytest.raises(DataError, match=wrong):
            read_region(wrong, (8, 8))


def test_what_a_map_weighs_inside_and_outside():
    region = np.zeros((4, 4), bool)
    region[:2] = True
    found = weigh(np.where(region, 0.6, 0.2), region)
    assert found == {"inside": 0.6, "outside": 0.2, "ratio": pytest.approx(3.0), "rank": 1.0}
    assert weigh(np.full((4, 4), 0.3), region)["rank"] == 0.5
    assert weigh(np.where(region, 0.6, 0), region)["ratio"] is None


def test_the_prior_is_no_part_of_what_was_learned():
    learned, prior = np.array([[0.2, 0.7]]), np.array([[3.0, -1.0]])
    applied = 1 / (1 + np.exp(-(np.log(learned / (1 - learned)) + prior)))
    np.testing.assert_allclose(_without(applied, prior), learned, atol=1e-9)


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [(0, 0.009, "blanks"), (0.009, 0.011, "even"), (0.86, 1, "even"), (0.49, 1, ""), (0, 0.02, "")],
)
def test_a_map_that_chooses_no_pixels_is_said_to(least, most, said):
    found = fault(np.linspace(least, most, 9).reshape(3, 3))
    assert said in found and bool(said) == bool(found)


def test_maps_are_drawn_dark_where_high_each_in_its_own_range(tmp_path):
    ramp = np.linspace(0.4, 0.6, 64).reshape(8, 8)
    region = np.zeros((8, 8), bool)
    region[2:5, 2:5] = True
    weights = {"inside": 0.5, "outside": 0.25, "ratio": 2.0, "rank": 0.75}
    found = {"least": 0.4, "most": 0.6, "mean": 0.5, "before": weights, "after": weights}
    maps = {"before": np.ones((8, 8)), "after": ramp}
    figure = draw_global_map(maps, region, np.full((8, 8, 3), 0.5), found)
    before, after, *_ = figure.axes
    assert [ax.get_title() for ax in figure.axes][:2] == ["before learning", "after learning"]
    assert after.images[0].get_clim() == (0.4, 0.6) and after.images[0].cmap.name == "gray_r"
    assert after.get_xlabel() == "0.400 (white) to 0.600 (black)\ninside / outside 2.00"
    nowhere = found | {"after": weights | {"ratio": 0.0}}
    said = draw_global_map(maps, region, np.full((8, 8, 3), 0.5), nowhere).axes[1].get_xlabel()
    assert said.endswith("inside / outside 0.00")
    text = global_map(Run(tmp_path), {"global_map": found | {"region": {"source": "given: x"}}})
    assert "2.00" in text and "given: x" in text and "0.75" in text
    assert global_map(Run(tmp_path), {}) == ""
