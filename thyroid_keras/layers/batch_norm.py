"""Batch normalisation in one fused operation where the backend has one."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class BatchNorm(layers.BatchNormalization):
    """Keras's batch normalisation over channels, fused on TensorFlow.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    Same weights, arguments and results as `keras.layers.BatchNormalization`; only
    faster. Keras composes the training pass from some ten operations that each
    walk through the whole feature map; TensorFlow has one that walks twice.

    Call arguments:
        inputs: `(B, H, W, C)`; any other rank or axis takes Keras's own path.
        training: bool, whether to use and to update the statistics of the batch.

    Returns:
        A tensor of the shape and dtype of `inputs`.

    Reference: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2.
    """

    def call(self, inputs, training=None, mask=None):
        fusable = (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and mask is None
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
        )
        if not fusable or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        return self._fused_training_pass(inputs)

    def _fused_training_pass(self, inputs):
        import tensorflow as tf  # only on its own backend

        # In bfloat16 the fused kernel takes a path slower than the unfused one.
        x_BHWC = ops.cast(inputs, "float32")
        y_BHWC, mean_C, variance_C, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x_BHWC,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        shape = ops.shape(inputs)
        count = ops.cast(shape[0] * shape[1] * shape[2], "float32")
        # The operation returns the unbiased variance; Keras averages the biased one.
        variance_C = variance_C * (ops.maximum(count - 1.0, 1.0) / count)
        for moving, batch in ((self.moving_mean, mean_C), (self.moving_variance, variance_C)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return ops.cast(y_BHWC, self.compute_dtype)
