"""Shape key: B batch, N images remembered, H W grid, P its positions."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class MapMemory(layers.Layer):
    """Gives a known image the map that is kept of it, moved as the image was.

    The maps are a weight that no gradient reaches; whoever trains renews it by
    `maps.assign`, which the checkpoints then hold. They start out neutral.

    Args:
        num_images: int >= 1, N.
        neutral: float, the value of a map that says nothing.

    Call arguments:
        attention: `(B, H, W, 1)`, what is put out for images that are not known.
        index: int32 `(B,)`, the image in [0, N); below 0: not known.
        matrix: `(B, 2, 3)`, affine, from positions (x right, y down) of the map put out
            to those of the map kept; beyond its edge the nearest value counts.

    Returns:
        float32 `(B, H, W, 1)`.

    Raises:
        ValueError: if `num_images` is below 1.

    Reference: Wang et al., FAN, Sec. 3.2, "at the next epoch".
    """

    def __init__(self, num_images, neutral=1.0, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        if num_images < 1:
            raise ValueError(f"`num_images` must be at least 1. Received: num_images={num_images}")
        self.num_images = num_images
        self.neutral = neutral

    def build(self, attention_shape, index_shape, matrix_shape):
        self.maps = self.add_weight(
            shape=(self.num_images, *attention_shape[1:3]),
            initializer=keras.initializers.Constant(self.neutral),
            dtype="float16",  # thousands of maps; the gate needs three digits
            trainable=False,
            autocast=False,
            name="maps",
        )

    def call(self, attention, index, matrix):
        kept_BHW1 = self._look_up(ops.maximum(index, 0), matrix)
        return ops.where((index >= 0)[:, None, None, None], kept_BHW1, attention)

    def _look_up(self, index, matrix):
        """The maps, bilinearly; by lookups alone, which every backend and XLA have."""
        height, width = self.maps.shape[1:]
        kept_BP = ops.reshape(ops.take(self.maps, index, axis=0), (-1, height * width))
        y_HW, x_HW = np.mgrid[:height, :width].astype(np.float32)
        output_3P = np.stack([x_HW, y_HW, np.ones_like(x_HW)]).reshape(3, -1)
        last_21 = np.array([[width - 1], [height - 1]], np.float32)
        at_B2P = ops.clip(ops.matmul(matrix, output_3P), 0, last_21)
        low_B2P = ops.floor(at_B2P)
        share_B2P = at_B2P - low_B2P
        corners = low_B2P, ops.minimum(low_B2P + 1, last_21)
        found_BP = 0
        for x, across in enumerate((1 - share_B2P[:, 0], share_B2P[:, 0])):
            for y, down in enumerate((1 - share_B2P[:, 1], share_B2P[:, 1])):
                place_BP = ops.cast(corners[y][:, 1] * width + corners[x][:, 0], "int32")
                values_BP = ops.cast(ops.take_along_axis(kept_BP, place_BP, axis=1), "float32")
                found_BP += across * down * values_BP
        return ops.reshape(found_BP, (-1, height, width, 1))

    def compute_output_shape(self, attention_shape, index_shape, matrix_shape):
        return attention_shape

    def get_config(self):
        return super().get_config() | {"num_images": self.num_images, "neutral": self.neutral}
