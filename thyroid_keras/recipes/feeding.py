"""From splits to the batches that a phase is fed."""

import keras

from thyroid_keras.data.augment import Augmentation
from thyroid_keras.data.batches import Batches
from thyroid_keras.data.store import PixelStore


def open_stores(recipe, splits):
    """Decodes the images of the training and of the validation split.

    Returns:
        dict of `data.store.PixelStore`, `train` and `val`.

    Raises:
        DataError: with every file of either split that cannot be read.
    """
    size = (recipe.image_size, recipe.image_size)
    return {
        name: PixelStore(
            getattr(splits, name),
            size,
            recipe.channels,
            cache=recipe.cache,
            label=f"Reading {word} images",
        )
        for name, word in (("train", "training"), ("val", "validation"))
    }


def train_batches(recipe, store, targets, seed, **options):
    """Shuffled and augmented `Batches`, as the recipe says; options go to `Batches`."""
    augmentation = Augmentation(
        flip_horizontal=recipe.flip_horizontal,
        flip_vertical=recipe.flip_vertical,
        rotation_deg=recipe.rotation_deg,
        shift=recipe.shift,
        zoom=recipe.zoom,
        gain=recipe.gain,
    )
    return Batches(
        store,
        batch_size=recipe.batch_size,
        targets=targets,
        augmentation=augmentation,
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
