"""Weakly supervised localisation: boxes from maps that nobody taught where to look."""

import dataclasses
import math

import cv2
import numpy as np
from keras import ops

from thyroid_keras.answers import class_probabilities
from thyroid_keras.explain.class_map import (
    CLASS_MAPS,
    evidence_of,
    has_class_map,
    predict_maps,
)

ALL, CLASS = "AG-all", "AG3"
SIGMA_PX, SIGMA_SIZE = 5.0, (208, 272)  # the paper's image size
THRESHOLD = 0.5
CONNECTIVITY = 8
NOWHERE = (-1, -1, -1, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Localisation:
    """Where a network sees the class of each of B images.

    Args:
        maps: dict from name to float32 `(B, H, W)` in [0, 1], at the size of the image:
            `AG1`, `AG2`, ... of the gates, from fine to coarse; `AG3`, the class map; and
            `AG-all`, their mean. A map that is the same everywhere is 0.
        boxes: int64 `(B, 4)`, left, top, width, height in pixels of the image; -1s where
            every map is the same everywhere.
        evidence: float32 `(B, h, w)`, the class map before it was scaled and cut at 0, see
            `evidence_map`.
        class_indices: int64 `(B,)`, the class whose map `AG3` is.
        probabilities: float64 `(B, K)`.
    """

    maps: dict
    boxes: np.ndarray
    evidence: np.ndarray
    class_indices: np.ndarray
    probabilities: np.ndarray


def can_localise(model):
    """Whether a model has a class map and draws no mask of its own."""
    masked = isinstance(model.output, dict) and "mask" in model.output
    return not masked and has_class_map(model)


def localise(model, images, class_index=None, *, batch_size=16, **rule):
    """Finds the place of a class in images, in one forward pass each.

    Args:
        model: `keras.Model` with a class map, see `with_maps`; of an ensemble the maps of
            all members are averaged.
        images: `(B, H, W, C)`, as the model takes them.
        class_index: int in [0, K), or one per image `(B,)`; `None`: the predicted class.
        batch_size: int, images at a time.
        **rule: options of `find_box`.

    Returns:
        `Localisation`.

    Raises:
        ValueError: if the model has no class map, or `class_index` is out of range.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, captions of Figs. 3 to 5, Appendix.
    """
    parts = [
        read_localisation(outputs, images.shape[1:3], chosen, **rule)
        for outputs, chosen in predict_maps(model, images, class_index, batch_size)
    ]
    arrays = ("boxes", "evidence", "class_indices", "probabilities")
    return Localisation(
        maps={n: np.concatenate([part.maps[n] for part in parts]) for n in parts[0].maps},
        **{n: np.concatenate([getattr(part, n) for part in parts]) for n in arrays},
    )


def read_localisation(outputs, size, class_indices, **rule):
    """Returns the `Localisation` of a batch of images from the outputs of `with_maps`.

    Args:
        outputs: dict of arrays, with `class_maps`.
        size: `(H, W)` of the images.
        class_indices: `(B,)` ints, the classes to be found.
        **rule: options of `find_box`.
    """
    outputs = {name: ops.convert_to_numpy(values) for name, values in outputs.items()}
    scales = _scales(outputs, size, class_indices)
    return Localisation(
        maps=scales | {ALL: np.mean(list(scales.values()), axis=0)},
        boxes=_boxes(scales, **rule),
        evidence=evidence_of(outputs, class_indices),
        class_indices=class_indices,
        probabilities=class_probabilities(outputs),
    )


def read_places(outputs, size, class_indices):
    """Returns `boxes` and `evidence` alone, see `read_localisation`."""
    found = read_localisation(outputs, size, class_indices)
    return found.boxes, found.evidence


def rule_of(size):
    """Returns what `find_box` does at an image's size `(H, W)`, as a dict fit for JSON."""
    return {
        "map": ALL,
        "class": "the one that the network names",
        "sigma_px": round(default_sigma(size), 3),
        "threshold": THRESHOLD,
        "connectivity": CONNECTIVITY,
    }


def unit_maps(maps, size):
    """Resizes maps bilinearly to an image's size and divides each by its maximum.

    Args:
        maps: float `(B, h, w)`.
        size: `(H, W)`.

    Returns:
        float32 `(B, H, W)` in [0, 1]; 0 where a map is the same everywhere, for it points
        nowhere.

    Decision: what is below 0, and speaks against the class, counts as 0.
    """
    found = np.zeros((len(maps), *size), np.float32)
    for unit, grid in zip(found, maps, strict=True):
        if np.ptp(grid) > 0:
            scaled = cv2.resize(np.maximum(grid, 0, dtype=np.float32), size[::-1])
            unit[:] = scaled / max(float(scaled.max()), np.finfo(np.float32).tiny)
    return found


def resize_maps(maps, size):
    """Resizes maps `(B, h, w)` bilinearly to `(H, W)`, with their signs; float32."""
    return np.stack([cv2.resize(np.float32(grid), size[::-1]) for grid in maps])


def find_box(scales, *, sigma_px=None, threshold=THRESHOLD, connectivity=CONNECTIVITY):
    """Finds the box of what the maps of all scales agree on.

    Each map is blurred; what is at least `threshold` of its maximum is its mask. So is the
    mean of all maps, whose mask falls into components. The component is taken whose
    smallest overlap with a scale's mask, in pixels, is largest, or the largest component
    where none overlaps all of them. The box is the smallest around it.

    Args:
        scales: sequence of float32 `(H, W)` in [0, 1], each with a maximum of 1, or all 0
            and then without a say.
        sigma_px: > 0, SD of the Gaussian, cut at 3 SD, the border repeated; `None`: 5 px at
            208x272, and in proportion to the image's sides at other sizes.
        threshold: in (0, 1], share of the maximum.
        connectivity: 4 or 8, of neighbouring pixels.

    Returns:
        `(left, top, width, height)`, ints in pixels; `None` where no map is above 0.

    Raises:
        ValueError: if `sigma_px`, `threshold` or `connectivity` is out of range.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Appendix, which gives the steps.
    Decision: sigma, threshold, connectivity and what "overlaps at each scale" means in
        pixels are ours. Zhou et al. 2016 (class activation maps) take a threshold of 0.2.
    """
    if sigma_px is not None and not 0 < sigma_px < math.inf:
        raise ValueError(
            "`sigma_px` must be above 0 and finite; leave it out for one that suits the image. "
            f"Received: sigma_px={sigma_px}"
        )
    if not 0 < threshold <= 1:
        raise ValueError(
            "`threshold` must be a share of the maximum, above 0 and at most 1. "
            f"Received: threshold={threshold}"
        )
    if connectivity not in (4, 8):
        raise ValueError(f"`connectivity` must be 4 or 8. Received: connectivity={connectivity}")
    blurred = [_blur(m, sigma_px or default_sigma(m.shape)) for m in scales if m.any()]
    if not blurred:
        return None
    inside = _at_least(threshold, sum(blurred)).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=connectivity)
    chosen = 1  # 0 is what lies outside
    if count > 2:
        masks = [_at_least(threshold, values) for values in blurred]
        shared = np.min([np.bincount(labels[m], minlength=count)[1:] for m in masks], axis=0)
        chosen += np.argmax(shared if shared.any() else stats[1:, cv2.CC_STAT_AREA])
    return tuple(stats[chosen, : cv2.CC_STAT_AREA].tolist())


def default_sigma(size):
    """SD in pixels of the blur of an image of `(H, W)`: 5 px at 208x272."""
    return SIGMA_PX * math.sqrt(math.prod(size) / math.prod(SIGMA_SIZE))


def _at_least(threshold, values):
    return values >= threshold * values.max()


def _blur(values, sigma_px):
    side = 2 * math.ceil(3 * sigma_px) + 1
    return cv2.GaussianBlur(values, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)


def _scales(outputs, size, class_indices):
    """The map of each scale, from fine to coarse, at the image's size."""
    gates = [name for name in outputs if name not in ("label", CLASS_MAPS)]
    grids = {f"AG{i}": outputs[name] for i, name in enumerate(gates, 1)}
    grids[CLASS] = evidence_of(outputs, class_indices)
    return {name: unit_maps(maps, size) for name, maps in grids.items()}


def _boxes(scales, **rule):
    found = [find_box(maps, **rule) or NOWHERE for maps in zip(*scales.values(), strict=True)]
    return np.array(found, np.int64).reshape(-1, 4)
