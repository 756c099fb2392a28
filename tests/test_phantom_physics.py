"""The simulated ultrasound: speckle, shadow, enhancement, and what the nodule looks like."""

import dataclasses

import cv2
import numpy as np
import pytest

from thyroid_keras.data.phantom import simulate
from thyroid_keras.data.phantom.anatomy import Neck, paint_carotid
from thyroid_keras.data.phantom.foci import paint_blob
from thyroid_keras.data.phantom.nodules import Nodule, Place
from thyroid_keras.data.phantom.tirads import TABLE, acr_level, acr_points, draw_descriptors
from thyroid_keras.data.phantom.ultrasound import Probe, Scene, bell, scan, speckle


def test_speckle_is_fully_developed():
    zeros = np.zeros((400, 400), np.float32)
    envelope = speckle(np.random.default_rng(0), zeros, zeros, 1.0, (2.0, 2.5, 3.0))
    # Rayleigh: mean over standard deviation is sqrt(pi / (4 - pi))
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.05)
    assert (envelope**2).mean() == pytest.approx(1.0, abs=0.05)


def test_speckle_grain_is_wider_than_deep():
    zeros = np.zeros((256, 256), np.float32)
    grain = speckle(np.random.default_rng(0), zeros, zeros, 1.0, (2.5,))
    grain = grain - grain.mean()
    down = (grain[3:] * grain[:-3]).mean() / grain.var()
    across = (grain[:, 3:] * grain[:, :-3]).mean() / grain.var()
    assert across > down + 0.2


def averaged(scene, repeats=20):
    """Mean picture of a scene over many speckles."""
    probe = Probe(tilt_db=0.0)
    pictures = [scan(scene, probe, np.random.default_rng(i))[0] for i in range(repeats)]
    return np.mean(pictures, axis=0)


def test_deeper_echoes_fade_under_attenuation():
    scene = Scene.empty(0, 10, 20, 64)
    scene.loss_db += 0.5
    rows = averaged(scene).mean(axis=1)
    # 0.5 dB/mm over 10 mm, at 58 dB for 255 levels
    assert rows[16:20].mean() - rows[48:52].mean() == pytest.approx(5 * 255 / 58, rel=0.2)


def test_coarse_calcification_casts_a_shadow():
    scene = Scene.empty(0, 10, 20, 96)
    paint_blob(scene.calcium, scene, 10, 16, 2.0, 1.0, 12.0)
    scene.loss_db += 14 / 12 * scene.calcium
    picture = averaged(scene)
    below, beside = picture[55:80, 42:54].mean(), picture[55:80, 5:25].mean()
    assert below < 0.5 * beside
    _, contrast = scan(scene, Probe(), np.random.default_rng(0))
    rows, columns = np.nonzero(contrast > 3)
    assert abs(rows.mean() - (16 - 10) / 20 * 96) < 4
    assert abs(columns.mean() - 48) < 3


def test_macrocalcifications_shadow_in_whole_pictures():
    ratios = []
    for patient in range(60):
        picture = simulate(patient, 0, calcified=True, image_size=96, crop="nodule")
        if picture.descriptors["calcification"] != "macro":
            continue
        rows, columns = np.nonzero(picture.calcification)
        start = rows.max() + 4
        shaded = np.zeros((96, 96), bool)
        shaded[start : start + 15, np.unique(columns)] = True
        clear = np.zeros((96, 96), bool)
        clear[start : start + 15] = True
        clear &= cv2.dilate(shaded.astype(np.uint8), np.ones((1, 11))) == 0
        if shaded.any() and clear.any():
            ratios.append(picture.image[shaded].mean() / picture.image[clear].mean())
    assert len(ratios) > 5
    assert np.median(ratios) < 0.75


def test_blood_is_dark_and_enhances_what_lies_below():
    scene = Scene.empty(0, 0, 40, 96)
    neck = Neck.draw(np.random.default_rng(0), 5, 5)
    neck = dataclasses.replace(neck, carotid=(20.0, 16.0, 3.5))
    paint_carotid(scene, neck)
    picture = averaged(scene)
    column = slice(46, 50)
    assert picture[35:42, column].mean() < 0.3 * picture[35:42, :20].mean()
    assert picture[55:80, column].mean() > picture[55:80, :20].mean() + 8


def test_scenes_stay_in_float32():
    scene = Scene.empty(np.float64(3), np.float64(4), np.float64(20), 32)
    bent = scene.bent(np.random.default_rng(0), 0.5, 5.0)
    assert {a.dtype for a in (scene.x, scene.z, bent.x, bent.z)} == {np.dtype("float32")}


def test_bell_never_makes_denormal_numbers():
    values = bell(np.array([0, 1, 100], np.float32))
    assert values[0] == 1 and values[1] == pytest.approx(np.exp(-1))
    assert 0 < values[2] and values[2] > np.finfo(np.float32).tiny


# --- the nodule follows its label ----------------------------------------------


def test_descriptors_follow_the_label_with_overlap():
    rng = np.random.default_rng(0)
    drawn = {m: [draw_descriptors(rng, malignant=m) for _ in range(600)] for m in (False, True)}
    for name, value in [
        ("shape", "taller than wide"),
        ("margin", "spiculated"),
        ("echogenicity", "very hypoechoic"),
        ("composition", "solid"),
        ("calcification", "micro"),
    ]:
        benign, malignant = (
            np.mean([found[name] == value for found in drawn[label]]) for label in (False, True)
        )
        assert 0 < benign < malignant - 0.1 < 0.9, name
    points = [np.mean([found["points"] for found in drawn[label]]) for label in (False, True)]
    assert points[1] > points[0] + 2


def test_typical_nodules_are_tilted_towards_their_diagnosis():
    rng, typicality = np.random.default_rng(0), 0.5
    for malignant in (False, True):
        drawn = [
            draw_descriptors(rng, malignant=malignant, typicality=typicality) for _ in range(1500)
        ]
        for name in ("margin", "echogenicity", "shape"):
            chances = {v: p[malignant] * (p[malignant] / p[1 - malignant]) ** typicality
                       for v, p in TABLE[name].items()}  # fmt: skip
            for value, chance in chances.items():
                share = np.mean([found[name] == value for found in drawn])
                assert share == pytest.approx(chance / sum(chances.values()), abs=0.05)


def test_shape_and_margin_are_drawn_as_described():
    rng = np.random.default_rng(0)
    roughness = {"smooth": [], "spiculated": []}
    for _ in range(80):
        found = draw_descriptors(rng)
        nodule = Nodule.draw(rng, found)
        tall = found["shape"] == "taller than wide"
        assert (nodule.half_height > nodule.half_width) == tall
        if found["margin"] in roughness:
            roughness[found["margin"]].append(np.abs(np.diff(nodule.outline)).mean())
    assert min(roughness["spiculated"]) > 2 * max(roughness["smooth"])


def test_points_of_the_unit_disc_keep_within_a_ragged_outline():
    rng = np.random.default_rng(0)
    nodule = Nodule.draw(rng, draw_descriptors(rng) | {"margin": "spiculated"})
    scene = Scene.empty(0, 0, 40, 400)
    place = Place.locate(scene, nodule, 20, 20)
    for angle in np.linspace(0, 6, 20):
        x, z = place.point(0.8 * np.cos(angle), 0.8 * np.sin(angle))
        assert place.rho[int(z * 10), int(x * 10)] == pytest.approx(0.8, abs=0.05)


def test_tall_nodules_are_tall_in_the_mask():
    ratios = {"taller than wide": [], "wider than tall": []}
    for patient in range(30):
        picture = simulate(patient, 0, image_size=64, crop="nodule")
        rows, columns = np.nonzero(picture.nodule)
        ratios[picture.descriptors["shape"]].append(np.ptp(rows) / np.ptp(columns))
    assert np.median(ratios["taller than wide"]) > 1.05
    assert np.median(ratios["wider than tall"]) < 0.95


def test_acr_points():
    found = {
        "composition": "solid",
        "echogenicity": "very hypoechoic",
        "shape": "taller than wide",
        "margin": "spiculated",
        "calcification": "micro",
    }
    assert acr_points(found) == 2 + 3 + 3 + 2 + 3
    assert acr_points(found | {"composition": "spongiform"}) == 0
    assert [acr_level(p) for p in (0, 1, 2, 3, 4, 6, 7, 13)] == [
        "TR1", "TR1", "TR2", "TR3", "TR4", "TR4", "TR5", "TR5",
    ]  # fmt: skip
