"""What the data tell of a sample's nodule, in pixels of the images that a network takes."""

import dataclasses

from thyroid_keras.data.boxes import region_of
from thyroid_keras.data.decode import load_sample


def nodule_of(sample, size):
    """Returns the outline of a sample's nodule, bool of `size`; `None` where unknown."""
    if sample.nodule is None:
        return None
    _, nodule = load_sample(dataclasses.replace(sample, mask=sample.nodule), size)
    return nodule > 127


def spacing_of(sample, size):
    """Returns mm of a pixel at `size`, `(height, width)`; `None` where unknown."""
    if sample.spacing_mm is None:
        return None
    _, _, width, height = region_of(sample)
    scale = height / size[0], width / size[1]
    return tuple(mm * s for mm, s in zip(sample.spacing_mm, scale, strict=True))
