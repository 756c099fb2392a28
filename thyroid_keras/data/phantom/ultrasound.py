"""The physics: from a map of scatterers to the grey values on the screen.

Amplitudes are relative to the diffuse echo of the healthy gland, which has 0 dB.
"""

import dataclasses
import functools
import math

import cv2
import numpy as np

DB = math.log(10) / 20  # exp(DB * x) is the amplitude of x decibel


CLUTTER_DB = 20.0  # the deepest shadow
DIFFUSE = 0.35  # of a reflector's amplitude, that which is scattered


@dataclasses.dataclass(slots=True)
class Scene:
    """The tissue in a square window, as the beam meets it.

    Args:
        columns: float32 `(1, W)`, lateral position of the pixels in mm of the frame.
        rows: float32 `(H, 1)`, their depth below the probe in mm.
        x, z: float32 `(H, W)`, the same positions, bent where tissue is.
        pitch_mm: size of a pixel.
        echo_db: float32 `(H, W)`, diffuse backscatter.
        loss_db: float32 `(H, W)`, two-way attenuation per mm beyond what the
            depth-gain compensation makes up for; negative in fluid.
        specular: float32 `(H, W)`, amplitude of mirror-like echoes.
        calcium: float32 `(H, W)`, amplitude of calcified echoes.
    """

    columns: np.ndarray
    rows: np.ndarray
    x: np.ndarray
    z: np.ndarray
    pitch_mm: float
    echo_db: np.ndarray
    loss_db: np.ndarray
    specular: np.ndarray
    calcium: np.ndarray

    @classmethod
    def empty(cls, left_mm, top_mm, width_mm, size):
        """A homogeneous gland behind a window of `size` by `size` pixels."""
        pitch = width_mm / size
        centres = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(pitch)
        maps = [np.zeros((size, size), np.float32) for _ in range(4)]
        columns, rows = centres[None] + np.float32(left_mm), centres[:, None] + np.float32(top_mm)
        x, z = np.broadcast_arrays(columns, rows)
        return cls(columns, rows, x, z, pitch, *maps)

    def bent(self, rng, amplitude_mm, grain_mm):
        """The same maps under coordinates that waver, so that nothing is ruled straight."""
        x = self.x + amplitude_mm * self.texture(rng, grain_mm, grain_mm)
        z = self.z + amplitude_mm * self.texture(rng, grain_mm, 1.5 * grain_mm)
        return dataclasses.replace(self, x=x, z=z)

    def texture(self, rng, axial_mm, lateral_mm):
        """Smooth noise of about unit variance with grains of the given size."""
        height, width = self.echo_db.shape
        rows = max(3, math.ceil(height * self.pitch_mm / axial_mm))
        columns = max(3, math.ceil(width * self.pitch_mm / lateral_mm))
        grains = rng.standard_normal((rows, columns), dtype=np.float32)
        return cv2.resize(grains, (width, height), interpolation=cv2.INTER_CUBIC) * 1.3

    def patch(self, x, z, half_width, half_height):
        """Rows, columns, and the distances in mm from `(x, z)` in a box around it."""
        height, width = self.echo_db.shape
        rows = self._span(z - self.rows[0, 0], half_height, height)
        columns = self._span(x - self.columns[0, 0], half_width, width)
        box = rows, columns
        return box, self.x[box] - np.float32(x), self.z[box] - np.float32(z)

    def band(self, top, bottom):
        """Rows whose depth in mm lies between `top` and `bottom`."""
        half = (bottom - top) / 2
        return self._span(top + half - self.rows[0, 0], half, len(self.rows))

    def _span(self, offset, half, size):
        start = int(np.clip((offset - half) / self.pitch_mm, 0, size))
        return slice(start, int(np.clip((offset + half) / self.pitch_mm + 2, start, size)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Settings of transducer and screen.

    Args:
        axial_mm: standard deviation of the point-spread function along the beam.
        lateral_mm: the same across the beam, at the focus.
        focus_mm: depth of the focus.
        field_mm: distance from the focus at which the beam is 1.4 times as wide.
        gain_db: grey level of the gland above black.
        range_db: decibels from black to white.
        tilt_db: error of the depth-gain compensation, per mm below the focus.
        floor_db: electronic noise.
    """

    axial_mm: float = 0.09
    lateral_mm: float = 0.20
    focus_mm: float = 18.0
    field_mm: float = 14.0
    gain_db: float = 22.0
    range_db: float = 58.0
    tilt_db: float = 0.15
    floor_db: float = -24.0

    @classmethod
    def draw(cls, rng):
        """Settings as they differ from one picture to the next."""
        return cls(
            axial_mm=rng.uniform(0.08, 0.11),
            lateral_mm=rng.uniform(0.16, 0.24),
            focus_mm=rng.uniform(13, 24),
            gain_db=rng.uniform(18, 27),
            range_db=rng.uniform(52, 64),
            tilt_db=rng.uniform(0.0, 0.35),
            floor_db=rng.uniform(-27, -20),
        )


def bell(distance):
    """Returns exp(-distance²), without the denormal numbers that slow everything down."""
    return np.exp(-np.minimum(distance * distance, 30))


def scan(scene, probe, rng):
    """Images a scene.

    The envelope of a complex random field seen through a point-spread function,

        envelope = |psf * (sqrt(echo) noise + specular + calcium)| transmission + floor
        transmission = exp(-cumulative loss down the column)

    is compressed logarithmically.

    Args:
        scene: `Scene`.
        probe: `Probe`.
        rng: `numpy.random.Generator`, the speckle.

    Returns:
        Grey values, uint8 `(H, W)`, and the amplitude of the calcified echoes over
        that of the tissue they lie in, float32 `(H, W)`, >= 0.
    """
    lateral = lateral_widths(scene, probe)
    axial = probe.axial_mm / scene.pitch_mm
    transmission = np.exp(-DB * column_loss(scene, probe))
    # real faces are rough: they break up into brighter and darker stretches
    uneven = scene.texture(rng, 0.5, 0.9)
    calcium = scene.calcium * np.clip(0.9 + 0.25 * uneven, 0.4, None)
    reflectors = scene.specular * np.clip(0.75 + 0.45 * uneven, 0.1, None) + calcium
    envelope = speckle(rng, scene.echo_db, reflectors, axial, lateral)
    floor = math.exp(DB * probe.floor_db)
    noise = rng.standard_normal(envelope.shape, dtype=np.float32)
    envelope = np.sqrt((envelope * transmission) ** 2 + (floor * noise) ** 2)
    envelope = point_spread(envelope, 0.6 * axial, [0.5 * s for s in lateral])
    level_db = cv2.log(envelope + 1e-6) / DB
    grey = (level_db + probe.gain_db) * (255 / probe.range_db)
    image = np.clip(grey, 0, 255).astype(np.uint8)
    if not calcium.any():
        return image, np.zeros_like(calcium)
    echo = point_spread(calcium, axial, lateral) * transmission
    around = np.exp(DB * scene.echo_db) * transmission
    return image, echo / np.sqrt(around**2 + floor**2)


def speckle(rng, echo_db, specular, axial_px, lateral_px):
    """Envelope of the echoes of scatterers and reflectors, float32 `(H, W)`.

    Args:
        rng: `numpy.random.Generator`.
        echo_db: float32 `(H, W)`, power of the scatterers.
        specular: float32 `(H, W)`, amplitude of the reflectors.
        axial_px: width of the point-spread function along columns, in pixels.
        lateral_px: the same along rows, one value for each band of rows.
    """
    shape = echo_db.shape
    sigma_rows = np.repeat(lateral_px, -(-shape[0] // len(lateral_px)))[: shape[0]]
    energy = {s: math.sqrt((_kernel(s) ** 2).sum()) for s in lateral_px}
    # the filters sum to 1 for reflectors; scatterers add up as power
    scale = np.array([1 / energy[s] for s in sigma_rows], np.float32)[:, None]
    scale /= math.sqrt(2 * (_kernel(axial_px) ** 2).sum())
    amplitude = np.exp(DB * echo_db) * scale
    amplitude += DIFFUSE * scale * specular
    real = amplitude * rng.standard_normal(shape, dtype=np.float32) + specular
    imaginary = amplitude * rng.standard_normal(shape, dtype=np.float32)
    return cv2.magnitude(
        point_spread(real, axial_px, lateral_px), point_spread(imaginary, axial_px, lateral_px)
    )


def point_spread(field, axial_px, lateral_px):
    """Blurs a float32 field by a Gaussian whose lateral width changes with depth."""
    blurred = np.empty_like(field)
    rows = -(-len(field) // len(lateral_px))
    for band, sigma in enumerate(lateral_px):
        part = slice(band * rows, (band + 1) * rows)
        if len(field[part]):
            blurred[part] = cv2.sepFilter2D(field[part], -1, _kernel(sigma), np.ones(1))
    return cv2.sepFilter2D(blurred, -1, np.ones(1), _kernel(axial_px))


def lateral_widths(scene, probe, bands=8):
    """Width of the beam in pixels for each band of rows: least at the focus."""
    depth = np.linspace(scene.rows[0, 0], scene.rows[-1, 0], bands)
    spread = np.sqrt(1 + ((depth - probe.focus_mm) / probe.field_mm) ** 2)
    return tuple(np.round(probe.lateral_mm / scene.pitch_mm * spread, 2).tolist())


def column_loss(scene, probe):
    """Decibels lost on the way to each pixel and back, float32 `(H, W)`."""
    loss = np.cumsum(scene.loss_db, axis=0, dtype=np.float32) * np.float32(scene.pitch_mm)
    beam = 1.2 * probe.lateral_mm / scene.pitch_mm
    loss = cv2.sepFilter2D(loss, -1, _kernel(beam), np.ones(1))
    # stray echoes fill every shadow: it never gets quite black
    loss = np.minimum(loss, CLUTTER_DB * np.tanh(loss / CLUTTER_DB))
    return loss + np.float32(probe.tilt_db) * (scene.rows - np.float32(probe.focus_mm))


@functools.lru_cache(maxsize=1024)
def _kernel(sigma):
    """Gaussian of odd length, summing to 1."""
    radius = max(1, math.ceil(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 0.3)) ** 2)
    return weights / weights.sum()
