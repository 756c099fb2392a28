"""Simulated views of one place: a lobule at one site, which alone tells the class, among others."""

import functools

import numpy as np
from scipy.special import expit

from thyroid_keras.data.phantom.checks import check_count
from thyroid_keras.data.phantom.foci import paint_blob
from thyroid_keras.data.phantom.picture import generator, is_positive
from thyroid_keras.data.phantom.series import NOTE, simulate_series
from thyroid_keras.data.phantom.ultrasound import Probe, Scene, bell, scan
from thyroid_keras.data.samples import Sample, SampleTable

CLASS_NAMES = ("dark focus", "bright focus")
WIDTH_MM, TOP_MM = 32.0, 6.0  # of the window, and its depth below the probe
SITE = (0.36, 0.62, 0.13)  # x, y and radius of the site, in shares of the side
OTHERS = 4  # lobules beside the one at the site
LOBULE_DB = 7.0  # over the tissue around
DARK_DB = 25.0  # under the lobule


def phantom_site(num_patients, *, views=1, image_size=64, seed=0, progress=True):
    """Simulates an aligned set of images, in which place is everything.

    Each image holds five bright lobules with a dark or bright focus in each. One of them lies
    at the site, in every image the same, and its focus is what the class says; the others lie
    anywhere else, their foci dark or bright by chance. So whoever counts foci wherever they
    lie is right in about seven of ten, and whoever looks at the site alone always. Nothing in
    one image says which lobule that is: all are whole, of a size, and apart from one another.
    In the mean of many it stands out, since it alone is always there. Every image depends on
    `seed`, its patient and its view alone.

    Args:
        num_patients: int >= 1; half of them have a bright focus at the site.
        views: int >= 1, images of each: gain, speckle and all places within their bounds
            differ, and what the other foci are.
        image_size: int >= 32, side of the square images in pixels.
        seed: int >= 0.
        progress: bool, shows a progress bar.

    Returns:
        `SampleTable` of `num_patients * views` samples, patient by patient, `aligned`. The
        mask is that of the site, the same for all, whatever lies there.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(32, image_size=image_size)
    check_count(0, seed=seed)
    sample = functools.partial(_sample, seed, image_size, site_mask(image_size))
    samples = simulate_series(sample, num_patients, views, progress=progress)
    return SampleTable(
        name="aligned phantom",
        samples=samples,
        class_names=CLASS_NAMES,
        mask_source="simulated truth",
        target="site",
        notes=(NOTE,),
        aligned=True,
    )


def site_mask(image_size):
    """Returns the mask of the site, uint8 `(image_size, image_size)`, 255 inside."""
    centres = (np.arange(image_size) + 0.5) / image_size
    x, y, radius = SITE
    inside = (centres[None] - x) ** 2 + (centres[:, None] - y) ** 2 <= radius**2
    return np.where(inside, 255, 0).astype(np.uint8)


def _sample(seed, image_size, mask, patient, view):
    label = is_positive(seed, patient)
    group = f"p{patient + 1:04d}"
    return Sample(
        name=f"phantom/{group}_v{view + 1}",
        image=_image(generator(seed, patient, 7, view), label, image_size),
        label=int(label),
        group=group,
        mask=mask,
        spacing_mm=(WIDTH_MM / image_size, WIDTH_MM / image_size),
    )


def _image(rng, label, image_size):
    scene = Scene.empty(0.0, TOP_MM, WIDTH_MM, image_size).bent(rng, 0.3, 6.0)
    scene.echo_db += 2.0 * scene.texture(rng, 3.0, 5.0)
    lobules = _lobules(rng)
    bright = [label, *(rng.random(OTHERS) < 0.5)]
    scene.echo_db += LOBULE_DB * np.max([_lobule(scene, u, v) for u, v in lobules], axis=0)
    for (u, v), one in zip(lobules, bright, strict=True):
        u, v = (c + rng.uniform(-0.45, 0.45) * SITE[2] for c in (u, v))
        _paint_focus(scene, rng, u, v, one)
    return scan(scene, Probe.draw(rng), rng)[0]


def _lobules(rng):
    """Centres in shares of the side, the site's first: all whole, none overlaps another."""
    x, y, radius = SITE
    while True:
        centres = [(x, y)]
        for _ in range(100):  # then anew, for there may be no room left
            u, v = rng.uniform(radius, 1 - radius, 2).tolist()
            if all(np.hypot(u - a, v - b) > 2 * radius for a, b in centres):
                centres.append((u, v))
            if len(centres) > OTHERS:
                return centres


def _lobule(scene, u, v):
    """1 inside a lobule about u, v, 0 outside, with a soft edge; `(H, W)`."""
    distance = np.hypot(scene.x / WIDTH_MM - u, (scene.z - TOP_MM) / WIDTH_MM - v)
    return expit(12 * (1 - distance / SITE[2]))


def _paint_focus(scene, rng, u, v, bright):
    x, z = u * WIDTH_MM, TOP_MM + v * WIDTH_MM
    width = rng.uniform(1.0, 1.5)
    height = 0.8 * width
    if bright:
        paint_blob(scene.calcium, scene, x, z, width, height, rng.uniform(6, 9))
    else:
        box, dx, dz = scene.patch(x, z, 1.6 * width, 1.6 * height)
        scene.echo_db[box] -= DARK_DB * bell((dx / width) ** 2 + (dz / height) ** 2)
