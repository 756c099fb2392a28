"""Adam in one fused operation per weight where the backend has one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, fused on TensorFlow.

        m = m + (g - m) (1 - beta_1)
        v = v + (g^2 - v) (1 - beta_2)
        w = w - m * learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v) + epsilon)

    Same arguments, variables and results as `keras.optimizers.Adam`; only faster. Keras
    composes each weight's update from some twenty-five operations, whose launching costs
    more than their arithmetic; TensorFlow has one.

    Reference: Kingma and Ba 2015, arXiv:1412.6980, end of Sec. 2.
    """

    def update_step(self, gradient, variable, learning_rate):
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
