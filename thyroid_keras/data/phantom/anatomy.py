"""The neck around the nodule: skin, fat, strap muscles, gland, trachea, carotid."""

import dataclasses

import numpy as np

from thyroid_keras.data.phantom.ultrasound import bell

BLOOD_DB = -30.0
FLUID_GAIN_DB = -0.45  # attenuation that fluid spares, per mm


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neck:
    """Where things lie in one picture, in mm.

    Args:
        frame: width and depth of the frame.
        fat, muscle, lobe_top: depth of the upper faces.
        lobe: `(x, z, half width, half height)`.
        side: -1 or 1, where the trachea lies; 0 in a longitudinal picture.
        carotid: `(x, z, radius)`.
        trachea: `(x, z, radius)`.
    """

    frame: float
    fat: float
    muscle: float
    lobe_top: float
    lobe: tuple[float, float, float, float]
    side: int
    carotid: tuple[float, float, float]
    trachea: tuple[float, float, float]

    @classmethod
    def draw(cls, rng, half_width, half_height):
        """A neck whose lobe holds a nodule of the given half axes."""
        frame = rng.uniform(35, 42)
        fat = rng.uniform(0.9, 1.5)
        muscle = fat + rng.uniform(1.2, 3.0)
        lobe_top = muscle + rng.uniform(2.5, 5.0)
        side = int(rng.choice([-1, 0, 1], p=[0.35, 0.3, 0.35]))
        height = max(rng.uniform(8, 10), half_height + 1.2)
        width = max(rng.uniform(8.5, 11.5), half_width + 1.2)
        width = width if side else max(width, rng.uniform(20, 26))
        x = frame / 2 - side * rng.uniform(-1, 3)
        z = lobe_top + height
        airway = rng.uniform(8, 10)
        artery = rng.uniform(2.4, 3.5)
        return cls(
            frame=frame,
            fat=fat,
            muscle=muscle,
            lobe_top=lobe_top,
            lobe=(x, z, width, height),
            side=side,
            trachea=(x + side * (width + 0.8 * airway), z + rng.uniform(-1, 3), airway),
            carotid=(
                x - side * (width + artery - rng.uniform(0.3, 1.5)),
                z + rng.uniform(-2, 4),
                artery,
            ),
        )

    def place(self, rng, half_width, half_height):
        """Centre of a nodule of the given half axes inside the lobe."""
        x, z, width, height = self.lobe
        room_x = max(0.0, min(width - half_width - 1, self.frame / 2 - half_width - 1))
        room_z = max(0.0, height - half_height - 1)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.7)
        centre = x if self.side else self.frame / 2
        return centre + room_x * distance * np.cos(angle), z + room_z * distance * np.sin(angle)


def paint_neck(scene, neck, rng):
    """Fills a scene with everything but the nodule."""
    bent = scene.bent(rng, 0.45, 5.0)
    paint_layers(bent, neck, rng)
    paint_lobe(bent, neck, rng)
    if neck.side:
        paint_carotid(bent, neck)
        paint_trachea(bent, neck, rng)


def paint_layers(scene, neck, rng):
    """Skin, fat, fascia and strap muscles above; prevertebral muscle and bone below."""
    top, bottom = neck.lobe_top, neck.lobe[1] + neck.lobe[3]
    streaks = scene.texture(rng, 0.5, 6.0)
    scene.echo_db[:] = 4.5 * np.maximum(streaks, -0.7) - np.where(scene.z < bottom, 9.5, 6.5)
    if scene.rows[0, 0] < top + 2:
        echo = np.where(scene.z < neck.muscle, -4 + 3.5 * streaks, scene.echo_db)
        scene.echo_db[:] = np.where(scene.rows < neck.fat, 7 + 3 * streaks, echo)
        between = neck.muscle + rng.uniform(0.3, 0.7) * (top - neck.muscle)
        for face in (neck.fat, neck.muscle, between):
            paint_face(scene, face + _wave(rng, scene.columns, 0.25, 22), rng.uniform(4, 14), rng)
    if scene.rows[-1, 0] > bottom - 2:
        bone = bottom + rng.uniform(2, 7) + _wave(rng, scene.columns, 0.8, 26)
        rough = dataclasses.replace(scene, z=scene.z + 0.2 * scene.texture(rng, 2.0, 2.0))
        paint_face(rough, bottom + 0.8, rng.uniform(4, 14), rng)
        paint_face(rough, bone, rng.uniform(8, 20), rng, thickness=0.3)
        scene.loss_db += np.where(scene.z > bone, np.float32(1.3), np.float32(0))


def paint_face(scene, depth, amplitude, rng, thickness=0.18):
    """A reflecting face at `depth`, broken into brighter and darker stretches."""
    patchy = np.clip(0.6 + 0.6 * scene.texture(rng, 30, 4.0), 0.05, None)
    rows = scene.band(np.min(depth) - 3, np.max(depth) + 3)
    line = amplitude * patchy[rows] * bell((scene.z[rows] - depth) / np.float32(thickness))
    scene.specular[rows] = np.maximum(scene.specular[rows], line)


def paint_lobe(scene, neck, rng):
    """The gland: fine, even texture, a few vessels, a thin bright capsule."""
    x, z, width, height = (np.float32(value) for value in neck.lobe)
    # the lobe leans on the trachea: rounder there, pointed towards the carotid
    lean = (scene.x - x) / width
    down = (scene.z - z) / (height * (1 + np.float32(0.15 * neck.side) * lean.clip(-1, 1)))
    down_squared = down * down
    rho = np.sqrt(lean * lean + down_squared * np.sqrt(np.abs(down)))
    gland = 1.3 * scene.texture(rng, 2.2, 3.0) + rng.uniform(-1, 1)
    scene.echo_db[:] = np.where(rho < 1, gland, scene.echo_db)
    scene.specular *= rho > 0.98
    patchy = np.clip(4 + 5 * scene.texture(rng, 5.0, 3.0), 0, None)
    capsule = patchy * bell((rho - 1) * (height / np.float32(0.22))) * down_squared
    np.maximum(scene.specular, capsule, out=scene.specular)
    for _ in range(rng.poisson(2.0)):
        paint_vessel(scene, neck.lobe, rng)


def paint_vessel(scene, lobe, rng):
    """A small dark vessel of the gland, cut lengthwise or across."""
    x, z, width, height = lobe
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.85)
    x, z = x + distance * width * np.cos(angle), z + distance * height * np.sin(angle)
    length, radius = rng.uniform(0.5, 2.5), rng.uniform(0.3, 0.7)
    box, dx, dz = scene.patch(x, z, length + 1, radius + 2)
    rho = (dx / length) ** 2 + ((dz - rng.uniform(-0.4, 0.4) * dx) / radius) ** 2
    scene.echo_db[box] -= 18 * bell(rho)


def paint_carotid(scene, neck):
    """Blood behind a bright wall, with enhancement below."""
    x, z, radius = neck.carotid
    box, dx, dz = scene.patch(x, z, radius + 2.5, radius + 2.5)
    if not dx.size:
        return
    distance = np.sqrt(dx**2 + dz**2)
    lumen = distance < radius
    scene.echo_db[box] = np.where(lumen, BLOOD_DB, scene.echo_db[box])
    scene.specular[box] *= ~lumen
    scene.loss_db[box] += FLUID_GAIN_DB * lumen
    squarely = (dz / (distance + 0.1)) ** 2
    wall = (1.5 + 10 * squarely) * bell((distance - radius) / 0.25)
    scene.specular[box] = np.maximum(scene.specular[box], wall)


def paint_trachea(scene, neck, rng):
    """Cartilage before air: a bright face, reverberations that fade, a dirty shadow."""
    x, z, radius = neck.trachea
    box, dx, dz = scene.patch(x, z, radius + 2.5, radius + 40)
    if not dx.size:
        return
    rho = np.sqrt(dx**2 + (1.15 * np.minimum(dz, 0)) ** 2)
    deep = radius - rho
    within = np.clip(deep / 1.2, 0, 1)  # soft sides: the beam is wide
    dark = -9 - 1.1 * deep.clip(0, 9) + 2 * scene.texture(rng, 1.0, 2.5)[box]
    scene.echo_db[box] += within * (dark - scene.echo_db[box])
    scene.specular[box] *= 1 - within
    squarely = np.clip(-dz / radius, 0.1, 1) ** 2
    period, cartilage = rng.uniform(1.6, 2.6), rng.uniform(1.0, 1.6)
    behind = deep - cartilage
    # cos² of half the angle to the sixth: narrow bands
    echoes = np.cos(np.pi * behind / period) ** 2
    echoes = (echoes * echoes * echoes) ** 2 * np.exp(-behind.clip(0) / 2)
    lines = 9 * bell(deep / 0.3) + 13 * echoes * (behind > -0.4)
    scene.specular[box] = np.maximum(scene.specular[box], squarely * lines * (dz < 0))
    scene.loss_db[box] += np.where(behind > 0, np.float32(0.25), 0)


def _wave(rng, x, amplitude, period):
    """A smooth random curve over `x`: two sines of random phase."""
    phase = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
    turn = np.float32(2 * np.pi / period)
    return np.float32(0.7 * amplitude) * (
        np.sin(turn * x + phase[0]) + np.sin(np.float32(1.7) * turn * x + phase[1])
    )
