"""Batches by number: the same on every backend, in every order, after every restart."""

import functools

import keras
import numpy as np

from thyroid_keras.data.augment import Augmentation, affine_matrices, augment

ORDER, AUGMENTATION = range(2)


class Batches(keras.utils.PyDataset):
    """What batch `step` of epoch `epoch` holds, as a function of the seed alone.

    Keras can fit it as it is, on any backend; on TensorFlow `data.pipeline.dataset`
    makes a `tf.data` pipeline of it that works ahead of the training.

    Args:
        store: `PixelStore`.
        batch_size: int >= 1; the last batch of an epoch may be smaller.
        targets: function from the dict of arrays `image` `(B, H, W, C)`, `mask`
            `(B, H, W, 1)` (float32 in [0, 1]; `mask` only where the table has masks),
            `label` `(B, K)` (one-hot, float32), `index` `(B,)` and `matrix` `(B, 2, 3)`
            (how the image was moved, see `augment.affine_matrices`) to what the model
            is fed: `(inputs, outputs)`.
        indices: which samples of the store; `None`: all.
        masks: uint8 `(N, H, W, 1)`, N samples of the store, instead of its own masks.
        soft_masks: bool, whether masks are probabilities (of 255) and stay so.
        augmentation: `Augmentation` or `None`.
        shuffle: bool, whether each epoch has an order of its own.
        order: function `(epoch, rng) -> positions in indices`, a sampler instead of the
            shuffle.
        seed: int >= 0, or a sequence of them.
        **kwargs: of `keras.utils.PyDataset` (`workers`, ...).
    """

    def __init__(
        self,
        store,
        *,
        batch_size,
        targets,
        indices=None,
        masks=None,
        soft_masks=False,
        augmentation=None,
        shuffle=False,
        order=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.store = store
        self.batch_size = batch_size
        self.targets = targets
        self.indices = np.arange(len(store.table)) if indices is None else np.asarray(indices)
        self.masks = masks
        self.soft_masks = soft_masks
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = 0
        self._sampler = order or (self._shuffled if shuffle else self._in_turn)
        self.order = functools.lru_cache(maxsize=4)(self._order)  # each step asks for it
        self._one_hot = np.eye(len(store.table.class_names), dtype=np.float32)
        self._labels = store.table.labels

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, step):
        return self.batch(self.epoch, step)

    def on_epoch_end(self):
        self.epoch += 1

    def batch(self, epoch, step):
        """Returns `(inputs, outputs)`, as `targets` makes them, of one batch."""
        indices = self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        images, masks = self.store.read(indices)
        if self.masks is not None:
            masks = self.masks[indices]
        rng = self._random(AUGMENTATION, epoch, step)
        images, masks = augment(images, masks, self.augmentation, rng, soft=self.soft_masks)
        arrays = {
            "image": images,
            "label": self._one_hot[self._labels[indices]],
            "index": indices,
            "matrix": self._matrices(len(indices), self._random(AUGMENTATION, epoch, step)),
        }
        if masks is not None:
            arrays["mask"] = masks
        return self.targets(arrays)

    def _matrices(self, count, rng):
        """Those that `augment` draws first from an equal generator."""
        return affine_matrices(self.augmentation or Augmentation(), count, self.store.size, rng)

    def _order(self, epoch):
        rng = self._random(ORDER, epoch)
        return self.indices[np.asarray(self._sampler(epoch, rng))]

    def _random(self, *purpose):
        """A stream of random numbers of its own for each purpose, epoch and step."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=purpose))

    def _shuffled(self, epoch, rng):
        return rng.permutation(len(self.indices))

    def _in_turn(self, epoch, rng):
        return np.arange(len(self.indices))
