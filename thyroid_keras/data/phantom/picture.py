"""One picture: anatomy, nodule, foci and screen put together."""

import dataclasses

import numpy as np

from thyroid_keras.data.phantom.anatomy import Neck, paint_neck
from thyroid_keras.data.phantom.checks import (
    check_choice,
    check_count,
    check_least,
    check_share,
)
from thyroid_keras.data.phantom.foci import Foci, paint_calcification, paint_confounders
from thyroid_keras.data.phantom.nodules import Nodule, Place, paint_nodule
from thyroid_keras.data.phantom.screen import paint_border, paint_words, sector_box, words_for
from thyroid_keras.data.phantom.tirads import draw_descriptors
from thyroid_keras.data.phantom.ultrasound import Probe, Scene, scan

VISIBLE = 2.8  # over the tissue: about where the eye draws the edge of a bright spot
MARGIN = 1.12  # side of a nodule crop over that of the square that just holds it
# calcified nodules hold fewer other bright things, lest brightness alone tell
CONFOUNDERS = {False: 1.0, True: 0.45}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One simulated picture and everything that is true of it.

    Args:
        image: uint8 `(S, S)`, grey.
        nodule: uint8 `(S, S)`, 255 inside the nodule.
        calcification: uint8 `(S, S)`, 255 on calcified echoes, not on their shadow.
        sector: uint8 `(S, S)`, 255 where there is ultrasound, not border.
        text: uint8 `(S, S)`, 255 where words were burned in.
        descriptors: dict, see `draw_descriptors`.
        spacing_mm: side of a pixel.
    """

    image: np.ndarray
    nodule: np.ndarray
    calcification: np.ndarray
    sector: np.ndarray
    text: np.ndarray
    descriptors: dict
    spacing_mm: float


def simulate(
    patient,
    view,
    *,
    seed=0,
    malignant=None,
    calcified=None,
    image_size=192,
    crop="frame",
    border=False,
    text=False,
    text_leak=0.0,
    typicality=0.0,
):
    """Simulates one picture.

    Args:
        patient, view: int >= 0.
        malignant, calcified: bool; `None` leaves it to chance.

    The other arguments are those of `phantom`. Leaking words tell of `calcified`
    where that is given, else of malignancy.

    Returns:
        `Picture`.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(0, patient=patient)
    check_count(0, view=view)
    check_count(0, seed=seed)
    check_count(32, image_size=image_size)
    check_choice((None, False, True), malignant=malignant)
    check_choice((None, False, True), calcified=calcified)
    check_choice(("nodule", "frame"), crop=crop)
    check_share(text_leak=text_leak)
    check_least(0, typicality=typicality)

    body = generator(seed, patient, 0)
    found = draw_descriptors(body, malignant=malignant, calcified=calcified, typicality=typicality)
    nodule = Nodule.draw(body, found)
    foci = Foci.draw(body, found["calcification"], nodule.half_axes)
    left, top, width = sector_box(image_size, border)
    rng = generator(seed, patient, 1, view)
    grey, inside, calcium, spacing_mm = _view(rng, nodule, foci, width, crop)

    def framed(pixels):
        canvas = np.zeros((image_size, image_size), np.uint8)
        canvas[top : top + width, left : left + width] = pixels
        return canvas

    image, words = framed(grey), np.zeros((image_size, image_size), np.uint8)
    rng = generator(seed, patient, 2, view)  # apart: words leave the picture as it was
    if border:
        paint_border(image, (left, top, width), rng)
    label = found["malignant"] if calcified is None else calcified
    paint_words(words, words_for(rng, text=text, text_leak=text_leak, label=int(label)))
    return Picture(
        image=np.maximum(image, words),
        nodule=framed(255 * inside),
        calcification=framed(255 * calcium),
        sector=framed(255),
        text=np.where(words > 0, 255, 0).astype(np.uint8),
        descriptors=found,
        spacing_mm=spacing_mm,
    )


def generator(seed, *key):
    """The random numbers of one purpose: the same whatever else was drawn."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def is_positive(seed, patient, prevalence=0.5):
    """Whether a patient is, spread evenly: the same whatever else was drawn."""
    # multiples of the golden ratio fill [0, 1) evenly from any start
    start = generator(seed, 3).random()
    return bool((start + patient * (np.sqrt(5) - 1) / 2) % 1 < prevalence)


def _view(rng, nodule, foci, size, crop):
    """Grey values uint8, masks of nodule and calcium bool, `(size, size)`; mm of a pixel."""
    nodule = nodule.section(rng)
    neck = Neck.draw(rng, nodule.half_width, nodule.half_height)
    x, z = neck.place(rng, nodule.half_width, nodule.half_height)
    probe = Probe.draw(rng)
    half = MARGIN * nodule.reach()
    shift_x, shift_z = rng.uniform(-0.03, 0.03, 2) * half
    if crop == "nodule":
        scene = Scene.empty(x - half + shift_x, z - half + shift_z, 2 * half, size)
    else:
        scene = Scene.empty(0.0, 0.0, neck.frame, size)
    paint_neck(scene, neck, rng)
    place = Place.locate(scene, nodule, x, z)
    inside = paint_nodule(scene, place, rng)
    paint_confounders(scene, place, rng, share=CONFOUNDERS[bool(foci)])
    if foci:
        paint_calcification(scene, place, foci, rng)
    grey, contrast = scan(scene, probe, rng)
    contrast *= inside
    # the brightest pixel counts in any case, lest a positive lose its only focus
    calcium = contrast > min(VISIBLE, 0.99 * contrast.max())
    return grey, inside, calcium, float(scene.pitch_mm)
