"""Augmentation: geometry by hand, image and mask in step, the goldens of TensorFlow Addons."""

import numpy as np
import pytest
from check import ramp
from scipy import ndimage

from thyroid_keras.data.augment import (
    AG_SONONET_AUTHORS,
    Augmentation,
    affine_matrices,
    augment,
)
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.recipes.feeding import augmentation_of

AG_SONONET = augmentation_of(choose_recipe("ag_sononet", "paper", ()))


def batch(count=4, height=48, width=64):
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((count, height, width)), (0, 2, 2))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return np.rint(smooth).astype(np.uint8)[..., None]


def test_no_augmentation_only_scales():
    images = batch()
    masks = np.where(images > 128, 255, 0).astype(np.uint8)
    pixels, truth = augment(images, masks, None, None)
    np.testing.assert_allclose(pixels, images / 255, atol=1e-7)
    np.testing.assert_array_equal(truth, images > 128)
    assert pixels.dtype == truth.dtype == np.float32


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"flip_horizontal": 1.0}, lambda x: x[:, :, ::-1]),
        ({"flip_vertical": 1.0}, lambda x: x[:, ::-1]),
        ({"flip_horizontal": 1.0, "flip_vertical": 1.0}, lambda x: x[:, ::-1, ::-1]),
    ],
)
def test_flips_are_exact(setting, expected):
    images = batch()
    pixels, _ = augment(images, None, Augmentation(**setting), np.random.default_rng(0))
    np.testing.assert_allclose(pixels, expected(images) / 255, atol=1e-6)


def test_image_and_mask_move_together():
    images = np.where(batch(16) > 128, 255, 0).astype(np.uint8)
    strong = Augmentation(
        flip_horizontal=0.5, flip_vertical=0.5, rotation_deg=40, shift=0.2, zoom=(0.7, 1.4)
    )
    pixels, masks = augment(images, images, strong, np.random.default_rng(3))
    assert (masks != (images > 128)).mean() > 0.1, "nothing moved"
    np.testing.assert_array_equal(masks, pixels >= 0.5)


def test_the_map_is_the_one_drawn():
    images, setting = batch(6), Augmentation(rotation_deg=30, shift=0.1, zoom=(0.8, 1.2))
    pixels, _ = augment(images, None, setting, np.random.default_rng(5))
    matrices = affine_matrices(setting, 6, (48, 64), np.random.default_rng(5))
    for image, matrix, pixel in zip(images[..., 0], matrices, pixels[..., 0], strict=True):
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        flipped = inverse[::-1][:, [1, 0, 2]]  # rows and columns instead of x and y
        expected = ndimage.affine_transform(
            image / 255, flipped[:, :2], flipped[:, 2], order=1, mode="nearest"
        )
        np.testing.assert_allclose(pixel, expected, atol=1e-3)


def test_zoom_and_rotation_mean_what_they_say():
    matrices = affine_matrices(Augmentation(zoom=(2.0, 2.0)), 1, (48, 64), np.random.default_rng(0))
    np.testing.assert_allclose(matrices[0, :, :2], 2 * np.eye(2))
    centre = np.array([31.5, 23.5, 1])
    np.testing.assert_allclose(matrices[0] @ centre, centre[:2])
    angles = affine_matrices(
        Augmentation(rotation_deg=25), 500, (48, 64), np.random.default_rng(0)
    )[:, 0, 1]
    degrees = np.rad2deg(np.arcsin(angles))
    assert 24 < degrees.max() <= 25 and -25 <= degrees.min() < -24


def test_anisotropic_zoom_is_an_option():
    drawn = []
    for free in (False, True):
        setting = Augmentation(zoom=(0.5, 2.0), anisotropic_zoom=free)
        drawn.append(affine_matrices(setting, 8, (32, 32), np.random.default_rng(0)))
    assert np.allclose(drawn[0][:, 0, 0], drawn[0][:, 1, 1])
    assert not np.allclose(drawn[1][:, 0, 0], drawn[1][:, 1, 1])


def test_the_paper_of_ag_sononet_in_its_own_words():
    matrices = affine_matrices(AG_SONONET, 4000, (208, 272), np.random.default_rng(0))
    linear = matrices[:, :, :2]
    zoom = np.sqrt(np.abs(np.linalg.det(linear)))
    assert 0.7 <= zoom.min() < 0.71 and 1.29 < zoom.max() <= 1.3
    # one zoom for both axes: what is left is a rotation, mirrored or not
    rotation = linear / zoom[:, None, None]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), [np.eye(2)] * 4000, atol=1e-9
    )
    angle = np.rad2deg(np.arcsin(rotation[:, 0, 1]))
    assert 24.9 < np.abs(angle).max() <= 25
    mirrored = np.linalg.det(linear) < 0
    assert 0.45 < mirrored.mean() < 0.55
    centre = np.array([135.5, 103.5])
    shift = matrices @ [*centre, 1] - centre
    assert (3.98 < np.abs(shift).max(0)).all() and np.abs(shift).max() <= 4


def test_the_authors_code_maps_output_to_input():
    """Their matrix takes output to input: rotation times translation times zoom."""
    size, count = (208, 272), 2000
    matrices = affine_matrices(AG_SONONET_AUTHORS, count, size, np.random.default_rng(1))
    back = np.linalg.inv(np.concatenate([matrices, [[[0, 0, 1]]] * count], axis=1))
    centre = np.array([[1, 0, 135.5], [0, 1, 103.5], [0, 0, 1]])
    around = np.linalg.inv(centre) @ back @ centre
    linear = around[:, :2, :2]
    zoom = np.linalg.norm(linear, axis=1)  # of columns: it acts on the output's own axes
    assert (0.7 <= zoom.min(0)).all() and (zoom.min(0) < 0.71).all()
    assert (1.29 < zoom.max(0)).all() and (zoom.max(0) <= 1.3).all()
    assert np.abs(np.corrcoef(zoom.T)[0, 1]) < 0.1
    turned = linear / zoom[:, None, :]
    np.testing.assert_allclose(turned.transpose(0, 2, 1) @ turned, [np.eye(2)] * count, atol=1e-9)
    shift = np.abs(np.linalg.inv(turned) @ around[:, :2, 2:])[..., 0]
    for axis, side in enumerate((272, 208)):
        assert 0.099 * side < shift[:, axis].max() <= 0.1 * side
    assert np.rad2deg(np.arccos(np.abs(turned[:, 0, 0]))).max() <= 15


def test_sonography_fits_frames_that_are_not_square():
    images, setting = batch(6, 52, 68), AG_SONONET
    pixels, masks = augment(images, images, setting, np.random.default_rng(5))
    matrices = affine_matrices(setting, 6, (52, 68), np.random.default_rng(5))
    rows, columns = np.mgrid[:52, :68]
    for image, matrix, pixel in zip(images[..., 0], matrices, pixels[..., 0], strict=True):
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        x, y, _ = inverse @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
        # outside the picture its nearest pixel
        expected = ndimage.map_coordinates(image / 255, [y, x], order=1, mode="nearest")
        np.testing.assert_allclose(pixel.ravel(), expected, atol=1e-3)
    np.testing.assert_array_equal(masks, pixels * 255 >= 127.5)


def test_equal_generators_give_equal_batches():
    setting = Augmentation(rotation_deg=30, gain=0.2, noise=0.05)
    first, second, other = (
        augment(batch(), None, setting, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_noise_leaves_grey_grey():
    images = np.full((2, 32, 32, 3), 128, np.uint8)
    noisy, _ = augment(images, None, Augmentation(noise=0.05), np.random.default_rng(0))
    assert (noisy == noisy[..., :1]).all()
    assert noisy.std() == pytest.approx(0.05, rel=0.1) and not np.array_equal(*noisy)


def test_gain_and_noise_stay_in_range():
    setting = Augmentation(gain=0.5, noise=0.3)
    pixels, _ = augment(batch(8), None, setting, np.random.default_rng(1))
    assert pixels.min() >= 0 and pixels.max() <= 1
    means = pixels.mean((1, 2, 3))
    assert means.max() / means.min() > 1.2


def test_colours_move_with_the_grey():
    grey = batch()
    strong = Augmentation(flip_horizontal=0.5, rotation_deg=40, shift=0.2, zoom=(0.7, 1.4))
    alone, _ = augment(grey, None, strong, np.random.default_rng(3))
    colour = np.concatenate([grey, 255 - grey, grey // 2], axis=-1)
    pixels, _ = augment(colour, None, strong, np.random.default_rng(3))
    np.testing.assert_allclose(pixels[..., :1], alone, atol=1e-6)
    np.testing.assert_allclose(pixels[..., 1], 1 - pixels[..., 0], atol=1e-5)


def test_soft_masks_stay_soft():
    masks = np.rint(255 * ramp(2, 8, 8, 1)).astype(np.uint8)
    images = np.zeros_like(masks)
    _, soft = augment(images, masks, None, np.random.default_rng(0), soft=True)
    np.testing.assert_allclose(soft, masks / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"flip_horizontal": 1.5}, "flip_horizontal"),
        ({"rotation_deg": -1}, "rotation_deg"),
        ({"zoom": (0.0, 1.0)}, "zoom"),
        ({"zoom": (1.2, 1.0)}, "zoom"),
        ({"fill": "wrap"}, "fill"),
        ({"shift_px": -1}, "shift_px"),
        ({"shift": 0.1, "shift_px": 4}, "shift"),
    ],
)
def test_wrong_settings_are_named(setting, name):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        Augmentation(**setting)
