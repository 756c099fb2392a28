"""Building blocks: tensor in, tensor out."""

from keras import layers

from thyroid_keras.layers.batch_norm import BatchNorm

# Of the moving statistics. Keras's 0.99 still holds a third of the first weights' statistics
# after 100 steps, which is all that a small data set has in several epochs.
MOMENTUM = 0.9


def conv_bn_relu(x, filters, *, kernel_size=3, name):
    """Convolution (same padding, with bias), batch normalisation, ReLU."""
    x = layers.Conv2D(
        filters, kernel_size, padding="same", kernel_initializer="he_normal", name=name
    )(x)
    x = BatchNorm(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_stack(x, filters, num_convs, *, name):
    """`num_convs` times `conv_bn_relu`, named `<name>_conv1` and so on."""
    for c in range(1, num_convs + 1):
        x = conv_bn_relu(x, filters, name=f"{name}_conv{c}")
    return x
