"""Batches of made-up screens: the same on every backend, after every restart."""

import cv2
import keras
import numpy as np

from thyroid_keras.data.borders.screens import compose

_LARGEST = 1.8  # times the network's size, of which screens are scaled down


class ScreenBatches(keras.utils.PyDataset):
    """Screens of one epoch after the other, as a function of the seed alone.

    Args:
        views: list of uint8 arrays `(h, w)`, see `screens.insides`.
        size: `(H, W)` of the network.
        channels: 1 or 3.
        count: int >= 1, screens per epoch.
        batch_size: int >= 1; the last batch of an epoch may be smaller.
        seed: sequence of ints >= 0.
        fixed: whether every epoch has the same screens, which are then kept.
        **kwargs: of `keras.utils.PyDataset` (`workers`, ...).
    """

    def __init__(self, views, size, channels, *, count, batch_size, seed, fixed=False, **kwargs):
        super().__init__(**kwargs)
        self.views = views
        self.size = tuple(size)
        self.channels = channels
        self.indices = np.arange(count)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._kept = {} if fixed else None

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __getitem__(self, step):
        return self.batch(self.epoch, step)

    def on_epoch_end(self):
        self.epoch += 1

    def batch(self, epoch, step):
        """Returns float32 images `(B, H, W, C)` in [0, 1] and a dict of masks `(B, H, W, 1)`."""
        if self._kept is None:
            return self._make(epoch, step)
        if step not in self._kept:
            self._kept[step] = self._make(0, step)
        return self._kept[step]

    def _make(self, epoch, step):
        first = step * self.batch_size
        numbers = self.indices[first : first + self.batch_size]
        images, sectors, texts = zip(*(self._screen(epoch, n) for n in numbers), strict=True)
        images = np.float32(np.stack(images))[..., None] / 255
        masks = {"sector": np.stack(sectors), "text": np.stack(texts)}
        return np.repeat(images, self.channels, axis=-1), {
            name: mask[..., None].astype(np.float32) for name, mask in masks.items()
        }

    def _screen(self, epoch, number):
        rng = np.random.default_rng([*self.seed, epoch, number])
        height, width = (round(side * rng.uniform(1, _LARGEST)) for side in self.size)
        screen = compose(self.views, rng, size=(height, width))
        # a stroke thinner than a pixel of the network is one all the same
        return (
            _reduce(screen.image, self.size),
            _reduce(screen.sector.astype(np.uint8) * 255, self.size) >= 128,
            _reduce(screen.text.astype(np.uint8) * 255, self.size) >= 64,
        )


def _reduce(image, size):
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
