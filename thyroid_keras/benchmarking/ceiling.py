"""What the machine reaches at best: one plain convolution, one matrix product."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops

BATCH, SIDE, CHANNELS = 8, 96, 64
WIDTH = 2048


@dataclasses.dataclass(frozen=True)
class Probe:
    """A computation of known size.

    Args:
        run: function without arguments that computes it once and waits for its end.
        flops: int, its floating-point operations.
    """

    run: Callable
    flops: int


def make_probes(dtype):
    """Makes the two probes of a machine's ceiling.

    A 3x3 convolution from 64 to 64 channels of eight feature maps of 96x96, forward, and
    the product of two square matrices of 2,048: both fill every core, and no network made
    of the framework's convolutions can be expected above them.

    Args:
        dtype: of the factors, e.g. `"float32"`.

    Returns:
        dict of `Probe`: `convolution` and `matrix_product`.
    """
    maps = _noise((BATCH, SIDE, SIDE, CHANNELS), dtype)
    kernel = _noise((3, 3, CHANNELS, CHANNELS), dtype)
    matrix = _noise((WIDTH, WIDTH), dtype)
    return {
        "convolution": Probe(
            lambda: _wait(ops.conv(maps, kernel, padding="same")),
            2 * 9 * CHANNELS**2 * BATCH * SIDE**2,
        ),
        "matrix_product": Probe(lambda: _wait(ops.matmul(matrix, matrix)), 2 * WIDTH**3),
    }


def _noise(shape, dtype):
    return ops.cast(keras.random.normal(shape, seed=0), dtype)


def _wait(result):
    # one number is enough, where the backend works ahead
    float(ops.cast(ops.ravel(result)[0], "float32"))
