"""SonoNet (Baumgartner et al. 2017, arXiv:1612.05601) and AG-SonoNet, which gates its
stages 3 and 4 (Schlemper et al. 2018, arXiv:1804.05338)."""

import keras
from keras import initializers, layers

from thyroid_keras.archs.blocks import MOMENTUM, conv_bn_relu
from thyroid_keras.layers.attention_pool import AttentionPool
from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.grid_attention import GridAttention
from thyroid_keras.layers.whitening import Whitening

STAGE_CONVS = (3, 3, 3, 2, 2)  # Baumgartner et al.: (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)  # of the stages, times `filters`
AGGREGATIONS = ("mean", "deep_sup", "ft", "concat")
FT_INPUTS = ("logits", "softmax")
VOTES = ("logits_scale3", "logits_scale4", "logits_scale5")
FLOAT32 = {"dtype": "float32"}


def sononet(
    image_shape=(208, 272, 1),
    num_classes=14,
    *,
    filters=8,
    stage_convs=STAGE_CONVS,
    use_bias=True,
    epsilon=1e-5,
    whiten=False,
):
    """Builds SonoNet: five stages of convolutions, then one map per class, averaged.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 16.
        num_classes: int >= 1, the width of the logits.
        filters: int >= 1, of the first stage; the stages have 1, 2, 4, 8, 8 times.
        stage_convs: five ints >= 1, the 3x3 convolutions of each stage.
        use_bias: bool, whether the convolutions have a bias.
        epsilon: float > 0, added to the variance in the batch normalisations.
        whiten: bool, whether `layers.Whitening` comes first, for images of any range.

    Returns:
        `keras.Model` from whitened images to float32 logits `(B, num_classes)`. The maps
        of the classes, whose means the logits are, come from the layer `class_maps`.

    Raises:
        ValueError: if a side, a number of filters or of convolutions is too small.

    Reference: Schlemper et al. 2018, Sec. 3 for the layer counts; Baumgartner et al.
        2017, Sec. 2.2, is `image_shape=(224, 288, 1)`, `stage_convs=(2, 2, 3, 3, 3)`,
        `use_bias=False`, `epsilon=1e-4`.
    Deviation: logits, where Baumgartner et al. end in a softmax.
    """
    unit = _unit(use_bias, epsilon)
    image, stages = _stages(image_shape, filters, stage_convs, unit, whiten)
    x = unit(stages[5], 4 * filters, kernel_size=1, name="adapt_conv1")
    conv, norm = _conv(x, 1, use_bias), _norm(epsilon)
    x = layers.Conv2D(num_classes, 1, name="adapt_conv2", **conv, **FLOAT32)(x)
    x = BatchNorm(name="class_maps", **norm, **FLOAT32)(x)
    logits = layers.GlobalAveragePooling2D(name="logits", **FLOAT32)(x)
    return keras.Model(image, logits, name="sononet")


def ag_sononet(
    image_shape=(208, 272, 1),
    num_classes=14,
    *,
    filters=8,
    stage_convs=STAGE_CONVS,
    aggregation="ft",
    normalization="mean_flow",
    ft_input="logits",
    gating="grid",
    gate_bias=False,
    pool="sum",
    epsilon=1e-5,
    whiten=False,
):
    """Builds AG-SonoNet: a class vote at each of three scales, two of them gated.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 16.
        num_classes: int >= 1, the width of every set of logits.
        filters: int >= 1, of the first stage; the stages have 1, 2, 4, 8, 8 times.
        stage_convs: five ints >= 1, the 3x3 convolutions of each stage.
        aggregation: `"mean"` one vote per scale; `"deep_sup"` the votes and a classifier
            of the joined features; `"ft"` a classifier of the votes; `"concat"` only
            that of the joined features.
        normalization: of the gates' scores: `"mean_flow"`, `"softmax"`, `"sigmoid"` or
            `"range"`; see `layers.GridAttention`.
        ft_input: what `"ft"` weighs, the votes' `"logits"` or their `"softmax"`.
        gating: `"grid"` by the map of stage 5, `"global"` by its mean.
        gate_bias: bool, whether the gating signal has a bias (b_g of Eq. 2).
        pool: `"sum"` of the weighed features over the grid, or their `"mean"`.
        epsilon: float > 0, added to the variance in the batch normalisations.
        whiten: bool, whether `layers.Whitening` comes first, for images of any range.

    Returns:
        `keras.Model` from whitened images to float32 logits `(B, num_classes)`; for
        `"mean"` to a dict of the votes `logits_scale3`, `logits_scale4`,
        `logits_scale5`, and for `"deep_sup"` of `logits` and the votes. Attention maps
        are the outputs of the layers `gate3` and `gate4`.

    Raises:
        ValueError: if a side, a number of filters or of convolutions is too small, or a
            name is unknown.

    Reference: Schlemper et al. 2018, Fig. 1 and Sec. 2.
    Deviation: no b_g by default, as in the authors' code; the gates have as many inner
        channels as stage 5 has filters (their code; the paper is silent); guarded
        denominators and half-pixel resizing, see `layers.GridAttention`.
    """
    if aggregation not in AGGREGATIONS:
        raise ValueError(
            f"`aggregation` must be one of {AGGREGATIONS}. Received: aggregation={aggregation!r}"
        )
    if ft_input not in FT_INPUTS:
        raise ValueError(f"`ft_input` must be one of {FT_INPUTS}. Received: ft_input={ft_input!r}")
    unit = _unit(True, epsilon)
    image, stages = _stages(image_shape, filters, stage_convs, unit, whiten)
    features = []
    for s in (3, 4):
        gate = _gate(stages[5], normalization, gating, gate_bias, name=f"gate{s}")
        alpha = gate(stages[s], stages[5])
        features.append(AttentionPool(pool, name=f"attended{s}")(stages[s], alpha))
    features.append(layers.GlobalAveragePooling2D(name="gap5", **FLOAT32)(stages[5]))
    outputs = _aggregate(features, num_classes, aggregation, ft_input)
    return keras.Model(image, outputs, name="ag_sononet")


def _aggregate(features, num_classes, aggregation, ft_input):
    """The classifiers on the features of three scales, and on what joins them."""
    votes = {}
    if aggregation != "concat":
        votes = {
            name: _dense(v, num_classes, name=name) for name, v in zip(VOTES, features, strict=True)
        }
    if aggregation == "mean":
        return votes
    if aggregation == "ft":
        ballot = list(votes.values())
        if ft_input == "softmax":
            ballot = [
                layers.Softmax(name=f"probabilities_scale{s}", **FLOAT32)(vote)
                for s, vote in enumerate(ballot, 3)
            ]
        joined = layers.Concatenate(name="votes", **FLOAT32)(ballot)
    else:
        joined = layers.Concatenate(name="features", **FLOAT32)(features)
    logits = _dense(joined, num_classes, name="logits")
    return {"logits": logits} | votes if aggregation == "deep_sup" else logits


def _stages(image_shape, filters, stage_convs, unit, whiten):
    """The image, and the features of stages 1 to 5, by number."""
    if min(image_shape[:2]) < 16:
        raise ValueError(
            "`image_shape` must have sides of at least 16, which four poolings leave a pixel of. "
            f"Received: image_shape={image_shape}"
        )
    if filters < 1:
        raise ValueError(f"`filters` must be at least 1. Received: filters={filters}")
    if len(stage_convs) != len(WIDTHS) or min(stage_convs) < 1:
        raise ValueError(
            f"`stage_convs` must be five ints of at least 1. Received: stage_convs={stage_convs}"
        )
    x = image = keras.Input(image_shape, name="image")
    if whiten:
        x = Whitening(name="whitening")(x)
    stages = {}
    for s, (width, convs) in enumerate(zip(WIDTHS, stage_convs, strict=True), 1):
        if s > 1:
            x = layers.MaxPooling2D(2, name=f"pool{s - 1}")(x)
        for c in range(1, convs + 1):
            x = unit(x, width * filters, name=f"stage{s}_conv{c}")
        stages[s] = x
    return image, stages


def _gate(g, normalization, gating, gate_bias, *, name):
    constant = {"softmax": 10.0, "sigmoid": 3.0}  # the authors' code
    channels = g.shape[-1]
    return GridAttention(
        channels,
        normalization,
        gate_bias=gate_bias,
        gating=gating,
        kernel_initializer=_he_normal(),
        phi_bias_initializer=_uniform(channels),
        psi_bias_initializer=initializers.Constant(constant[normalization])
        if normalization in constant
        else _uniform(channels),
        name=name,
    )


def _unit(use_bias, epsilon):
    """`conv_bn_relu` with the initial weights of the authors' code."""

    def unit(x, filters, *, kernel_size=3, name):
        conv, norm = _conv(x, kernel_size, use_bias), _norm(epsilon)
        return conv_bn_relu(x, filters, kernel_size=kernel_size, name=name, conv=conv, norm=norm)

    return unit


def _conv(x, kernel_size, use_bias):
    return {
        "use_bias": use_bias,
        "kernel_initializer": _he_normal(),
        "bias_initializer": _uniform(x.shape[-1] * kernel_size**2),
    }


def _norm(epsilon):
    gamma = initializers.RandomNormal(mean=1.0, stddev=0.02)
    return {"momentum": MOMENTUM, "epsilon": epsilon, "gamma_initializer": gamma}


def _dense(x, units, *, name):
    start = {
        "kernel_initializer": initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
        "bias_initializer": _uniform(x.shape[-1]),
    }
    return layers.Dense(units, name=name, **start, **FLOAT32)(x)


def _he_normal():
    """He et al.'s, without the truncation of Keras's."""
    return initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def _uniform(fan_in):
    """PyTorch's default, of biases and of fully connected layers."""
    return initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)
