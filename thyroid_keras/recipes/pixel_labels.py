"""The few images whose masks are learned from."""

import math

import numpy as np

from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import stratified_subset


def draw_pixel_labels(splits, recipe, seed):
    """Chooses the images whose masks may be used: a share of the training images.

    Args:
        splits: `data.splits.Splits`.
        recipe: `recipes.cs_agnet.CSAGNetRecipe`; `pixel_label_percent` of all training
            images are drawn, stratified by label, among those that have a mask.
        seed: int.

    Returns:
        dict of int64 indices: `train`, those drawn; `val`, all that have a mask.

    Raises:
        DataError: if no training or no validation image has a mask.
    """
    if problems := lacking_masks(splits, recipe.arch):
        raise DataError(problems)
    have = _with_masks(splits)
    wanted = math.floor(len(splits.train) * recipe.pixel_label_percent / 100)
    candidates = splits.train.select(have["train"])
    chosen = stratified_subset(candidates, max(1, min(wanted, len(candidates))), seed)
    names = {sample.name for sample in chosen.samples}
    drawn = [i for i in have["train"] if splits.train.samples[i].name in names]
    return {"train": np.array(drawn), "val": have["val"]}


def lacking_masks(splits, arch):
    """Returns which part of the data has no masks to learn from, as a list of str."""
    return [
        f"{splits.train.name}: no {name} image has a mask, and {arch} learns from masks. Add a "
        "`mask` column or masks/ folder, or choose an architecture without masks, as fan, sononet "
        "or mobilenet."
        for name, indices in _with_masks(splits).items()
        if not len(indices)
    ]


def _with_masks(splits):
    """The indices of the images that have a mask, of the training and the validation part."""
    return {
        name: np.flatnonzero([s.mask is not None for s in getattr(splits, name).samples])
        for name in ("train", "val")
    }
