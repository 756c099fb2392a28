"""From splits to the batches that a phase is fed."""

import dataclasses

import keras

from thyroid_keras.data.augment import Augmentation
from thyroid_keras.data.batches import Batches
from thyroid_keras.data.store import PixelStore

MOVES = tuple(field.name for field in dataclasses.fields(Augmentation))  # how pictures are moved


def open_stores(recipe, splits, *, masks=True):
    """Decodes the images of the training and of the validation split.

    Args:
        recipe: `training.Recipe`.
        splits: `data.splits.Splits`.
        masks: bool, whether masks are wanted.

    Returns:
        dict of `data.store.PixelStore`, `train` and `val`.

    Raises:
        DataError: with every file of either split that cannot be read.
    """
    return {
        name: PixelStore(
            getattr(splits, name) if masks else _without_masks(getattr(splits, name)),
            recipe.size,
            recipe.channels,
            cache=recipe.cache,
            label=f"Reading {word} images",
        )
        for name, word in (("train", "training"), ("val", "validation"))
    }


def augmentation_of(recipe):
    """Returns the `Augmentation` that the fields of a recipe say."""
    return Augmentation(**{name: getattr(recipe, name) for name in MOVES if hasattr(recipe, name)})


def train_batches(recipe, store, targets, seed, *, augmentation=None, **options):
    """Shuffled and augmented `Batches`, as the recipe says; options go to `Batches`."""
    return Batches(
        store,
        batch_size=options.pop("batch_size", recipe.batch_size),
        targets=targets,
        augmentation=augmentation or augmentation_of(recipe),
        shuffle=True,
        seed=seed,
        **options,
    )


def val_batches(recipe, store, targets, **options):
    """`Batches` in order and as they are; options go to `Batches`."""
    return Batches(store, batch_size=recipe.batch_size, targets=targets, **options)


def feed(batches, first_epoch, num_epochs):
    """How `fit` gets its batches: ahead of time on TensorFlow, by Keras elsewhere.

    Returns:
        `(data, steps_per_epoch)`, with `None` where Keras counts for itself.
    """
    if keras.backend.backend() == "tensorflow":
        from thyroid_keras.data.pipeline import dataset

        return dataset(batches, first_epoch=first_epoch, num_epochs=num_epochs), len(batches)
    batches.epoch = first_epoch
    return batches, None


def _without_masks(table):
    samples = tuple(dataclasses.replace(sample, mask=None) for sample in table.samples)
    return dataclasses.replace(table, samples=samples)
