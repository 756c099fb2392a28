"""Shape key: B batch, H W grid of x, C channels."""

import keras
from keras import layers, ops

NORMALIZATIONS = ("softmax", "sigmoid")
# Glorot's with a gain of root 2; from its configuration each layer draws its own
XAVIER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_avg", "distribution": "uniform"},
}


@keras.saving.register_keras_serializable(package="thyroid_keras")
class LocalAttention(layers.Layer):
    """Weighs each position of a feature map by how it goes with the image's global features.

        c_ij = u (x_ij + g)
        alpha = softmax(c) over i, j, or sigmoid(c)

    With a softmax, g has no say: it adds the same to every c_ij.

    Args:
        normalization: `"softmax"` or `"sigmoid"`.

    Call arguments:
        x: `(B, H, W, C)`, the features to be weighed.
        g: `(B, 1, 1, C)`, the global features.

    Returns:
        alpha `(B, H, W, 1)` in float32, in [0, 1]; adding up to 1 over H, W for
        `"softmax"`.

    Raises:
        ValueError: if the normalisation is unknown.

    Reference: Jetley et al. 2018, "Learn to Pay Attention", arXiv:1804.02391, Sec. 3, the
        parametrised compatibility; the sigmoid is that of SaoYan/LearnToPayAttention.
    """

    def __init__(self, normalization="softmax", **kwargs):
        super().__init__(**kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"`normalization` must be one of {NORMALIZATIONS}. "
                f"Received: normalization={normalization!r}"
            )
        self.normalization = normalization
        self.score = layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer=XAVIER, dtype=self.dtype_policy
        )

    def build(self, x_shape, g_shape):
        self.score.build(x_shape)

    def call(self, x, g):
        # the sum of scores is the score of the sum, without the sum of features
        c_BHW1 = ops.cast(self.score(x), "float32") + ops.cast(self.score(g), "float32")
        if self.normalization == "sigmoid":
            return ops.sigmoid(c_BHW1)
        # not `ops.softmax`, which over two axes needs to know B
        p_BHW1 = ops.exp(c_BHW1 - ops.max(c_BHW1, axis=(1, 2), keepdims=True))
        return p_BHW1 / ops.sum(p_BHW1, axis=(1, 2), keepdims=True)

    def compute_output_shape(self, x_shape, g_shape):
        return (*x_shape[:-1], 1)

    def compute_output_spec(self, x, g):
        return keras.KerasTensor(self.compute_output_shape(x.shape, g.shape), dtype="float32")

    def get_config(self):
        return super().get_config() | {"normalization": self.normalization}
