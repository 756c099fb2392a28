"""Shape key: B batch, H W pixels, C channels."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class Whitening(layers.Layer):
    """Gives each image zero mean and unit variance, whatever the gain of its scanner.

        y = (x - mean(x)) / (std(x) + epsilon)

    Mean and standard deviation (of a sample: n - 1) are those of one image over H, W and
    C. They are computed in float32 under any policy.

    Args:
        epsilon: float > 0, keeps a constant image finite.

    Call arguments:
        x: `(B, H, W, C)`, of any range.

    Returns:
        y of the shape of x, in the layer's compute dtype; zeros for a constant image.

    Raises:
        ValueError: if `epsilon` is not above 0.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Sec. 3.
    Deviation: by the standard deviation, as the authors' code and SonoNet (Baumgartner et
    al. 2017) do, where the paper says variance; epsilon is ours.
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        # no autocast: x must not be rounded before it is centred
        super().__init__(autocast=False, **kwargs)
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be above 0. Received: epsilon={epsilon}")
        self.epsilon = epsilon

    def call(self, x):
        x_BHWC = ops.cast(x, "float32")
        # from one of its own pixels, so that a constant image is zero to the last bit
        x_BHWC = x_BHWC - x_BHWC[:, :1, :1, :1]
        axes = (1, 2, 3)
        centred_BHWC = x_BHWC - ops.mean(x_BHWC, axis=axes, keepdims=True)
        shape = ops.shape(x)
        count = ops.cast(shape[1] * shape[2] * shape[3], "float32")
        variance_B111 = ops.mean(ops.square(centred_BHWC), axis=axes, keepdims=True)
        variance_B111 = variance_B111 * (count / ops.maximum(count - 1.0, 1.0))
        # the slope of the root is infinite at 0
        constant_B111 = variance_B111 <= 0
        std_B111 = ops.sqrt(ops.where(constant_B111, 1.0, variance_B111))
        std_B111 = ops.where(constant_B111, 0.0, std_B111)
        return ops.cast(centred_BHWC / (std_B111 + self.epsilon), self.compute_dtype)

    def compute_output_shape(self, x_shape):
        return x_shape

    def get_config(self):
        return super().get_config() | {"epsilon": self.epsilon}
