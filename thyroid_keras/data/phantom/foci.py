"""Bright things inside a nodule: calcifications, and what only looks like them."""

import dataclasses

import cv2
import numpy as np

from thyroid_keras.data.phantom.nodules import ANGLES
from thyroid_keras.data.phantom.ultrasound import bell

SHADOW_DB = {"micro": 1.5, "macro": 14.0, "rim": 10.0}  # lost per mm of calcium


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Foci:
    """A nodule's calcifications, the same in every view.

    Args:
        spots: `(k, 4)`: u, v in the unit disc, half width and half height in mm.
        arcs: `(m, 3)`: angles from and to, thickness in mm.
    """

    spots: np.ndarray
    arcs: np.ndarray

    @classmethod
    def draw(cls, rng, kind, half_axes):
        """Calcifications of a kind in a nodule of the given mean half axis in mm."""
        spots, arcs = np.zeros((0, 4)), np.zeros((0, 3))
        if kind == "rim":
            start = rng.uniform(0, 2 * np.pi, 2)
            span = np.array([rng.uniform(1.2, 2.6), rng.uniform(0.3, 1.2)])
            arcs = np.stack([start, start + span, rng.uniform(0.25, 0.4, 2)], axis=1)
        elif kind == "macro":
            centres = _in_disc(rng, int(rng.integers(1, 3)), 0.6)
            size = rng.uniform(0.10, 0.17) * half_axes
            spots = np.concatenate([_clump(rng, at, size, half_axes) for at in centres])
        elif kind == "micro":
            spots = _cluster(rng, half_axes)
        return cls(spots=spots, arcs=arcs)

    def __bool__(self):
        return len(self.spots) + len(self.arcs) > 0


def paint_calcification(scene, place, foci, rng):
    """Paints the foci that this plane meets: at least one, most of them."""
    kind = place.nodule.descriptors["calcification"]
    amplitude = rng.uniform(11, 16) if kind == "micro" else rng.uniform(12, 17)
    paint_rim(scene, place, foci.arcs, amplitude)
    spots = _in_tissue(foci.spots, place.nodule.cysts)
    met = rng.random(len(spots)) < 0.85
    if not met.any():
        met[:1] = True
    for u, v, width, height in spots[met].tolist():
        x, z = place.point(u + rng.normal(0, 0.03), v + rng.normal(0, 0.03))
        paint_blob(scene.calcium, scene, x, z, width, height, amplitude)
    scene.loss_db += SHADOW_DB[kind] / amplitude * scene.calcium


def paint_blob(target, scene, x, z, width, height, amplitude):
    """A flat-topped spot of the given half axes in mm, never less than a pixel."""
    least = 0.5 * scene.pitch_mm
    width, height = max(width, least), max(height, least)
    box, dx, dz = scene.patch(x, z, 1.6 * width, 1.6 * height)
    spot = amplitude * bell((dx / width) ** 2 + (dz / height) ** 2)
    target[box] = np.maximum(target[box], spot)


def paint_rim(scene, place, arcs, amplitude):
    """An eggshell along parts of the boundary."""
    angle = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
    for start, stop, thickness in arcs.tolist():
        along = (angle - start) % (2 * np.pi) < (stop - start)
        rough = 0.75 + 0.25 * np.cos(23 * angle) * np.cos(9 * angle + start)
        shell = bell(((place.rho - 0.93) * (place.nodule.half_height / thickness)) ** 2)
        shell *= (amplitude * rough * along).astype(np.float32)[place.turn]
        np.maximum(scene.calcium, shell, out=scene.calcium)


def paint_confounders(scene, place, rng, share):
    """Paints bright things that are no calcium, `share` of the full number of them."""
    reach = place.nodule.half_axes
    for u, v in _in_disc(rng, int(rng.binomial(4, 0.4 * share)), 0.85):
        paint_comet_tail(scene, *place.point(u, v), rng)
    for u, v in _in_disc(rng, int(rng.binomial(3, 0.4 * share)), 0.75):
        paint_septum(scene, *place.point(u, v), reach, rng)
    for u, v in _in_disc(rng, int(rng.binomial(2, 0.4 * share)), 0.75):
        paint_fibrosis(scene, *place.point(u, v), rng.uniform(0.12, 0.3) * reach, rng)


def paint_comet_tail(scene, x, z, rng):
    """Colloid crystal: a spot as bright as calcium and its ring-down below."""
    width, length = rng.uniform(0.2, 0.5), rng.uniform(1.0, 2.5)
    box, dx, dz = scene.patch(x, z, 2 * width, 3 * length)
    deep = np.maximum(dz, 0)
    taper = bell(dx * (1 + 0.5 * deep / length) / width)
    bands = 0.6 + 0.4 * np.cos(2 * np.pi * deep / rng.uniform(0.45, 0.7))
    tail = np.where(dz < 0, bell(dz / 0.18), bands * np.exp(-deep / length))
    amplitude = rng.uniform(6, 11)
    scene.specular[box] = np.maximum(scene.specular[box], amplitude * taper * tail)


def paint_septum(scene, x, z, reach, rng):
    """A curved fibrous line, bright where it lies across the beam."""
    length, tilt = rng.uniform(0.2, 0.5) * reach, rng.uniform(-0.6, 0.6)
    along = np.linspace(-1, 1, 15)
    bent = rng.uniform(-0.4, 0.4) * along**2 + np.cumsum(rng.normal(0, 0.05, along.size))
    at = np.stack([x + length * along, z + length * (along * np.tan(tilt) + bent)], axis=1)
    at -= scene.columns[0, 0], scene.rows[0, 0]
    at = np.round(at / scene.pitch_mm * 16).astype(np.int32)
    line = np.zeros(scene.specular.shape, np.uint8)
    thickness = max(1, round(rng.uniform(0.12, 0.3) / scene.pitch_mm))
    fading = 255 * (1 - along**2) ** 0.5
    for start, stop, brightness in zip(at[:-1], at[1:], fading[1:], strict=True):
        cv2.line(line, start, stop, brightness, thickness, cv2.LINE_AA, 4)
    amplitude = rng.uniform(5, 10) * np.cos(tilt)
    np.maximum(scene.specular, line * np.float32(amplitude / 255), out=scene.specular)


def paint_fibrosis(scene, x, z, size, rng):
    """A patch of bright, speckled scar that casts no shadow."""
    width, height = size * rng.uniform(0.8, 1.6), size * rng.uniform(0.6, 1.0)
    box, dx, dz = scene.patch(x, z, 2 * width, 2 * height)
    patch = np.exp(-((dx / width) ** 2 + (dz / height) ** 2))
    scene.echo_db[box] += rng.uniform(8, 13) * patch


def _in_tissue(spots, cysts):
    """The spots that lie outside all cysts; all spots where none does."""
    du, dv = (spots[:, None, axis] - cysts[None, :, axis] for axis in (0, 1))
    radius, flat = cysts[:, 2], cysts[:, 3]
    wet = (np.hypot(du, dv / flat) < radius).any(axis=1)
    return spots if wet.all() else spots[~wet]


def _in_disc(rng, count, radius):
    angle, distance = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    return radius * (distance * np.stack([np.cos(angle), np.sin(angle)])).T


def _cluster(rng, half_axes):
    """Scattered specks, small but for a large nodule's."""
    count = int(rng.integers(6, 22))
    centre = _in_disc(rng, 1, 0.45)
    at = centre + rng.normal(0, rng.uniform(0.15, 0.4), (count, 2))
    size = np.clip(rng.uniform(0.028, 0.055, (count, 1)) * half_axes, 0.15, 0.5)
    return np.hstack([_pulled_in(at), size * rng.uniform(0.9, 1.5, (count, 1)), size])


def _clump(rng, centre, size, half_axes):
    """Grains that grow together to one coarse, ragged calcification."""
    count = int(rng.integers(6, 12))
    at = centre + rng.normal(0, 0.9 * size / half_axes, (count, 2)) * [1.4, 0.7]
    radius = size * rng.uniform(0.3, 0.9, (count, 1))
    return np.hstack([_pulled_in(at), radius * rng.uniform(1.0, 1.5, (count, 1)), radius])


def _pulled_in(at, radius=0.82):
    """Points of the plane, those beyond `radius` moved onto it."""
    return at / np.maximum(1, np.hypot(*at.T) / radius)[:, None]
