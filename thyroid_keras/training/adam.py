"""Adam in one fused operation per weight where the backend has one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, fused on TensorFlow, for the loss plus l2 / 2 * ||w||^2.

        g = gradient + l2 * w
        m = m + (g - m) (1 - beta_1)
        v = v + (g^2 - v) (1 - beta_2)
        w = w - m * learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon)

    Same arguments, variables and results as `keras.optimizers.Adam`; only faster. Keras
    composes each weight's update from some twenty-five operations, whose launching costs
    more than their arithmetic; TensorFlow has one. `l2` is what PyTorch's Adam calls
    `weight_decay`; Keras's argument of that name shrinks the weights beside m and v. The
    reported loss does not include the penalty.

    Args:
        *args, **kwargs: of `keras.optimizers.Adam`.
        l2: float >= 0; of all weights, biases and normalisations too.

    Raises:
        ValueError: if `l2` is negative.

    Reference: Kingma and Ba 2015, arXiv:1412.6980, end of Sec. 2.
    """

    def __init__(self, *args, l2=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        if not l2 >= 0:
            raise ValueError(f"`l2` must be at least 0. Received: l2={l2}")
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        if self.l2:
            gradient = ops.add(gradient, ops.multiply(variable, self.l2))
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf  # only on its own backend

        if isinstance(gradient, tf.IndexedSlices):  # that of an embedding
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = ops.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=ops.power(ops.cast(self.beta_1, dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, dtype), step),
            lr=ops.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=ops.cast(gradient, dtype),
        )

    def get_config(self):
        return super().get_config() | {"l2": self.l2}
