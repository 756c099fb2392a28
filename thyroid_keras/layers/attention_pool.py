"""Shape key: B batch, H W grid, C channels."""

import keras
from keras import layers, ops

POOLS = ("sum", "mean")


@keras.saving.register_keras_serializable(package="thyroid_keras")
class AttentionPool(layers.Layer):
    """Weighted sum of each channel over the grid, or that divided by its positions.

        sum     v_c = sum_ij alpha_ij x_ijc
        mean    v_c = sum_ij alpha_ij x_ijc / (H W)

    Args:
        pool: `"sum"`, or `"mean"`, which keeps v in the range of x whatever the size of
            the grid where alpha does not add up to 1 (sigmoid, range).

    Call arguments:
        x: features `(B, H, W, C)`.
        alpha: attention map `(B, H, W, 1)`.

    Returns:
        `(B, C)` in float32, whatever the precision policy.

    Raises:
        ValueError: if `pool` is unknown.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Sec. 2.
        The authors sum for every normalisation.
    """

    def __init__(self, pool="sum", **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        if pool not in POOLS:
            raise ValueError(f"`pool` must be one of {POOLS}. Received: pool={pool!r}")
        self.pool = pool

    def call(self, x, alpha):
        # matrix products walk over the features once in each direction; one per row, since
        # one per image rounds two to three times as much
        alpha_BH1W = ops.transpose(alpha, (0, 1, 3, 2))
        v_BC = ops.sum(ops.matmul(alpha_BH1W, x), axis=(1, 2))
        return v_BC / (x.shape[1] * x.shape[2]) if self.pool == "mean" else v_BC

    def compute_output_shape(self, x_shape, alpha_shape):
        return (x_shape[0], x_shape[-1])

    def get_config(self):
        return super().get_config() | {"pool": self.pool}
