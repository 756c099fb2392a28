"""Side-by-side views as samples of their own."""

import dataclasses

from thyroid_keras.data.borders.sector import find_views
from thyroid_keras.data.decode import crop, decode
from thyroid_keras.data.pictures import ImageError, to_screen
from thyroid_keras.data.progress import map_threads

SIDES = ("left", "right")


def split_views(table, progress=True):
    """Makes two samples of each picture that shows two views side by side.

    They are called `<name>#left` and `<name>#right` and stay in one group. Where a mask or
    a box says which view the label is of, the other is left out. Samples that are a region
    of their picture already stay as they are.

    Args:
        table: `SampleTable`.
        progress: whether to show a progress bar.

    Returns:
        `SampleTable`, with a note of how many were split.
    """
    parts = list(map_threads(_parts, table.samples, "Looking for double views", progress))
    num_split = sum(own[0].name != s.name for own, s in zip(parts, table.samples, strict=True))
    notes = table.notes
    if num_split:
        notes += (f"Pictures of two views side by side, split: {num_split}.",)
    samples = tuple(part for own in parts for part in own)
    return dataclasses.replace(table, samples=samples, notes=notes)


def _parts(sample):
    if sample.roi is not None:
        return [sample]
    try:
        views = _views(decode(sample.image, channels=None, name=sample.name))
        if len(views) != 2:
            return [sample]
        parts = [
            dataclasses.replace(sample, name=f"{sample.name}#{side}", roi=view)
            for side, view in zip(SIDES, views, strict=True)
        ]
        return [part for part in parts if _shows_it(part)] or parts
    except ImageError:  # which the audit names
        return [sample]


def _views(image):
    """What `find_views` finds, sought in a smaller picture where this one is too large."""
    height, width = image.shape[:2]
    image, factor = to_screen(image)
    boxes = [[factor * value for value in view] for view in find_views(image)]
    return [(x, y, min(across, width - x), min(down, height - y)) for x, y, across, down in boxes]


def _shows_it(part):
    """Whether what the label is of lies in a view, as far as anybody has said."""
    if part.mask is not None:
        return bool((crop(decode(part.mask), part.roi) > 127).any())
    if part.box is None:
        return True
    middle = part.box[0] + part.box[2] / 2
    return part.roi[0] <= middle < part.roi[0] + part.roi[2]
