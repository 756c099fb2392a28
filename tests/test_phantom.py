"""The simulated ultrasound: its table, its truth, its seeds, its words."""

import numpy as np
import pytest

from thyroid_keras.data.phantom import phantom, simulate
from thyroid_keras.data.phantom import picture as picture_module


def small(num_patients, **arguments):
    return phantom(num_patients, **({"image_size": 64, "views": 2, "progress": False} | arguments))


@pytest.fixture(scope="module")
def calcification():
    return small(24, progress=True)


# --- the table -----------------------------------------------------------------


def test_table_is_complete(calcification):
    table = calcification
    assert (len(table), table.target) == (48, "calcification")
    assert table.class_names == ("no calcification", "calcification")
    assert (table.group_unit, table.mask_source) == ("patient", "simulated truth")
    assert len({s.name for s in table.samples}) == 48
    first = table.samples[0]
    assert (first.name, first.group) == ("phantom/p0001_v1", "p0001")
    for sample in table.samples:
        for array in (sample.image, sample.mask):
            assert (array.shape, array.dtype) == ((64, 64), np.uint8)
        assert set(np.unique(sample.mask)) <= {0, 255}
    for group in set(table.groups):
        assert len(set(table.labels[table.groups == group])) == 1


def test_malignancy_has_nodule_masks_in_whole_frames():
    table = small(4, target="malignancy")
    assert table.class_names == ("benign", "malignant")
    shares = [(s.mask > 127).mean() for s in table.samples]
    assert 0.005 < min(shares) and max(shares) < 0.35
    nodule = small(4, target="malignancy", crop="nodule")
    assert min((s.mask > 127).mean() for s in nodule.samples) > 0.2


@pytest.mark.parametrize("image_size", [32, 64, 101])
def test_positives_have_calcium_and_negatives_none(image_size):
    for crop in ("nodule", "frame"):
        for sample in small(10, image_size=image_size, crop=crop).samples:
            assert bool(sample.mask.any()) == bool(sample.label), sample.name


def test_every_view_of_a_positive_shows_its_calcium():
    pictures = [simulate(p, 0, calcified=True, image_size=32) for p in range(150)]
    assert all(p.calcification.any() for p in pictures)
    assert not any(np.any(p.calcification & ~p.nodule) for p in pictures)


def test_calcium_too_faint_to_see_keeps_its_brightest_pixel(monkeypatch):
    monkeypatch.setattr(picture_module, "VISIBLE", 1e6)
    for sample in small(6, image_size=48).samples:
        assert bool(sample.mask.any()) == bool(sample.label)


def test_calcium_lies_in_the_nodule_and_is_bright():
    brighter = []
    for patient in range(12):
        picture = simulate(patient, 0, calcified=True, image_size=96, crop="nodule")
        assert not np.any(picture.calcification & ~picture.nodule)
        inside = picture.calcification > 0
        around = (picture.nodule > 0) & ~inside
        brighter.append(picture.image[inside].mean() - picture.image[around].mean())
    assert np.median(brighter) > 40


def test_nodule_crop_just_holds_the_nodule():
    for patient in range(8):
        mask = simulate(patient, 0, image_size=96, crop="nodule").nodule > 0
        assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
        rows, columns = np.nonzero(mask)
        assert max(np.ptp(rows), np.ptp(columns)) > 0.75 * 96


@pytest.mark.parametrize("prevalence", [0.0, 0.2, 0.5, 1.0])
def test_prevalence_holds_in_every_run_of_patients(prevalence):
    labels = small(25, views=1, image_size=32, prevalence=prevalence).labels
    for start in range(0, 25, 5):
        assert abs(labels[start : start + 5].mean() - prevalence) <= 0.21


def test_any_three_patients_hold_both_classes():
    for seed in range(6):
        assert len(set(small(3, views=1, image_size=32, seed=seed).labels)) == 2


# --- determinism ---------------------------------------------------------------


def test_larger_table_begins_with_the_smaller():
    few = {s.name: s for s in small(3, views=1).samples}
    many = {s.name: s for s in small(5, views=3).samples}
    assert few.keys() < many.keys()
    for name, sample in few.items():
        assert sample.label == many[name].label
        np.testing.assert_array_equal(sample.image, many[name].image)
        np.testing.assert_array_equal(sample.mask, many[name].mask)


def test_picture_depends_on_seed_patient_and_view_alone():
    arguments = {"image_size": 48, "malignant": True}
    pictures = [
        simulate(patient, view, seed=seed, **arguments).image
        for seed, patient, view in [(0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0), (1, 0, 0)]
    ]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one.astype(float) - other).mean() > 5
    np.testing.assert_array_equal(simulate(1, 0, seed=0, **arguments).image, pictures[0])


def test_views_show_the_same_nodule():
    one, other = (simulate(4, view, image_size=48) for view in (0, 1))
    assert one.descriptors == other.descriptors
    assert np.any(one.nodule != other.nodule)


# --- border and words ----------------------------------------------------------


def test_border_surrounds_the_sector():
    picture = simulate(0, 0, border=True)
    assert 0.6 < (picture.sector > 0).mean() < 0.7
    outside = picture.image[picture.sector == 0]
    assert np.median(outside) == 0 and outside.max() == 255
    assert not np.any(picture.nodule & ~picture.sector)
    assert np.all(simulate(0, 0).sector == 255)


def test_words_lie_over_an_unchanged_picture():
    plain, worded = simulate(3, 1, border=True), simulate(3, 1, border=True, text=True)
    assert not plain.text.any() and worded.text.any()
    same = worded.text == 0
    np.testing.assert_array_equal(plain.image[same], worded.image[same])


def test_text_leak_marks_the_label():
    def words(patient, malignant, share):
        return simulate(
            patient, 0, image_size=96, malignant=malignant, border=True, text_leak=share
        ).text

    marked = [words(p, p % 2 == 1, 0.5).any() for p in range(60)]
    assert 0.3 < np.mean(marked) < 0.7
    assert abs(np.mean(marked[::2]) - np.mean(marked[1::2])) < 0.3
    # what is written, not that something is, tells the classes apart
    benign = {words(p, False, 1.0).tobytes() for p in range(12)}
    malignant = {words(p, True, 1.0).tobytes() for p in range(12)}
    assert len(benign) == 2 and len(malignant) == 3 and not benign & malignant
    assert small(2, text_leak=0.5).notes != small(2).notes


# --- arguments -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_patients": 0}, "num_patients=0"),
        ({"num_patients": 2.0}, "num_patients=2.0"),
        ({"num_patients": True}, "num_patients=True"),
        ({"views": 0}, "views=0"),
        ({"image_size": 31}, "image_size=31"),
        ({"target": "tirads"}, "target='tirads'"),
        ({"seed": -1}, "seed=-1"),
        ({"prevalence": 1.5}, r"prevalence=1\.5"),
        ({"prevalence": float("nan")}, "prevalence=nan"),
        ({"crop": "half"}, "crop='half'"),
        ({"text_leak": -0.1}, r"text_leak=-0\.1"),
        ({"text_leak": "all"}, "text_leak='all'"),
        ({"typicality": -1}, "typicality=-1"),
        ({"typicality": float("inf")}, "typicality=inf"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    arguments = {"num_patients": 1} | wrong
    with pytest.raises(ValueError, match=f"Received: {named}$"):
        phantom(arguments.pop("num_patients"), progress=False, **arguments)


@pytest.mark.parametrize("wrong", [{"malignant": "yes"}, {"calcified": 2}, {"patient": -1}])
def test_simulate_names_wrong_arguments(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}$"):
        simulate(**({"patient": 0, "view": 0} | wrong))
