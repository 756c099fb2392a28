"""Shape key: B batch, H W grid, C channels, U V cells, K classes, P = V K."""

import itertools

import keras
import numpy as np
from keras import layers, ops


def cells(side, kappa):
    """Returns the cell of each position along a side, L(i) = floor(i kappa / side), int `(side,)`.

    Where kappa does not divide the side the cells differ in size by one and do not overlap.
    """
    if not 1 <= kappa <= side:
        raise ValueError(
            f"`kappa` must be from 1 to the side of the grid, {side}. Received: kappa={kappa}"
        )
    return np.arange(side) * kappa // side


@keras.saving.register_keras_serializable(package="thyroid_keras")
class LAP(layers.Layer):
    """Large-scale average pooling: the mean of each of kappa x kappa cells of the grid.

        R_uv = mean of x_ij over L(i) = u, L(j) = v,    L(i) = floor(i kappa / H)

    With kappa = 1 it is global average pooling.

    Args:
        kappa: int >= 1, cells along each side.

    Call arguments:
        x: features `(B, H, W, C)`; H and W static, at least `kappa`.

    Returns:
        `(B, kappa, kappa, C)` in float32, whatever the precision policy.

    Raises:
        ValueError: if `kappa` is below 1, or above a side.

    Reference: Wang et al., FAN, Sec. 3.1.
    Deviation: the index L is printed as floor(i / kappa), which for kappa < H / kappa points
        beyond the cells; the paper's own "kappa = 1 is GAP" and "WTFM of kappa x kappa" ask
        for this one.
    """

    def __init__(self, kappa, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        if kappa < 1:
            raise ValueError(f"`kappa` must be at least 1. Received: kappa={kappa}")
        self.kappa = kappa

    def build(self, x_shape):
        self._means = [_means(side, self.kappa) for side in x_shape[1:3]]

    def call(self, x):
        rows_UH, columns_VW = self._means
        x_BHVC = ops.einsum("vw,bhwc->bhvc", columns_VW, x)
        return ops.einsum("uh,bhvc->buvc", rows_UH, x_BHVC)

    def compute_output_shape(self, x_shape):
        return (x_shape[0], self.kappa, self.kappa, x_shape[-1])

    def get_config(self):
        return super().get_config() | {"kappa": self.kappa}


@keras.saving.register_keras_serializable(package="thyroid_keras")
class LAPClassifier(layers.Layer):
    """A linear classifier of the cells of a grid, and what each position adds to it.

        E_ijk = <x_ij, W_L(i)L(j)k>
        logit_k = b_k + sum_uv mean of E_ijk over cell (u, v)

    The class map of the paper is E / |cell|: its sum over the grid, plus b, is the logit.

    Args:
        num_classes: int >= 1, K.
        kappa: int >= 1, cells along each side; see `LAP`.

    Call arguments:
        x: features `(B, H, W, C)`; H and W static.

    Returns:
        `(logits, evidence)`: float32 `(B, K)`, and E, float32 `(B, H, W, K)`.

    Raises:
        ValueError: if `num_classes` or `kappa` is out of range.

    Reference: Wang et al., FAN, Eq. 5; W is its WTFM.
    """

    def __init__(self, num_classes, kappa=1, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        if num_classes < 1:
            raise ValueError(
                f"`num_classes` must be at least 1. Received: num_classes={num_classes}"
            )
        self.num_classes = num_classes
        self.pool = LAP(kappa)

    def build(self, x_shape):
        self.pool.build(x_shape)
        kappa, channels = self.pool.kappa, x_shape[-1]
        rows, columns = (cells(side, kappa) for side in x_shape[1:3])
        self._edges = np.searchsorted(rows, np.arange(kappa + 1)).tolist()
        self._inside_WV1 = (columns[:, None] == np.arange(kappa)).astype(np.float32)[..., None]
        # as of a dense layer on the flattened cells
        limit = (6 / (kappa**2 * channels + self.num_classes)) ** 0.5
        start = keras.initializers.RandomUniform(-limit, limit)
        shape = (kappa, kappa, channels, self.num_classes)
        self.kernel = self.add_weight(shape=shape, initializer=start, name="kernel")
        self.bias = self.add_weight(shape=(self.num_classes,), initializer="zeros", name="bias")

    def call(self, x):
        e_BHWK = self._evidence(x)
        return ops.sum(self.pool(e_BHWK), axis=(1, 2)) + self.bias, e_BHWK

    def _evidence(self, x):
        # Row of cells by row: what all its cells would say, of which each column takes its
        # own. That is cheaper than a kernel per position, and than averaging all channels.
        kappa, _, channels, num_classes = self.kernel.shape
        kernel_UCP = ops.reshape(ops.transpose(self.kernel, (0, 2, 1, 3)), (kappa, channels, -1))
        rows = itertools.pairwise(self._edges)
        said = [ops.matmul(x[:, a:b], kernel_UCP[u]) for u, (a, b) in enumerate(rows)]
        said_BHWP = ops.concatenate(said, axis=1)
        said_BHWVK = ops.reshape(said_BHWP, (-1, *x.shape[1:3], kappa, num_classes))
        return ops.sum(said_BHWVK * self._inside_WV1, axis=3)

    def compute_output_shape(self, x_shape):
        return (x_shape[0], self.num_classes), (*x_shape[:-1], self.num_classes)

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes, "kappa": self.pool.kappa}


def class_map(evidence, kappa):
    """Returns each position's share of the logits, `(B, H, W, K)`.

    Args:
        evidence: `(B, H, W, K)`, of `LAPClassifier`.
        kappa: int >= 1, of the same layer.
    """
    height, width = evidence.shape[1:3]
    counts = [np.bincount(cells(side, kappa))[cells(side, kappa)] for side in (height, width)]
    return evidence / np.multiply.outer(*counts).astype(np.float32)[..., None]


def _means(side, kappa):
    """The `(kappa, side)` matrix whose rows average the cells of a side."""
    inside = np.arange(kappa)[:, None] == cells(side, kappa)
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
