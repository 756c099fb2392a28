"""Shape key: B batch, H W grid of x, C channels of x, D inter_channels."""

import keras
import numpy as np
from keras import layers, ops

NORMALIZATIONS = ("mean_flow", "softmax", "sigmoid", "range")
GATINGS = ("grid", "global")
EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="thyroid_keras")
class GridAttention(layers.Layer):
    """Weighs each position of a feature map x by a deeper, coarser map g.

        q = psi(relu(theta(x) + resize(phi(g)))) + b

    and, over the positions H, W of each image,

        mean_flow   alpha = (q - min q) / sum(q - min q)
        range       alpha = (q - min q) / (max q - min q)
        softmax     alpha = exp(q) / sum(exp(q))
        sigmoid     alpha = 1 / (1 + exp(-q))

    The layer returns the map alone: `AttentionPool` forms the weighted sum of a
    classifier, a product with x the weighted skip of a U-net.

    With `gating="global"` the mean of g over its grid, one vector per image, takes the
    place of the resized map.

    Args:
        inter_channels: int >= 1, the width D at which x and g are added (C_int).
        normalization: `"mean_flow"`, `"softmax"`, `"sigmoid"` or `"range"`.
        gate_bias: bool, whether phi has a bias (the papers' b_g).
        gating: `"grid"`, or `"global"` for one gating vector per image.
        kernel_initializer: of theta, phi and psi, a Keras initializer or its name.
        phi_bias_initializer: of the bias of phi, where it has one.
        psi_bias_initializer: of the bias b of psi.

    Call arguments:
        x: `(B, H, W, C)`, the features to be weighed; H and W static.
        g: `(B, h, w, G)`, the gating features, resized bilinearly to H, W.

    Returns:
        alpha `(B, H, W, 1)` in float32, in [0, 1]; for `mean_flow` and `softmax` it
        sums to 1 over H, W. Where q is constant `mean_flow` and `range`, for which
        the equations then have no value, are uniform: 1 / (H W), and 1.

    Raises:
        ValueError: if `inter_channels` is below 1, or `normalization` or `gating` is
            unknown.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Eq. 2 and Sec. 2; the
        authors' code for the normalisations.
    Deviation: no bias in phi by default, as in the authors' code (Eq. 2 has b_g);
        denominators are guarded, where the authors' code divides 0 by 0; half-pixel
        bilinear resizing, where the authors' PyTorch of 2018 aligned corners;
        `"global"` keeps the form of Eq. 2, since in Eq. 1 the gating vector adds the
        same number to every position, which all normalisations but sigmoid cancel.
    """

    def __init__(
        self,
        inter_channels,
        normalization="mean_flow",
        gate_bias=False,
        gating="grid",
        kernel_initializer="he_normal",
        phi_bias_initializer="zeros",
        psi_bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if inter_channels < 1:
            raise ValueError(
                f"`inter_channels` must be at least 1. Received: inter_channels={inter_channels}"
            )
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"`normalization` must be one of {NORMALIZATIONS}. "
                f"Received: normalization={normalization!r}"
            )
        if gating not in GATINGS:
            raise ValueError(f"`gating` must be one of {GATINGS}. Received: gating={gating!r}")
        self.inter_channels = inter_channels
        self.normalization = normalization
        self.gate_bias = gate_bias
        self.gating = gating
        self.kernel_initializer = _plain(kernel_initializer)
        self.phi_bias_initializer = _plain(phi_bias_initializer)
        self.psi_bias_initializer = _plain(psi_bias_initializer)
        conv = {
            "kernel_size": 1,
            "kernel_initializer": self.kernel_initializer,
            "dtype": self.dtype_policy,
        }
        self.theta = layers.Conv2D(inter_channels, use_bias=False, **conv)
        self.phi = layers.Conv2D(
            inter_channels,
            use_bias=gate_bias,
            bias_initializer=self.phi_bias_initializer,
            **conv,
        )
        self.psi = layers.Conv2D(1, bias_initializer=self.psi_bias_initializer, **conv)

    def build(self, x_shape, g_shape):
        self.theta.build(x_shape)
        self.phi.build(g_shape)
        self.psi.build((*x_shape[:-1], self.inter_channels))

    def call(self, x, g):
        if self.gating == "global":
            g_B11G = ops.mean(ops.cast(g, "float32"), axis=(1, 2), keepdims=True)
            g_BHWD = self.phi(g_B11G)
        else:
            g_BHWD = _resize(self.phi(g), x.shape[1:3])
        q_BHW1 = self.psi(ops.relu(self.theta(x) + g_BHWD))
        # half-precision sums over H, W lose small weights or overflow
        return self._normalize(ops.cast(q_BHW1, "float32"))

    def _normalize(self, q_BHW1):
        if self.normalization == "sigmoid":
            return ops.sigmoid(q_BHW1)
        axes = (1, 2)
        if self.normalization == "softmax":
            # not `ops.softmax`, which over two axes needs to know B
            p_BHW1 = ops.exp(q_BHW1 - ops.max(q_BHW1, axis=axes, keepdims=True))
            return p_BHW1 / ops.sum(p_BHW1, axis=axes, keepdims=True)
        q_BHW1 = q_BHW1 - ops.min(q_BHW1, axis=axes, keepdims=True)
        if self.normalization == "mean_flow":
            total_B111 = ops.sum(q_BHW1, axis=axes, keepdims=True)
            uniform = 1.0 / (q_BHW1.shape[1] * q_BHW1.shape[2])
        else:
            total_B111 = ops.max(q_BHW1, axis=axes, keepdims=True)
            uniform = 1.0
        constant = total_B111 < EPSILON
        # dividing by 1 there keeps the unused branch's gradient finite
        return ops.where(constant, uniform, q_BHW1 / ops.where(constant, 1.0, total_B111))

    def compute_output_shape(self, x_shape, g_shape):
        return (*x_shape[:-1], 1)

    def compute_output_spec(self, x, g):
        return keras.KerasTensor(self.compute_output_shape(x.shape, g.shape), dtype="float32")

    def get_config(self):
        return super().get_config() | {
            "inter_channels": self.inter_channels,
            "normalization": self.normalization,
            "gate_bias": self.gate_bias,
            "gating": self.gating,
            "kernel_initializer": self.kernel_initializer,
            "phi_bias_initializer": self.phi_bias_initializer,
            "psi_bias_initializer": self.psi_bias_initializer,
        }


def _resize(g_BhwD, size):
    """Half-pixel bilinear resizing."""
    if g_BhwD.dtype == "float32":
        return ops.image.resize(g_BhwD, size)
    # `resize` would go through float32, which takes longer than two matrix products
    (_, h, w, d), (height, width) = g_BhwD.shape, size
    g_BhWD = ops.matmul(_weights(w, width, g_BhwD.dtype), g_BhwD)
    g_BhX = ops.reshape(g_BhWD, (-1, h, width * d))
    return ops.reshape(ops.matmul(_weights(h, height, g_BhwD.dtype), g_BhX), (-1, *size, d))


def _weights(length, resized, dtype):
    """What each of `resized` values takes from `length` values, `(resized, length)`."""
    places = np.clip((np.arange(resized) + 0.5) * length / resized - 0.5, 0, length - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(length)))
    return ops.convert_to_tensor(weights, dtype)


def _plain(initializer):
    """An initializer's name or configuration.

    Convolutions that share one initializer object and a shape start with equal weights;
    from its configuration each makes its own.
    """
    if isinstance(initializer, (str, dict)):
        return initializer
    return keras.initializers.serialize(initializer)
