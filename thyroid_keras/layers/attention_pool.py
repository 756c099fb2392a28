"""Shape key: B batch, H W grid, C channels."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class AttentionPool(layers.Layer):
    """Weighted sum of each channel over the grid.

        v_c = sum_ij alpha_ij x_ijc

    Call arguments:
        x: features `(B, H, W, C)`.
        alpha: attention map `(B, H, W, 1)`.

    Returns:
        `(B, C)` in float32, whatever the precision policy.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Sec. 2.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})

    def call(self, x, alpha):
        return ops.einsum("bhwc,bhwo->bc", x, alpha)

    def compute_output_shape(self, x_shape, alpha_shape):
        return (x_shape[0], x_shape[-1])
