"""Shape key: H W grid, S channels of the stack, K channels of the hidden layers."""

import keras
from keras import initializers, layers, ops

KERNEL_SIZES = (3, 5, 7)
MAX_HIDDEN_LAYERS = 4


@keras.saving.register_keras_serializable(package="thyroid_keras")
class PixelCNN(layers.Layer):
    """Tells from what all images of a data set show at a pixel how much it matters.

        map = sigmoid(conv_last(relu(conv_1(stack))) + prior)

    with one hidden layer; more of them follow conv_1 likewise. As many parameters as
    K (9 S + 1) + (K + 1) by default.

    Args:
        channels: int >= 1, K, of each hidden layer.
        kernel_size: 3, 5 or 7, of the hidden layers.
        hidden_layers: int from 1 to 4.
        last_kernel_size: odd int >= 1, of the last layer.
        dense: bool, whether each layer after the first takes what all hidden layers
            before it put out, not the last of them alone.

    Call arguments:
        stack: `(1, H, W, S)`, all N training images of C channels behind one another,
            S = N C.
        prior: `(1, H, W, 1)` or `None`, logits that are known beforehand and not learned.

    Returns:
        `(1, H, W, 1)` in (0, 1), float32 whatever the precision policy.

    Raises:
        ValueError: if an argument is out of range.

    Reference: Xu et al., A Novel Global Spatial Attention Mechanism in Convolutional Neural
        Network for Medical Image Classification, Sec. 3.2 and 4.10; `prior`: its future work.
    Deviation: neither ReLU nor sigmoid is in the text, which says "from zero to one". Dense
        connections begin at the first hidden layer, as DenseNet's do. Initial weights are
        those of PyTorch, in which the authors worked.
    """

    def __init__(
        self,
        channels,
        kernel_size=3,
        hidden_layers=1,
        last_kernel_size=1,
        dense=False,
        **kwargs,
    ):
        # Keras would round the prior to the half precision in which the stack is
        super().__init__(autocast=False, **kwargs)
        if channels < 1:
            raise ValueError(f"`channels` must be at least 1. Received: channels={channels}")
        if kernel_size not in KERNEL_SIZES:
            raise ValueError(
                f"`kernel_size` must be one of {KERNEL_SIZES}. Received: kernel_size={kernel_size}"
            )
        if not 1 <= hidden_layers <= MAX_HIDDEN_LAYERS:
            raise ValueError(
                f"`hidden_layers` must be from 1 to {MAX_HIDDEN_LAYERS}. "
                f"Received: hidden_layers={hidden_layers}"
            )
        if last_kernel_size < 1 or last_kernel_size % 2 == 0:
            raise ValueError(
                "`last_kernel_size` must be odd and at least 1. "
                f"Received: last_kernel_size={last_kernel_size}"
            )
        self.channels = channels
        self.kernel_size = kernel_size
        self.hidden_layers = hidden_layers
        self.last_kernel_size = last_kernel_size
        self.dense = dense

    def build(self, stack_shape, prior_shape=None):
        hidden, last = self.kernel_size, self.last_kernel_size
        self.convs = []
        for number in range(self.hidden_layers + 1):
            given = self.channels * (number if self.dense else 1) if number else stack_shape[-1]
            size = last if number == self.hidden_layers else hidden
            filters = 1 if number == self.hidden_layers else self.channels
            conv = _conv(given, filters, size, self.dtype_policy, name=f"conv{number + 1}")
            conv.build((*stack_shape[:-1], given))
            self.convs.append(conv)

    def call(self, stack, prior=None):
        *hidden, last = self.convs
        x = ops.relu(hidden[0](ops.cast(stack, self.compute_dtype)))
        for conv in hidden[1:]:
            y = ops.relu(conv(x))
            x = ops.concatenate([x, y], axis=-1) if self.dense else y
        # a half-precision sigmoid reaches 0 and 1
        logits = ops.cast(last(x), "float32")
        return ops.sigmoid(logits if prior is None else logits + ops.cast(prior, "float32"))

    def compute_output_shape(self, stack_shape, prior_shape=None):
        return (*stack_shape[:-1], 1)

    def compute_output_spec(self, stack, prior=None):
        return keras.KerasTensor(self.compute_output_shape(stack.shape), "float32")

    def get_config(self):
        return super().get_config() | {
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "hidden_layers": self.hidden_layers,
            "last_kernel_size": self.last_kernel_size,
            "dense": self.dense,
        }


def _conv(channels, filters, kernel_size, dtype, *, name):
    """A convolution with the initial kernel and bias of PyTorch's: uniform in +- sqrt(1/fan)."""
    limit = (channels * kernel_size**2) ** -0.5
    return layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer=initializers.RandomUniform(-limit, limit),
        bias_initializer=initializers.RandomUniform(-limit, limit),
        dtype=dtype,
        name=name,
    )
