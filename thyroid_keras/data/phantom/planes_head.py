"""The fetus' head: the planes of the brain, the profile, and what is beside them.

Every painter takes a `Canvas` whose unit is half of the structure's length, and the
`Mother`; those of standard planes mark the structure.
"""

import math

import numpy as np

from thyroid_keras.data.phantom.planes_paint import inside
from thyroid_keras.data.phantom.ultrasound import bell


def paint_skull(canvas, mother, *, open_behind=False):
    """Scalp, bone and brain, without landmarks; returns rho of the bone."""
    rng, slender = canvas.rng, mother.slender
    rho = canvas.oval(0, 0, 1, slender)
    scalp = rng.uniform(1.04, 1.1)
    canvas.tissue(inside(rho / scalp), rng.uniform(-4, 1))
    canvas.rim(rho / scalp, rng.uniform(2, 6), 0.7)
    canvas.tissue(inside(rho), rng.uniform(-16, -9), grain_mm=2.2, contrast_db=4.0)
    folds = canvas.scene.texture(rng, 2.5, 7.0)
    canvas.scene.specular += (
        np.float32(rng.uniform(0.2, 1.5)) * np.clip(folds - 0.9, 0, 1) * inside(rho * 1.1)
    )
    open_ = np.clip((canvas.u + 0.85) * 8, 0.1, 1) if open_behind else None
    bone, loss_db = rng.uniform(0.6, 1.2) * mother.maturity, rng.uniform(0.6, 2.2)
    canvas.rim(rho, rng.uniform(22, 45), bone, least=0.03, where=open_, loss_db=loss_db)
    return rho


def paint_midline(canvas, start, end, amplitude):
    """The falx from `start` to `end` along the head."""
    wavy = canvas.v + np.float32(0.01) * np.sin(9 * canvas.u)
    half = (end - start) / 2
    canvas.stroke(canvas.u - (start + half), wavy, half, 0.012, amplitude)


def paint_deep_brain(canvas):
    """Thalami and cavum, which both planes of the brain share."""
    rng = canvas.rng
    for side in (-1, 1):
        part = canvas.part(-0.02, 0.15 * side, 0.24, 0.25 * side)
        part.tissue(0.8 * inside(part.oval(0, 0, 1, 0.54), 6), -17.0)
    cavum = canvas.part(0.5, 0, 0.13)
    cavum.fluid(inside(cavum.oval(0, 0, 1, 0.54), 5))
    for side in (-0.075, 0.075):
        canvas.stroke(canvas.u - 0.5, canvas.v - np.float32(side), 0.12, 0.012, rng.uniform(4, 9))
    paint_midline(canvas, 0.64, 0.95, rng.uniform(4, 10))
    paint_midline(canvas, -0.25, 0.36, rng.uniform(2, 7))


def paint_brain_tv(canvas, mother):
    """Transventricular: cavum in front, choroid plexus in the ventricle behind."""
    rng = canvas.rng
    canvas.mark(paint_skull(canvas, mother))
    paint_deep_brain(canvas)
    paint_midline(canvas, -0.9, -0.3, rng.uniform(4, 9))
    far = rng.uniform(0.34, 0.42) * mother.slender / 0.8
    for side, clear in ((1, 1.0), (-1, rng.uniform(0.1, 0.8))):
        ventricle = canvas.part(-0.42, far * side, 0.42, -0.22 * side)
        rho_ventricle = ventricle.oval(0, 0, 1, 0.36)
        ventricle.fluid(clear * inside(rho_ventricle, 6))
        ventricle.rim(rho_ventricle, 5 * clear, 0.5)
        choroid = ventricle.oval(0.15, 0, rng.uniform(0.57, 0.76), rng.uniform(0.22, 0.28))
        ventricle.tissue(clear * inside(choroid, 6), rng.uniform(-4, 1), grain_mm=1.5)


def paint_brain_cb(canvas, mother):
    """Transcerebellar: cavum in front, the cerebellum's two lobes and cistern behind."""
    rng = canvas.rng
    rho = paint_skull(canvas, mother, open_behind=rng.random() < 0.5)
    paint_deep_brain(canvas)
    spread = mother.slender * rng.uniform(0.27, 0.33)
    cistern = canvas.oval(-0.74, 0, 0.17, spread * 1.3)
    canvas.fluid(inside(cistern, 6) * inside(rho * 1.06))
    for side in (-1, 1):
        half = canvas.part(-0.53, spread * side, spread, 0.3 * side)
        lobe = half.oval(0, 0, 0.66, 1.05)
        half.tissue(inside(lobe, 8), rng.uniform(-14, -9), grain_mm=1.2)
        half.rim(lobe, rng.uniform(6, 12), 0.7, least=0.3)
    vermis = canvas.part(-0.53, 0, 0.13)
    vermis.tissue(inside(vermis.oval(0, 0, 1, 0.7), 5), -1.0)
    canvas.mark(rho)


def paint_head_off_plane(canvas, mother):
    """Background: above the ventricles, or through the base of the skull."""
    rng = canvas.rng
    paint_skull(canvas, mother)
    if rng.random() < 0.5:
        paint_midline(canvas, -0.93, 0.93, rng.uniform(5, 12))
        for side in (-1, 1):
            off = canvas.v - np.float32(0.33 * side) * (1 - 0.4 * canvas.u * canvas.u)
            canvas.stroke(canvas.u + 0.05, off, 0.6, 0.012, rng.uniform(2, 6))
        return
    for side in (-1, 1):
        turn = rng.uniform(0.6, 0.9) * side
        for reach in (-1, 1):
            u, v = canvas.u - np.float32(0.38 * reach), canvas.v - np.float32(0.28 * side)
            cosine, sine = math.cos(turn * reach), math.sin(turn * reach)
            bar = canvas.stroke(cosine * u + sine * v, cosine * v - sine * u, 0.3, 0.03, 16)
            canvas.shadow(bar, 0.4)
        if rng.random() < 0.7:
            canvas.vessel(0.72, 0.28 * side, 0.16, 0.16, wall=rng.uniform(6, 14))


def paint_profile(canvas, mother):
    """The face from the side, forehead to chin, before fluid; the brain dark behind it."""
    rng = canvas.rng
    outline = face_outline(rng)
    angle = np.arctan2(canvas.v, canvas.u)
    turn = ((angle + np.float32(math.pi)) * np.float32(720 / (2 * math.pi))).astype(np.int32) % 720
    rho = np.sqrt(canvas.u * canvas.u + canvas.v * canvas.v) / outline[turn]
    front = canvas.oval(0.85, 0.1, 0.75, 1.0)
    canvas.fluid(inside(front, 4))
    body = canvas.oval(-0.1, 1.55, 1.1, 0.8)
    canvas.tissue(inside(body), rng.uniform(-4, 2))
    canvas.rim(body, rng.uniform(4, 12), 0.9)
    canvas.tissue(inside(rho), rng.uniform(-3, 3))
    canvas.rim(rho, rng.uniform(8, 16), 0.8, least=0.3)
    skull = canvas.oval(-0.16, -0.2, 0.72, 0.62, 0.3)
    canvas.tissue(inside(skull), rng.uniform(-16, -10), contrast_db=3.0)
    vault = np.clip(1.2 - canvas.v * 2 - canvas.u * 0.5, 0.1, 1)
    canvas.rim(skull, rng.uniform(20, 40), 1.2, least=0.15, where=vault, loss_db=0.9)
    for u, v, half, slope in (
        (0.72, 0.0, 0.12, 0.4),
        (0.55, 0.33, 0.22, 0.1),
        (0.4, 0.62, 0.25, 0.3),
    ):
        bone = canvas.part(u, v, 1.0, slope)
        bar = bone.stroke(bone.u, bone.v, half, 0.045, rng.uniform(8, 20))
        bone.shadow(bar, 0.4)
    canvas.mark(rho)


def face_outline(rng):
    """Radius of a face in profile over 720 angles from -pi, the nose near 0; mean about 1."""
    angle = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    radius = 0.86 + 0.1 * np.cos(angle - np.pi * 0.75)
    features = (  # angle, height, width: forehead, bridge, nose, lips, chin
        (-0.75, 0.05, 0.30),
        (-0.16, -0.05, 0.12),
        (0.08, rng.uniform(0.11, 0.16), 0.11),
        (0.32, rng.uniform(0.05, 0.09), 0.06),
        (0.47, rng.uniform(0.04, 0.08), 0.06),
        (0.58, -0.02, 0.05),
        (0.74, rng.uniform(0.07, 0.12), 0.11),
        (1.15, -0.18, 0.25),
    )
    for at, height, width in features:
        radius += height * bell((angle - at) / width)
    return radius.astype(np.float32)


def paint_face_off_plane(canvas, mother):
    """Background: beside the profile, an orbit and the cheek but no nose."""
    rng = canvas.rng
    rho = canvas.oval(0, 0, 1, rng.uniform(0.7, 0.85))
    canvas.tissue(inside(rho), rng.uniform(-4, 2))
    canvas.rim(rho, rng.uniform(8, 16), 0.8)
    skull = canvas.oval(-0.2, -0.15, 0.68, 0.52, 0.2)
    canvas.tissue(inside(skull), rng.uniform(-16, -10), contrast_db=3.0)
    canvas.rim(skull, rng.uniform(18, 36), 1.1, loss_db=0.9)
    size = rng.uniform(0.13, 0.2)
    canvas.vessel(0.58, -0.05, size, size, 0.0, rng.uniform(8, 18))
    for _ in range(3):
        u, v = rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.5)
        bone = canvas.part(u, v, 1.0, rng.uniform(0, 3))
        bone.shadow(bone.stroke(bone.u, bone.v, 0.15, 0.04, rng.uniform(10, 24)), 0.4)
