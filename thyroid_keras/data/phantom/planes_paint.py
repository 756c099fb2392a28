"""Painting on a fan of beams: tissue, fluid, bright outlines and bone, in any position."""

import dataclasses
import math

import cv2
import numpy as np

from thyroid_keras.data.phantom.ultrasound import Scene, bell

FLUID_DB = -32.0
FLUID_LOSS_DB = -0.12  # per mm, below what the depth-gain compensation expects
BONE_LOSS_DB = 8.0
MAPS = ("x", "z", "echo_db", "loss_db", "specular", "calcium")


@dataclasses.dataclass(frozen=True, slots=True)
class Canvas:
    """A scene, and one structure's own coordinates on it.

    Args:
        scene: `Scene` of beams.
        spreading: `Fan.spreading()`.
        truth: uint8 `(H, W)`, 255 inside the structure that the picture is about.
        u, v: float32 `(H, W)`, position in the structure, in units of its half size.
        size: that half size in mm.
        rng: `numpy.random.Generator` of this picture.
    """

    scene: Scene
    spreading: np.ndarray
    truth: np.ndarray
    u: np.ndarray
    v: np.ndarray
    size: float
    rng: np.random.Generator

    @classmethod
    def blank(cls, scene, spreading, rng):
        """The canvas of a whole scene, in mm."""
        truth = np.zeros(scene.x.shape, np.uint8)
        return cls(scene, spreading, truth, scene.x, scene.z, 1.0, rng)

    def part(self, u, v, size, turn=0.0, reach=1.7):
        """The canvas of a part around `(u, v)`, of `size` times this one's half size.

        It shares the scene's maps but for what lies beyond `reach` of its own units.
        """
        cosine, sine = math.cos(turn) / size, math.sin(turn) / size
        du, dv = self.u - np.float32(u), self.v - np.float32(v)
        u, v = cosine * du + sine * dv, cosine * dv - sine * du
        near = np.maximum(np.abs(u), np.abs(v)) < reach
        rows, columns = (_span(near.any(axis)) for axis in (1, 0))
        scene, box = self.scene, (rows, columns)
        scene = dataclasses.replace(
            scene,
            rows=scene.rows[rows],
            columns=scene.columns[:, columns],
            **{name: getattr(scene, name)[box] for name in MAPS},
        )
        return Canvas(
            scene,
            self.spreading[rows],
            self.truth[box],
            u[box],
            v[box],
            self.size * size,
            self.rng,
        )

    def mark(self, rho):
        """Says that the structure lies where rho < 1."""
        self.truth[rho < 1] = 255

    def oval(self, u, v, half_u, half_v, turn=0.0):
        """Distance from the centre of an ellipse, 1 on its boundary; float32 `(H, W)`."""
        du, dv = self.u - np.float32(u), self.v - np.float32(v)
        if turn:
            cosine, sine = math.cos(turn), math.sin(turn)
            du, dv = cosine * du + sine * dv, cosine * dv - sine * du
        return cv2.magnitude(du * np.float32(1 / half_u), dv * np.float32(1 / half_v))

    def fill(self, inside, echo_db, loss_db=0.0):
        """Replaces what is there by tissue where `inside`, in [0, 1], says so."""
        scene = self.scene
        scene.echo_db += inside * (echo_db - scene.echo_db)
        scene.loss_db += inside * (np.float32(loss_db) - scene.loss_db)
        scene.specular *= 1 - inside

    def fluid(self, inside):
        """Replaces what is there by fluid."""
        self.fill(inside, np.float32(FLUID_DB), FLUID_LOSS_DB)

    def tissue(self, inside, echo_db, grain_mm=2.0, contrast_db=1.5, loss_db=0.0):
        """Replaces what is there by grainy tissue."""
        grain = self.scene.texture(self.rng, grain_mm, 1.4 * grain_mm)
        self.fill(inside, np.float32(echo_db) + np.float32(contrast_db) * grain, loss_db)

    def rim(self, rho, amplitude, thickness_mm, least=0.06, where=None, loss_db=0.0):
        """A reflecting face along rho = 1, bright where the beam meets it squarely.

        Args:
            rho: float32 `(H, W)`.
            amplitude: of the echo.
            thickness_mm: half of it.
            least: share of the amplitude that is left where the beam grazes the face.
            where: in [0, 1], `(H, W)`, the stretches that reflect; `None`: all.
            loss_db: lost per mm of the face.
        """
        scene = self.scene
        along = cv2.Sobel(rho, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
        across = cv2.Sobel(rho, cv2.CV_32F, 1, 0, ksize=1, scale=0.5) * self.spreading
        steepness = along * along + across * across + np.float32(1e-8)
        reach = max(thickness_mm / scene.pitch_mm, 0.6)
        off = (rho - 1) * (rho - 1) / (steepness * np.float32(reach * reach))
        face = np.exp(-np.minimum(off, 30))
        if where is not None:
            face *= where
        squarely = along * along / steepness
        line = face * (np.float32(least) + np.float32(1 - least) * squarely * squarely)
        np.maximum(scene.specular, np.float32(amplitude) * line, out=scene.specular)
        if loss_db:
            scene.loss_db += np.float32(loss_db) * face

    def vessel(self, u, v, half_u, half_v, turn=0.0, wall=6.0):
        """A dark lumen in a thin wall whose echo has the amplitude `wall`."""
        part = self.part(u, v, half_u, turn)
        rho = part.oval(0, 0, 1, half_v / half_u)
        part.fluid(inside(rho, 6))
        part.rim(rho, wall, 0.5)

    def stroke(self, along, off, half_length, half_width, amplitude, beads=0.0):
        """A bright bar, or a row of beads of that period; `along` and `off` in own units.

        Returns:
            float32 `(H, W)`, in [0, 1]: where it lies.
        """
        least = 0.45 * self.scene.pitch_mm / self.size
        ends = np.clip((half_length - np.abs(along)) / max(0.04 * half_length, least) + 0.5, 0, 1)
        bar = ends * bell(off / np.float32(max(half_width, least)))
        if beads:
            wave = np.cos(along * np.float32(math.pi / beads))
            bar *= wave * wave * np.abs(wave)
        scene = self.scene
        np.maximum(scene.specular, np.float32(amplitude) * bar, out=scene.specular)
        return bar

    def shadow(self, bone, strength=1.0):
        """Lets bone swallow sound, in dB per mm, so that what lies below it is dark."""
        self.scene.loss_db += np.float32(BONE_LOSS_DB * strength) * bone


def _span(near):
    """From the first to the last that is near; at least two samples, for gradients."""
    where = np.flatnonzero(near)
    return slice(where[0], where[-1] + 1) if len(where) > 1 else slice(0, 2)


def inside(rho, sharpness=14.0):
    """Returns 1 where rho < 1 and 0 beyond, with a soft edge."""
    return np.clip((1 - rho) * np.float32(sharpness) + np.float32(0.5), 0, 1)
