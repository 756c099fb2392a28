"""Batches as a `tf.data` pipeline that stays ahead of the training."""

import numpy as np
import tensorflow as tf


def dataset(batches, *, first_epoch=0, num_epochs=1, ahead=4):
    """Makes a `tf.data.Dataset` of some epochs of `Batches`, one after the other.

    The epochs form one stream, so that the first batch of an epoch is ready when the
    last of the one before is done.

    Args:
        batches: `data.batches.Batches`.
        first_epoch: int, where to start; 0 unless a training is resumed.
        num_epochs: int >= 1.
        ahead: int >= 1, batches kept ready.

    Returns:
        A dataset of `len(batches) * num_epochs` elements `(inputs, outputs)`.
    """
    steps = len(batches)
    example = batches.batch(first_epoch, 0)
    flat = [np.asarray(leaf) for leaf in tf.nest.flatten(example)]

    def make(number):
        return tf.nest.flatten(batches.batch(*divmod(int(number), steps)))

    def load(number):
        # Declared stateless: a batch depends on its number alone, and TensorFlow's
        # deterministic mode would otherwise run the map without working ahead.
        leaves = tf.numpy_function(make, [number], [leaf.dtype for leaf in flat], stateful=False)
        for leaf, array in zip(leaves, flat, strict=True):
            leaf.set_shape((None, *array.shape[1:]))
        return tf.nest.pack_sequence_as(example, leaves)

    numbers = tf.data.Dataset.range(first_epoch * steps, (first_epoch + num_epochs) * steps)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    return numbers.map(load).prefetch(ahead).with_options(options)
