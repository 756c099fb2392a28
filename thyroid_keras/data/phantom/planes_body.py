"""The fetus' body: belly, heart, thigh and spine, and what is beside them.

Every painter takes a `Canvas` whose unit is half of the structure's length, and the
`Mother`; those of standard planes mark the structure.
"""

import dataclasses

import cv2
import numpy as np

from thyroid_keras.data.phantom.planes_paint import inside
from thyroid_keras.data.phantom.ultrasound import bell


def paint_abdomen(canvas, mother):
    """Stomach on the left, umbilical vein a third of the way in, aorta by the spine."""
    rng = canvas.rng
    canvas.mark(paint_trunk(canvas, rng.uniform(-6, 0)))
    for _ in range(rng.poisson(3)):
        u, v = rng.uniform(-0.4, 0.5, 2).tolist()
        canvas.vessel(u, v, 0.08, 0.025, rng.uniform(0, 3), 2.0)
    size = rng.uniform(0.13, 0.24)
    canvas.vessel(-0.05, 0.5, 1.4 * size, 0.9 * size, rng.uniform(-0.5, 0.5))
    canvas.vessel(0.38, -0.05, 0.27, 0.06, rng.uniform(-0.25, 0.1), 8.0)
    canvas.vessel(0.16, -0.16, 0.1, 0.055, -0.9, 8.0)
    canvas.vessel(-0.58, 0.12, 0.06, 0.06)


def paint_four_chambers(canvas, mother):
    """The heart's crux between two atria and two ventricles, within the lungs."""
    rng = canvas.rng
    paint_trunk(canvas, rng.uniform(-4, 2))
    canvas.vessel(-0.57, 0.14, 0.065, 0.065)
    size, tilt = rng.uniform(0.48, 0.58), rng.uniform(0.5, 1.0)
    heart = canvas.part(0.14, 0.1, size, tilt)
    rho = heart.oval(0, 0, 1, 0.74)
    heart.tissue(inside(rho, 10), rng.uniform(-4, 1), grain_mm=1.5)
    heart.rim(rho, rng.uniform(3, 9), 0.8)
    septum, valve = rng.uniform(-0.04, 0.04), rng.uniform(-0.25, -0.1)
    for side in (-1, 1):
        ventricle = heart.oval(valve + 0.45, septum + 0.3 * side, 0.42, 0.21, -0.18 * side)
        atrium = heart.oval(valve - 0.34, septum + 0.3 * side, 0.29, 0.24, 0.2 * side)
        heart.fluid(inside(ventricle, 7))
        heart.fluid(inside(atrium, 7))
        leaf = heart.u - np.float32(valve) - np.float32(0.12) * np.abs(heart.v)
        middle = heart.v - np.float32(septum + 0.28 * side)
        heart.stroke(middle, leaf, 0.22, 0.03, rng.uniform(3, 8))
    heart.stroke(heart.u - 0.3, heart.v - np.float32(septum), 0.55, 0.035, rng.uniform(3, 8))
    heart.mark(rho)


def paint_trunk_off_plane(canvas, mother):
    """Background: above the heart, or the kidneys beside the spine."""
    rng = canvas.rng
    paint_trunk(canvas, rng.uniform(-5, 1))
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            u, v = rng.uniform(-0.2, 0.45, 2).tolist()
            long, thin = rng.uniform(0.08, 0.24), rng.uniform(0.05, 0.09)
            canvas.vessel(u, v, long, thin, rng.uniform(0, 3))
        return
    for side in (-1, 1):
        turn = 0.5 * side + rng.uniform(-0.2, 0.2)
        kidney = canvas.part(-0.4, 0.42 * side, 0.3, turn)
        cortex, pelvis = kidney.oval(0, 0, 1, 0.67), kidney.oval(0.07, 0, 0.4, 0.17)
        kidney.tissue(inside(cortex, 8), rng.uniform(-12, -6), grain_mm=1.5)
        kidney.rim(cortex, rng.uniform(3, 8), 0.6)
        kidney.fluid(rng.uniform(0, 1) * inside(pelvis, 5))


def paint_trunk(canvas, echo_db):
    """A cross-section of the body: skin, ribs, spine; returns rho of the skin."""
    rng = canvas.rng
    rho = canvas.oval(0, 0, 1, rng.uniform(0.84, 1.0))
    canvas.tissue(inside(rho), rng.uniform(-3, 3))
    canvas.rim(rho, rng.uniform(4, 14), 0.9)
    canvas.tissue(inside(rho * 1.14), echo_db, grain_mm=2.5, contrast_db=2.0)
    angle = np.arctan2(canvas.v, canvas.u)
    ribs = np.clip(np.sin(int(rng.integers(2, 5)) * angle + rng.uniform(0, 6)) * 3 + 0.6, 0, 1)
    canvas.rim(rho * 1.14, rng.uniform(12, 26), 1.2, least=0.12, where=ribs, loss_db=1.2)
    for u, v in ((-0.80, 0.0), (-0.93, 0.13), (-0.93, -0.13)):
        centre = canvas.part(u, v, 0.08)
        bone = bell(cv2.magnitude(centre.u, centre.v))
        specular = centre.scene.specular
        np.maximum(specular, np.float32(rng.uniform(12, 28)) * bone, out=specular)
        centre.shadow(bone, 0.35)
    return rho


def paint_femur(canvas, mother):
    """The whole shaft of the thigh's one bone, both ends in the picture."""
    rng = canvas.rng
    paint_limb(canvas, rng.uniform(0.45, 0.75))
    thickness = rng.uniform(0.04, 0.065)
    relative, off = paint_bone(
        canvas, 0, 0, 1.0, rng.uniform(-0.06, 0.1), thickness, rng.uniform(25, 50)
    )
    canvas.mark(np.maximum(np.abs(relative) / 1.03, np.abs(off) / (2 * thickness)))


def paint_limb_off_plane(canvas, mother):
    """Background: the two bones of a forearm or shin, or a bone cut across."""
    rng = canvas.rng
    paint_limb(canvas, rng.uniform(0.4, 0.7))
    thickness = rng.uniform(0.03, 0.05)
    if rng.random() < 0.65:
        apart, bend = rng.uniform(0.11, 0.2), rng.uniform(-0.05, 0.08)
        for side in (-1, 1):
            u, half = rng.uniform(-0.12, 0.12), rng.uniform(0.6, 0.95)
            paint_bone(canvas, u, side * apart, half, bend * side, thickness, rng.uniform(20, 45))
        return
    u, v = rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.1)
    paint_bone(canvas, u, v, rng.uniform(0.1, 0.3), 0.0, 0.07, rng.uniform(20, 45))


def paint_limb(canvas, half_width):
    """Soft tissue along the u axis with its skin."""
    rng = canvas.rng
    rho = canvas.oval(rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.12), 1.35, half_width)
    canvas.tissue(inside(rho), rng.uniform(-8, 0), grain_mm=2.5)
    canvas.rim(rho, rng.uniform(4, 14), 0.9)


def paint_bone(canvas, u, v, half_length, bend, thickness, amplitude):
    """A shaft along the u axis with flared ends and its shadow; returns where it lies."""
    along = canvas.u - np.float32(u)
    relative = along * np.float32(1 / half_length)
    off = canvas.v - np.float32(v) + np.float32(bend) * relative * relative
    flare = 1 + np.float32(0.7) * np.minimum(relative * relative, 1) ** 4
    bar = canvas.stroke(along, off / flare, half_length, thickness, amplitude)
    canvas.shadow(bar, canvas.rng.uniform(0.6, 1.3))
    return relative, off


def paint_spine(canvas, mother):
    """Two rows of ossified vertebrae that run together towards the sacrum, under the skin."""
    rng = canvas.rng
    curve = np.float32(rng.uniform(-0.12, 0.12)) * (1 - canvas.u * canvas.u)
    v = canvas.v - curve
    bent = dataclasses.replace(canvas, v=v)
    rho = bent.oval(0.05, 0.33, 1.3, rng.uniform(0.5, 0.68))
    bent.tissue(inside(rho), rng.uniform(-7, 0), grain_mm=3.0, contrast_db=2.5)
    bent.rim(rho, rng.uniform(5, 14), 0.9)
    apart = np.float32(rng.uniform(0.05, 0.075)) * np.clip(1.15 - 0.55 * bent.u, 0.3, 1.2)
    period = rng.uniform(0.09, 0.13)
    canal = inside(np.maximum(np.abs(v) / (0.8 * apart), np.abs(bent.u) * 1.02), 4)
    bent.fill(0.8 * canal, np.float32(-14))
    for side in (-1, 1):
        beads = bent.stroke(bent.u, v - side * apart, 1.0, 0.03, rng.uniform(18, 38), period)
        bent.shadow(beads, rng.uniform(0.25, 0.6))
    canvas.mark(np.maximum(np.abs(v) / (apart + 0.06), np.abs(canvas.u) / 1.02))


def paint_torso_off_plane(canvas, mother):
    """Background: the trunk lengthwise beside the spine, ribs in one row."""
    rng = canvas.rng
    rho = canvas.oval(0.05, 0.3, 1.3, rng.uniform(0.55, 0.75))
    canvas.tissue(inside(rho), rng.uniform(-6, 0), grain_mm=3.0, contrast_db=2.5)
    canvas.rim(rho, rng.uniform(5, 14), 0.9)
    period, reach = rng.uniform(0.16, 0.26), rng.uniform(0.4, 0.8)
    off = canvas.v + np.float32(0.1) * canvas.u * canvas.u
    ribs = canvas.stroke(canvas.u - rng.uniform(-0.4, 0.3), off, reach, 0.05, 24, period)
    canvas.shadow(ribs, rng.uniform(0.4, 0.9))
    for _ in range(rng.integers(0, 3)):
        u, v = rng.uniform(-0.5, 0.6), rng.uniform(0.3, 0.5)
        canvas.vessel(u, v, rng.uniform(0.1, 0.25), rng.uniform(0.05, 0.12), 0.0)
