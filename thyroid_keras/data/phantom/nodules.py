"""The nodule: its outline, its tissue, and where in it things lie."""

import dataclasses
import math

import cv2
import numpy as np

from thyroid_keras.data.phantom.anatomy import BLOOD_DB, FLUID_GAIN_DB
from thyroid_keras.data.phantom.ultrasound import bell

ECHO_DB = {"hyperechoic": 4.5, "isoechoic": 0.0, "hypoechoic": -6.0, "very hypoechoic": -10.0}
LOSS_DB = {"hyperechoic": 0.0, "isoechoic": 0.0, "hypoechoic": 0.1, "very hypoechoic": 0.25}
ANGLES = 720


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One patient's nodule, the same in every view.

    Args:
        descriptors: of `draw_descriptors`.
        half_width, half_height: half axes in mm.
        outline: float32 `(ANGLES,)`, radius of the boundary over that of the ellipse.
        cysts: `(k, 4)`: u, v and radius in the unit disc, height over width.
    """

    descriptors: dict
    half_width: float
    half_height: float
    outline: np.ndarray
    cysts: np.ndarray

    @classmethod
    def draw(cls, rng, descriptors):
        """A nodule that fits its descriptors."""
        radius = float(np.clip(rng.lognormal(np.log(7.0), 0.3), 4.2, 12))
        tall = descriptors["shape"] == "taller than wide"
        ratio = rng.uniform(1.12, 1.5) if tall else rng.uniform(0.55, 0.92)
        if tall:
            radius = min(radius, 8.5)
        return cls(
            descriptors=descriptors,
            half_width=radius / math.sqrt(ratio),
            half_height=radius * math.sqrt(ratio),
            outline=_outline(rng, descriptors["margin"]),
            cysts=_cysts(rng, descriptors["composition"]),
        )

    def section(self, rng):
        """The nodule in another plane: a little smaller, a little turned in itself."""
        size = rng.uniform(0.85, 1.0)
        return dataclasses.replace(
            self,
            half_width=self.half_width * size * rng.uniform(0.96, 1.04),
            half_height=self.half_height * size * rng.uniform(0.96, 1.04),
            outline=np.roll(self.outline, rng.integers(-40, 41)),
            cysts=self.cysts * rng.uniform(0.85, 1.1, self.cysts.shape),
        )

    @property
    def half_axes(self):
        """Mean half axis in mm."""
        return (self.half_width + self.half_height) / 2

    def reach(self):
        """Half the side in mm of the least centred square that holds the nodule."""
        angle = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
        x = self.half_width * self.outline * np.abs(np.cos(angle))
        z = self.half_height * self.outline * np.abs(np.sin(angle))
        return float(max(x.max(), z.max()))


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A nodule in a scene.

    Args:
        nodule: `Nodule`.
        x, z: its centre in mm of the frame.
        rho: float32 `(H, W)`, 0 in the centre and 1 on the boundary.
        turn: int `(H, W)`, index of the angle into tables of `ANGLES` values.
        down: float32 `(H, W)`, sine of that angle, 1 at the lower pole.
    """

    nodule: Nodule
    x: float
    z: float
    rho: np.ndarray
    turn: np.ndarray
    down: np.ndarray

    @classmethod
    def locate(cls, scene, nodule, x, z):
        """Maps a scene onto the nodule's own coordinates."""
        u = (scene.x - np.float32(x)) / np.float32(nodule.half_width)
        v = (scene.z - np.float32(z)) / np.float32(nodule.half_height)
        distance, angle = cv2.cartToPolar(u, v)
        turn = ((angle / (2 * np.pi) + 0.5) * ANGLES).astype(np.int32) % ANGLES
        return cls(nodule, x, z, distance / nodule.outline[turn], turn, v / (distance + 1e-3))

    def point(self, u, v):
        """mm of the frame of a point of the unit disc, whose rim is the boundary."""
        turn = int((math.atan2(v, u) / (2 * math.pi) + 0.5) * ANGLES) % ANGLES
        reach = float(self.nodule.outline[turn])
        return (
            self.x + u * reach * self.nodule.half_width,
            self.z + v * reach * self.nodule.half_height,
        )


def paint_nodule(scene, place, rng):
    """Paints tissue, rim, fluid and capsule of a nodule; returns its mask, bool."""
    found = place.nodule.descriptors
    rho = place.rho
    softness = {"ill-defined": 0.16, "spiculated": 0.07}.get(found["margin"], 0.03)
    edge = (1 - rho) / softness
    if found["margin"] == "ill-defined":
        edge += 1.2 * scene.texture(rng, 1.2, 1.5)
    inside = np.clip(0.5 + edge, 0, 1)
    patchy = rng.uniform(0.8, 2.2) * scene.texture(rng, 1.6, 1.8)
    tissue = np.float32(ECHO_DB[found["echogenicity"]] + rng.uniform(-1.5, 1.5)) + patchy
    scene.echo_db += inside * (tissue - scene.echo_db)
    scene.specular *= 1 - inside
    if found["halo"] == "present":
        scene.echo_db -= 8 * bell((rho - 1) / 0.06)
    scene.loss_db += inside * np.float32(LOSS_DB[found["echogenicity"]])
    paint_fluid(scene, place, rng)
    if found["margin"] == "smooth":
        paint_shell(scene, rho, place.down, place.nodule.half_height, rng.uniform(2, 7))
    return rho < 1


def paint_fluid(scene, place, rng):
    """Cysts with bright near and far walls, or the many small ones of a sponge."""
    height = place.nodule.half_height
    if place.nodule.descriptors["composition"] == "spongiform":
        holes = np.clip((scene.texture(rng, 0.9, 1.3) - 0.55) * 6, 0, 1) * (place.rho < 0.9)
        scene.echo_db -= 16 * holes
        scene.loss_db += 0.3 * FLUID_GAIN_DB * holes
        below = np.roll(holes, 1, axis=0) - holes
        np.maximum(scene.specular, 5 * np.clip(below, 0, 1), out=scene.specular)
        return
    for u, v, radius, flat in place.nodule.cysts.tolist():
        x, z = place.point(u, v)
        width, depth = radius * place.nodule.half_width, radius * flat * height
        box, dx, dz = scene.patch(x, z, width + 1, depth + 1)
        rho = np.sqrt((dx / width) ** 2 + (dz / depth) ** 2)
        fluid = np.clip((1 - rho) * 8, 0, 1) * (place.rho[box] < 0.97)
        scene.echo_db[box] += fluid * (BLOOD_DB + 6 - scene.echo_db[box])
        scene.loss_db[box] += FLUID_GAIN_DB * fluid
        scene.specular[box] *= 1 - fluid
        wall = scene.specular[box]
        ring = bell((rho - 1) * (depth / 0.18)) * (place.rho[box] < 1)
        squarely = (dz / (depth * (rho + 0.1))) ** 2
        wall[:] = np.maximum(wall, 11 * ring * squarely**2)


def paint_shell(scene, rho, down, half_height, amplitude):
    """The mirror-like reflection of a smooth boundary at both poles."""
    line = bell((rho - 1) * (half_height / 0.18)) * (down * down) ** 2
    np.maximum(scene.specular, amplitude * line, out=scene.specular)


def _outline(rng, margin):
    """Radius over the angle, from -pi; its mean is 1."""
    angle = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    radius = np.ones(ANGLES)
    for order in (2, 3, 4):
        radius += rng.normal(0, 0.035) * np.cos(order * angle + rng.uniform(0, 7))
    if margin == "lobulated":
        count = rng.integers(7, 12)
        bumps = np.abs(np.cos(count / 2 * angle + rng.uniform(0, 7)))
        radius += rng.uniform(0.12, 0.2) * (bumps - 0.64)
        radius += 0.03 * np.cos((count + 5) * angle + rng.uniform(0, 7))
    elif margin == "spiculated":
        count = rng.integers(5, 8)
        phase, uneven = rng.uniform(0, 7), rng.uniform(0, 7)
        spikes = np.abs(np.cos(count * angle + phase + 0.8 * np.sin(angle + uneven))) ** 5
        radius += rng.uniform(0.25, 0.4) * (spikes - 0.34) * (0.7 + 0.3 * np.cos(3 * angle))
    return (radius / radius.mean()).astype(np.float32)


def _cysts(rng, composition):
    if composition == "cystic":
        return np.array([[0, 0, rng.uniform(0.82, 0.92), 1.0]])
    count = {"mixed": rng.integers(1, 4), "solid": 0, "spongiform": 0}[composition]
    angle = rng.uniform(0, 2 * np.pi, count)
    distance = rng.uniform(0.15, 0.6, count)
    return np.stack(
        [
            distance * np.cos(angle),
            distance * np.sin(angle),
            rng.uniform(0.18, 0.45, count),
            rng.uniform(0.6, 1.1, count),
        ],
        axis=1,
    )
