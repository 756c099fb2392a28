"""Building blocks: tensor in, tensor out."""

from keras import layers

from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.joined_conv import JoinedConv2D

# Of the moving statistics. Keras's 0.99 still holds a third of the first weights' statistics
# after 100 steps, which is all that a small data set has in several epochs.
MOMENTUM = 0.9
CONV = {"kernel_initializer": "he_normal"}
NORM = {"momentum": MOMENTUM}


def conv_bn_relu(x, filters, *, kernel_size=3, name, conv=CONV, norm=NORM):
    """Convolution (same padding, with bias), batch normalisation, ReLU.

    `x` is a tensor, or a list of those that are joined along the channels; `conv` and
    `norm` are further arguments of the first two layers.
    """
    kind = JoinedConv2D if isinstance(x, list) else layers.Conv2D
    x = kind(filters, kernel_size, padding="same", name=name, **conv)(x)
    x = BatchNorm(name=f"{name}_bn", **norm)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_stack(x, filters, num_convs, *, name):
    """`num_convs` times `conv_bn_relu`, named `<name>_conv1` and so on."""
    for c in range(1, num_convs + 1):
        x = conv_bn_relu(x, filters, name=f"{name}_conv{c}")
    return x
