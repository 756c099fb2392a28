"""Simulated fetal ultrasound: standard planes, and the background between them."""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from thyroid_keras.data.phantom import planes_body as body
from thyroid_keras.data.phantom import planes_head as head
from thyroid_keras.data.phantom.checks import check, check_choice, check_count
from thyroid_keras.data.phantom.picture import generator
from thyroid_keras.data.phantom.planes_fan import Fan
from thyroid_keras.data.phantom.planes_paint import Canvas
from thyroid_keras.data.phantom.planes_womb import Mother, paint_haze, paint_womb
from thyroid_keras.data.phantom.series import NOTE, simulate_series
from thyroid_keras.data.phantom.ultrasound import scan
from thyroid_keras.data.samples import Sample, SampleTable

BACKGROUND = "Background"
EMPTY = 0.12  # share of background frames without a fetus' section in them


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A standard plane.

    Args:
        half_mm: half of the structure's length at 20 weeks.
        turn_deg: largest angle to the horizontal.
        paint: `(canvas, mother)`, the plane.
        miss: the same for a section beside it, which is background.
    """

    half_mm: float
    turn_deg: float
    paint: Callable
    miss: Callable


PLANES = {
    "4CH": Plane(
        half_mm=20,
        turn_deg=180,
        paint=body.paint_four_chambers,
        miss=body.paint_trunk_off_plane,
    ),
    "Abdominal": Plane(
        half_mm=25, turn_deg=180, paint=body.paint_abdomen, miss=body.paint_trunk_off_plane
    ),
    "Brain (Cb.)": Plane(
        half_mm=29, turn_deg=35, paint=head.paint_brain_cb, miss=head.paint_head_off_plane
    ),
    "Brain (Tv.)": Plane(
        half_mm=29, turn_deg=35, paint=head.paint_brain_tv, miss=head.paint_head_off_plane
    ),
    "Femur": Plane(half_mm=17, turn_deg=35, paint=body.paint_femur, miss=body.paint_limb_off_plane),
    "Profile": Plane(
        half_mm=28, turn_deg=30, paint=head.paint_profile, miss=head.paint_face_off_plane
    ),
    "Spine (Sag.)": Plane(
        half_mm=34, turn_deg=30, paint=body.paint_spine, miss=body.paint_torso_off_plane
    ),
}
CLASS_NAMES = tuple(sorted((*PLANES, BACKGROUND)))


def phantom_planes(
    num_patients,
    *,
    views=16,
    image_size=(208, 272),
    seed=0,
    background=0.5,
    progress=True,
):
    """Simulates the fetal screening of so many patients, frame by frame.

    A patient's frames are dealt from a shuffled deck of every standard plane once and so
    much background, a new deck when it is used up. Every frame depends on `seed`, its
    patient, its view and `background` alone, so a larger table holds the smaller one.

    Args:
        num_patients: int >= 1.
        views: int >= 1, frames of each patient: position, angle, zoom, gain, shadows and
            speckle differ.
        image_size: `(H, W)` of the images in pixels, each >= 32; an int: both.
        seed: int >= 0.
        background: in [0, 1), share of frames that show no standard plane: sections beside
            one, or no section of the fetus at all.
        progress: bool, shows a progress bar.

    Returns:
        `SampleTable` of `num_patients * views` samples, patient by patient. The mask is
        that of the structure which makes the plane; background has none.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(0, seed=seed)
    check(0 <= background < 1, "`background` must lie in [0, 1).", background=background)
    sample = functools.partial(_sample, seed, image_size, background)
    samples = simulate_series(sample, num_patients, views, progress=progress)
    return SampleTable(
        name="phantom of fetal planes",
        samples=samples,
        class_names=CLASS_NAMES,
        mask_source="simulated truth",
        target="plane",
        notes=(NOTE,),
    )


def simulate_plane(patient, view, plane, *, image_size=(208, 272), seed=0):
    """Simulates one frame.

    Args:
        patient, view: int >= 0.
        plane: one of `CLASS_NAMES`.
        image_size: see `phantom_planes`.
        seed: int >= 0.

    Returns:
        Grey values, uint8 `(H, W)`, and the mask of the structure, uint8 `(H, W)`, 255
        inside; empty for the background.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(0, patient=patient)
    check_count(0, view=view)
    check_count(0, seed=seed)
    check_choice(CLASS_NAMES, plane=plane)
    size = _size(image_size)
    mother = Mother.draw(generator(seed, patient, 4))
    rng = generator(seed, patient, 5, view)
    shown = PLANES[str(rng.choice(list(PLANES))) if plane == BACKGROUND else plane]
    half_mm = shown.half_mm * mother.maturity * rng.uniform(0.93, 1.07)
    fan = Fan.draw(rng, size, half_mm * rng.uniform(2.5, 4.0))
    scene = fan.scene().bent(rng, 0.006 * fan.depth, 0.15 * fan.depth)
    womb = Canvas.blank(scene, fan.spreading(), rng)
    paint_womb(womb, mother)
    x, z = rng.uniform(-0.12, 0.12) * fan.depth, rng.uniform(0.48, 0.66) * fan.depth
    turn = math.radians(rng.uniform(-shown.turn_deg, shown.turn_deg))
    canvas = womb.part(x, z, half_mm, turn)
    if rng.random() < 0.5:
        canvas = dataclasses.replace(canvas, u=-canvas.u)
    if plane != BACKGROUND:
        shown.paint(canvas, mother)
    elif rng.random() > EMPTY:
        shown.miss(canvas, mother)
    paint_haze(womb, mother)
    grey, _ = scan(scene, fan.probe(rng), rng)
    image, mask = fan.screen(grey, womb.truth)
    return image, np.where(mask > 127, 255, 0).astype(np.uint8)


def plane_of(patient, view, *, seed=0, background=0.5):
    """Returns which of `CLASS_NAMES` a patient's frame shows in `phantom_planes`."""
    blanks = round(len(PLANES) * background / (1 - background))
    deck = [*PLANES, *[BACKGROUND] * blanks]
    round_, card = divmod(view, len(deck))
    return deck[generator(seed, patient, 6, round_).permutation(len(deck))[card]]


def _sample(seed, image_size, background, patient, view):
    plane = plane_of(patient, view, seed=seed, background=background)
    image, mask = simulate_plane(patient, view, plane, image_size=image_size, seed=seed)
    group = f"p{patient + 1:04d}"
    return Sample(
        name=f"phantom/{group}_v{view + 1}",
        image=image,
        label=CLASS_NAMES.index(plane),
        group=group,
        mask=None if plane == BACKGROUND else mask,
    )


def _size(image_size):
    size = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size,) * 2
    fits = len(size) == 2 and all(isinstance(side, int) and side >= 32 for side in size)
    check(fits, "`image_size` must be (H, W) of at least 32 pixels each.", image_size=image_size)
    return size
