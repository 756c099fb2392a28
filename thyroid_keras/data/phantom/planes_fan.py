"""A curved probe: beams that fan out, and the screen that shows them."""

import dataclasses
import math

import cv2
import numpy as np

from thyroid_keras.data.phantom.ultrasound import Probe, Scene

BEAMS_PER_COLUMN = 0.65


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """Where the beams of a curved probe run, and which part of them the screen shows.

    Lengths in mm; x to the right and z downwards from the middle of the probe's face.

    Args:
        size: `(H, W)` of the picture in pixels.
        depth: length of the beams.
        radius: of the probe's face.
        half_angle: between the middle beam and the outermost, radians.
        left, top: position of the picture's upper left corner.
        pitch: side of a pixel of the picture.
    """

    size: tuple[int, int]
    depth: float
    radius: float
    half_angle: float
    left: float
    top: float
    pitch: float

    @classmethod
    def draw(cls, rng, size, depth):
        """A fan that fills most of the picture, as the examiner sets it."""
        height, width = size
        radius = rng.uniform(40, 60)
        half_angle = math.radians(rng.uniform(26, 40))
        sag = radius * (1 - math.cos(half_angle))
        pitch = (depth + 0.3 * sag) / height * rng.uniform(0.88, 1.04)
        return cls(
            size=size,
            depth=depth,
            radius=radius,
            half_angle=half_angle,
            left=-pitch * width * rng.uniform(0.44, 0.56),
            top=-sag * rng.uniform(0.0, 0.8),
            pitch=pitch,
        )

    def scene(self):
        """An empty scene with one column per beam; its `pitch_mm` is that along the beams."""
        depth, angle = self.depths(), self.angles()
        x = (depth + np.float32(self.radius)) * np.sin(angle)
        z = (depth + np.float32(self.radius)) * np.cos(angle) - np.float32(self.radius)
        maps = [np.zeros(x.shape, np.float32) for _ in range(4)]
        return Scene(angle, depth, x, z, self.depth / self.size[0], *maps)

    def depths(self):
        """Distances of the samples from the probe's face, float32 `(H, 1)` in mm."""
        rows = np.arange(self.size[0], dtype=np.float32)[:, None]
        return (rows + np.float32(0.5)) * np.float32(self.depth / self.size[0])

    def angles(self):
        """Directions of the beams, float32 `(1, W)` in radians."""
        beams = max(24, round(BEAMS_PER_COLUMN * self.size[1]))
        return np.linspace(-self.half_angle, self.half_angle, beams, dtype=np.float32)[None]

    def spreading(self):
        """Step along the beams over that across them, of neighbouring samples, `(H, 1)`."""
        pitch = self.depth / self.size[0]
        step = 2 * self.half_angle / (self.angles().size - 1)
        return np.float32(pitch / step) / (self.depths() + np.float32(self.radius))

    def probe(self, rng):
        """Settings of transducer and screen as they differ between pictures."""
        pitch = self.depth / self.size[0]
        return Probe(
            axial_mm=rng.uniform(0.2, 0.38),
            lateral_mm=rng.uniform(0.8, 1.7) * pitch * self.size[1] / 272,
            focus_mm=self.depth * rng.uniform(0.4, 0.8),
            field_mm=self.depth * rng.uniform(0.5, 0.9),
            gain_db=rng.uniform(15, 27),
            range_db=rng.uniform(48, 64),
            tilt_db=rng.uniform(-3, 12) / self.depth,
            floor_db=rng.uniform(-28, -19),
        )

    def screen(self, *fields):
        """Shows uint8 fields of the scene's shape as the screen does, `(H, W)` each."""
        height, width = self.size
        pitch, left, top = (np.float32(v) for v in (self.pitch, self.left, self.top + self.radius))
        x, z = np.broadcast_arrays(
            np.arange(width, dtype=np.float32)[None] * pitch + left,
            np.arange(height, dtype=np.float32)[:, None] * pitch + top,
        )
        # angles from the z axis, in [0, 2 pi) as OpenCV has it, so turned by pi
        reach, angle = cv2.cartToPolar(-z, -x)
        beams = self.angles().size
        columns = (angle - np.float32(math.pi)) * np.float32((beams - 1) / (2 * self.half_angle))
        rows = (reach - np.float32(self.radius)) * np.float32(height / self.depth) - 0.5
        where = cv2.convertMaps(columns + (beams - 1) / 2, rows, cv2.CV_16SC2)
        return [cv2.remap(field, *where, cv2.INTER_LINEAR) for field in fields]
