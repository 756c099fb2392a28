"""What surrounds the fetus: the mother's tissue, placenta, fluid, other limbs."""

import dataclasses
import math

import numpy as np

from thyroid_keras.data.phantom.anatomy import paint_face
from thyroid_keras.data.phantom.planes_paint import inside


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mother:
    """A patient, the same in every view.

    Args:
        wall_mm: thickness of the tissue above the womb.
        anterior: whether the placenta lies in front of the fetus.
        placenta_mm: its thickness.
        fluid: share of the womb's free space that is fluid.
        haze_db: how much the wall blurs.
        maturity: size of the fetus over its size at 20 weeks.
        slender: width of the head over its length.
    """

    wall_mm: float
    anterior: bool
    placenta_mm: float
    fluid: float
    haze_db: float
    maturity: float
    slender: float

    @classmethod
    def draw(cls, rng):
        """A mother and her fetus."""
        return cls(
            wall_mm=rng.uniform(8, 22),
            anterior=bool(rng.random() < 0.4),
            placenta_mm=rng.uniform(10, 26),
            fluid=rng.uniform(0.0, 0.9),
            haze_db=rng.uniform(0, 5),
            maturity=rng.uniform(0.9, 1.5),
            slender=rng.uniform(0.72, 0.86),
        )


def paint_womb(canvas, mother):
    """Fills a scene with everything but the structure that it is about."""
    scene, rng = canvas.scene, canvas.rng
    depth = float(scene.rows[-1, 0])
    coarse, streaks = scene.texture(rng, 5.0, 14.0), scene.texture(rng, 1.2, 12.0)
    scene.echo_db[:] = rng.uniform(-9, -2) + 2.5 * coarse + 1.5 * streaks
    # layers follow the probe, which the mother's skin does too
    layered = dataclasses.replace(scene, z=scene.rows + 0.02 * depth * coarse)
    across = scene.columns * np.float32(depth)
    top = mother.wall_mm * rng.uniform(0.6, 1.2) * min(1.0, depth / 90)
    upper = top + _wave(rng, across, 0.04 * depth, 0.9 * depth)
    lower = depth * rng.uniform(0.72, 1.05) + _wave(rng, across, 0.06 * depth, depth)
    faces = [(top * share, rng.uniform(2, 12)) for share in rng.uniform(0.25, 0.95, 3).tolist()]
    if mother.anterior:
        thickness = mother.placenta_mm * rng.uniform(0.5, 1.2) * min(1.0, depth / 110)
        placenta = np.clip((upper + thickness - layered.z) * 0.6, 0, 1)
        canvas.tissue(placenta, rng.uniform(-4, 1), grain_mm=2.5, contrast_db=1.2)
        faces.append((upper, rng.uniform(1, 5)))
        upper = upper + np.float32(thickness)
    space = np.clip(np.minimum(layered.z - upper, lower - layered.z) * 0.8, 0, 1)
    lake = scene.texture(rng, 0.22 * depth, 0.35 * depth) + 2.2 * (mother.fluid - 0.5)
    canvas.fluid(space * np.clip(lake * 8, 0, 1))
    for _ in range(rng.integers(0, 5)):
        paint_part(canvas, upper.mean(), lower.mean())
    wall = np.clip((top - layered.z) * 0.5 + 1, 0, 1)
    canvas.fill(wall, rng.uniform(-1, 5) + 3.0 * streaks + 1.5 * coarse)
    beyond = np.clip((layered.z - lower) * 0.3, 0, 1)
    scene.echo_db += np.float32(rng.uniform(-3, 5)) * beyond
    for level, amplitude in (*faces, (upper, rng.uniform(2, 9)), (lower, rng.uniform(3, 16))):
        paint_face(layered, level, amplitude, rng, thickness=rng.uniform(0.5, 1.0))


def paint_part(womb, upper, lower):
    """A limb, a hand or a loop of cord that happens to be in the picture."""
    rng, depth = womb.rng, float(womb.scene.rows[-1, 0])
    x = math.copysign(rng.uniform(0.2, 0.6), rng.uniform(-1, 1)) * depth
    z = rng.uniform(upper, max(upper + 1, min(lower, 0.95 * depth)))
    part = womb.part(x, z, rng.uniform(0.06, 0.22) * depth, rng.uniform(0, math.pi), reach=1.3)
    rho = part.oval(0, 0, 1, rng.uniform(0.45, 0.9))
    part.tissue(inside(rho), rng.uniform(-7, 2))
    part.rim(rho, rng.uniform(3, 14), 0.8)
    if rng.random() < 0.5:
        bone = part.stroke(part.u, part.v, rng.uniform(0.1, 0.7), 1.2 / part.size, 25)
        part.shadow(bone)


def paint_haze(canvas, mother):
    """Reverberations of the wall, strongest near the probe, and shadows of gas and rib."""
    scene, rng = canvas.scene, canvas.rng
    veil = rng.uniform(-34, -20) - 6 * scene.rows / scene.rows[-1, 0]
    np.maximum(scene.echo_db, veil, out=scene.echo_db)
    near = np.exp(-scene.rows / np.float32(rng.uniform(8, 25)))
    scene.specular += np.float32(0.05 * mother.haze_db * rng.uniform(0, 1)) * near
    edge = float(scene.columns[0, 0])
    for _ in range(rng.integers(0, 3)):
        width, at = rng.uniform(0.03, 0.12), rng.uniform(edge, -edge)
        column = np.clip((width - np.abs(scene.columns - np.float32(at))) * 40, 0, 1)
        scene.loss_db += column * np.float32(rng.uniform(2, 9)) * (scene.rows < 3)


def _wave(rng, x, amplitude, period):
    phase = rng.uniform(0, 2 * math.pi, 2).tolist()
    turn = 2 * math.pi / period
    ripple = 0.5 * np.sin(2.3 * turn * x + phase[1])
    return np.float32(amplitude) * (np.sin(turn * x + phase[0]) + ripple)
