"""Convolution of several feature maps as if they were joined along the channels."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="thyroid_keras")
class JoinedConv2D(layers.Conv2D):
    """`Conv2D` of the concatenation of its inputs, without cutting gradients apart.

    Same weights and results as `keras.layers.Concatenate` followed by
    `keras.layers.Conv2D`. Backwards these two compute the gradient of the joined map and
    then copy its parts out of it; here each part is computed by itself, with its own
    channels of the kernel. On TensorFlow, whose copies cost a few per cent of a U-net's
    step; other backends take the plain way.

    Args:
        As `keras.layers.Conv2D`, with one group and channels last.

    Call arguments:
        inputs: list of tensors `(B, H, W, C_i)`.

    Returns:
        `(B, H', W', filters)`.

    Raises:
        ValueError: if it is given one tensor instead of a list.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.input_spec = None  # that of one tensor

    def build(self, input_shape):
        if not isinstance(input_shape[0], (tuple, list)):
            raise ValueError(
                f"{type(self).__name__} takes a list of feature maps. "
                f"Received: input_shape={input_shape}"
            )
        super().build(_joined(input_shape))
        self.input_spec = None

    def call(self, inputs):
        if keras.backend.backend() != "tensorflow":
            return super().call(ops.concatenate(inputs, axis=-1))
        outputs = self._convolve(inputs)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def _convolve(self, inputs):
        import tensorflow as tf  # only on its own backend

        how = {
            "strides": [1, *self.strides, 1],
            "dilations": [1, *self.dilation_rate, 1],
            "padding": self.padding.upper(),
        }
        channels = [x.shape[-1] for x in inputs]

        @tf.custom_gradient
        def convolve(kernel, *parts):
            joined = tf.concat(parts, -1)

            def gradient(dy):
                of_inputs = [
                    tf.raw_ops.Conv2DBackpropInput(
                        input_sizes=tf.shape(part), filter=share, out_backprop=dy, **how
                    )
                    for part, share in zip(parts, tf.split(kernel, channels, 2), strict=True)
                ]
                of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                    input=joined, filter_sizes=tf.shape(kernel), out_backprop=dy, **how
                )
                return of_kernel, *of_inputs

            return tf.raw_ops.Conv2D(input=joined, filter=kernel, **how), gradient

        return convolve(tf.convert_to_tensor(self.kernel), *map(tf.convert_to_tensor, inputs))

    def compute_output_shape(self, input_shape):
        several = isinstance(input_shape[0], (tuple, list))
        return super().compute_output_shape(_joined(input_shape) if several else input_shape)


def _joined(shapes):
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
