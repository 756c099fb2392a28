"""The calcifications of a mask: how large each is, of what shape, and where.

A calcification is a part of a mask whose pixels touch by a side or a corner, inside the
nodule where somebody has outlined it, else inside the picture, which for crops is the square
about the nodule.
"""

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3))
PIXEL = 1 / 12  # the second moment of a pixel about its own centre


def measure(mask, *, nodule=None, spacing_mm=None):
    """Measures each calcification of a mask.

    Args:
        mask: bool `(H, W)`.
        nodule: bool `(H, W)`, outside which nothing counts; `None`: all counts.
        spacing_mm: `(height, width)` of a pixel; `None`: unknown.

    Returns:
        List of dicts, the largest first: `number` from 1; `area_px` and `area_share`, of the
        nodule; `x_px`, `y_px`, its centre, from the picture's corner; `major_px`, `minor_px`
        and `angle_deg` (of the major axis, from the horizontal, in [0, 180)), the ellipse of
        the same second moments; `elongation`, their ratio, at least 1; `margin_px`, from the
        centre to the nodule's margin; `place`, from 0, where that is largest, to 1, at the
        margin. With a spacing also `area_mm2`, `major_mm`, `minor_mm` and `margin_mm`.
    """
    mask = np.asarray(mask, bool)
    inside = np.ones_like(mask) if nodule is None else np.asarray(nodule, bool)
    labels, count = ndimage.label(mask & inside, TOUCHING)
    depth_px = _depth(inside)
    depth_mm = None if spacing_mm is None else _depth(inside, spacing_mm)
    parts = []
    for label, window in enumerate(ndimage.find_objects(labels), 1):
        points = np.argwhere(labels[window] == label) + [side.start for side in window]
        parts.append(_measure_one(points, inside.sum(), depth_px, depth_mm, spacing_mm))
    parts.sort(key=lambda part: -part["area_px"])
    return [{"number": n} | part for n, part in enumerate(parts, 1)]


def count_touched(mask, other, nodule=None):
    """Counts the calcifications of a mask that hold a pixel of another mask.

    Args:
        mask, other, nodule: as for `measure`.
    """
    labels, _ = ndimage.label(mask if nodule is None else mask & nodule, TOUCHING)
    return len(set(labels[other].tolist()) - {0})


def _measure_one(points, nodule_px, depth_px, depth_mm, spacing_mm):
    y, x = points.mean(axis=0)
    at = round(y), round(x)
    major, minor, angle_deg = _ellipse(points, (1, 1))
    part = {
        "area_px": len(points),
        "area_share": len(points) / nodule_px,
        "x_px": x + 0.5,
        "y_px": y + 0.5,
        "major_px": major,
        "minor_px": minor,
        "angle_deg": angle_deg,
        "elongation": major / minor,
        "margin_px": depth_px[at],
        "place": 1 - depth_px[at] / depth_px.max(),
    }
    if spacing_mm is not None:
        major, minor, _ = _ellipse(points, spacing_mm)
        part |= {"area_mm2": len(points) * np.prod(spacing_mm)}
        part |= {"major_mm": major, "minor_mm": minor, "margin_mm": depth_mm[at]}
    return {name: float(value) for name, value in part.items()} | {"area_px": len(points)}


def _ellipse(points, spacing):
    """Both axes of the ellipse of the same second moments, and the angle of the longer."""
    scaled = (points - points.mean(axis=0)) * spacing
    moments = scaled.T @ scaled / len(points) + np.diag(np.square(spacing) * PIXEL)
    values, vectors = np.linalg.eigh(moments)
    (minor, major), (dy, dx) = 4 * np.sqrt(values), vectors[:, 1]
    return major, minor, np.rad2deg(np.arctan2(-dy, dx)) % 180


def _depth(inside, spacing=(1, 1)):
    """The distance of each pixel's centre from the nodule's margin; the picture's rim is one."""
    padded = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    return np.maximum(padded[1:-1, 1:-1] - np.mean(spacing) / 2, 0)
