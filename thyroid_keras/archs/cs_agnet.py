"""CS-AGnet: Wang et al., "Automatic calcification recognition in thyroid nodules"
(two-stage collaborative semi-supervision), and its relatives without a gate or label.

Module A is the shared encoder, module B the gated decoder that draws the mask, module C
the gated classifier. `ds_agnet` is A + B, `cs_agnet` A + B + C; `vgg_unet_seg` and
`vgg_unet` are the same two without gates.
"""

import keras
from keras import layers

from thyroid_keras.archs.blocks import MOMENTUM, conv_bn_relu, conv_stack
from thyroid_keras.layers.attention_pool import AttentionPool
from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.grid_attention import GridAttention

STAGE_FILTERS = (32, 64, 128, 256, 512)
STAGE_CONVS = (2, 2, 3, 3)
MASKS = {4: "mask_8", 3: "mask_4", 2: "mask_2", 1: "mask"}  # decoder level -> output
FLOAT32 = {"dtype": "float32"}


def cs_agnet(
    image_shape=(192, 192, 1), num_classes=2, *, stage_filters=STAGE_FILTERS, mask_bias=-3.0
):
    """Builds CS-AGnet: masks of the calcifications and the class of the nodule.

    Args:
        image_shape: `(H, W, channels)`, H and W multiples of 16.
        num_classes: int >= 2, the width of `label`.
        stage_filters: five ints, the filters of blocks 1 to 4 and of the bridge.
        mask_bias: float, the initial bias of the mask heads (logit of the prior share
            of mask pixels).

    Returns:
        `keras.Model` from images in [0, 1] to a dict of float32 probabilities: `label`
        `(B, num_classes)`, `mask` `(B, H, W, 1)` and, at 1/2, 1/4 and 1/8 of the size,
        `mask_2`, `mask_4`, `mask_8`. Attention maps are the outputs of the layers
        `mask_gate1` to `mask_gate3` (the third, nearest to the mask, is the one that
        the paper shows) and `label_gate1` to `label_gate3`.

    Raises:
        ValueError: if a side is no multiple of 16, `stage_filters` are not five, or there are
            fewer than two classes.

    Reference: Wang et al., CS-AGnet, Fig. 1 and Sec. 2.1 to 2.3.
    Deviation: the paper is silent on several points. Decided here: batch normalisation
        after every convolution, as in the public relative (focal-tversky-unet), with a
        momentum of 0.9; gates of module B are gated by the next coarser decoder level,
        sigmoid, with a 1x1 output transform and half the channels of their input inside; gates
        of module C by the bridge, with all of those channels inside, the scores shifted to a
        minimum of 0 and divided by their sum; both without a bias on their input, their gating
        signal resized bilinearly; transposed 2x2 convolutions in the decoder; `mask_bias` of
        -3, since with 0 the Tversky loss per image collapses to empty masks.
    """
    return _whole("cs_agnet", image_shape, num_classes, stage_filters, mask_bias, gated=True)


def ds_agnet(
    image_shape=(192, 192, 1), num_classes=2, *, stage_filters=STAGE_FILTERS, mask_bias=-3.0
):
    """Builds DS-AGnet, CS-AGnet without its classifier; arguments as `cs_agnet`.

    `num_classes` is accepted for uniformity: the mask has one foreground class.
    """
    return _whole("ds_agnet", image_shape, None, stage_filters, mask_bias, gated=True)


def vgg_unet(
    image_shape=(192, 192, 1), num_classes=2, *, stage_filters=STAGE_FILTERS, mask_bias=-3.0
):
    """Builds VGG_U-net, CS-AGnet without gates; arguments and outputs as `cs_agnet`.

    Skips are plain, and the classifier averages over the grid.
    """
    return _whole("vgg_unet", image_shape, num_classes, stage_filters, mask_bias, gated=False)


def vgg_unet_seg(
    image_shape=(192, 192, 1), num_classes=2, *, stage_filters=STAGE_FILTERS, mask_bias=-3.0
):
    """Builds the segmentation half of `vgg_unet`; arguments as `ds_agnet`."""
    return _whole("vgg_unet_seg", image_shape, None, stage_filters, mask_bias, gated=False)


def _whole(name, image_shape, num_classes, stage_filters, mask_bias, *, gated):
    """Modules A and B, and C where there are classes."""
    if num_classes is not None and num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2. Received: num_classes={num_classes}")
    image, taps, bridge = _encoder(image_shape, stage_filters)
    outputs = _decoder(taps, bridge, stage_filters, mask_bias, gated=gated)
    if num_classes is not None:
        outputs["label"] = _classifier(taps, bridge, num_classes, gated=gated)
    return keras.Model(image, outputs, name=name)


def _encoder(image_shape, stage_filters):
    """Module A: VGG-16's first four blocks, half as wide, with a pyramid of inputs."""
    height, width, _ = image_shape
    if height % 16 or width % 16 or not height or not width:
        raise ValueError(
            "`image_shape` must have sides that are multiples of 16. "
            f"Received: image_shape={image_shape}"
        )
    if len(stage_filters) != 5:
        raise ValueError(
            "`stage_filters` must hold five numbers, for blocks 1 to 4 and the bridge. "
            f"Received: stage_filters={stage_filters}"
        )
    x = image = scaled = keras.Input(image_shape, name="image")
    taps = {}
    for s, (filters, convs) in enumerate(zip(stage_filters, STAGE_CONVS, strict=False), 1):
        if s > 1:
            scaled = layers.AveragePooling2D(2, name=f"image_{2 ** (s - 1)}")(scaled)
            detail = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"pyramid{s}",
            )(scaled)
            x = [detail, x]
        taps[s] = conv_stack(x, filters, convs, name=f"stage{s}")
        x = layers.MaxPooling2D(2, name=f"pool{s}")(taps[s])
    return image, taps, conv_stack(x, stage_filters[4], 2, name="bridge")


def _decoder(taps, bridge, stage_filters, mask_bias, *, gated):
    """Module B: levels 4 (coarsest) to 1, each with a mask of its own size."""
    x, masks = bridge, {}
    for level in (4, 3, 2, 1):
        filters = stage_filters[level - 1]
        skip = taps[level]
        if gated and level > 1:  # the finest skip is not gated
            skip = _gated_skip(skip, x, filters, name=f"mask_gate{5 - level}")
        x = layers.Conv2DTranspose(
            filters, 2, strides=2, kernel_initializer="he_normal", name=f"up{level}"
        )(x)
        x = conv_stack([x, skip], filters, 2, name=f"decoder{level}")
        masks[MASKS[level]] = layers.Conv2D(
            1,
            1,
            activation="sigmoid",
            bias_initializer=keras.initializers.Constant(mask_bias),
            name=MASKS[level],
            **FLOAT32,
        )(x)
    return masks


def _gated_skip(skip, coarser, filters, *, name):
    """The skip weighed by an attention map, and its 1x1 output transform."""
    signal = conv_bn_relu(coarser, coarser.shape[-1], kernel_size=1, name=f"{name}_signal")
    alpha = GridAttention(max(1, filters // 2), "sigmoid", gate_bias=True, name=name)(skip, signal)
    skip = layers.Multiply(name=f"{name}_weigh")([skip, alpha])
    skip = layers.Conv2D(filters, 1, kernel_initializer="he_normal", name=f"{name}_out")(skip)
    return BatchNorm(momentum=MOMENTUM, name=f"{name}_out_bn")(skip)


def _classifier(taps, bridge, num_classes, *, gated):
    """Module C: a class vote at each of three scales, and a layer that weighs the votes."""
    votes = []
    for gate, scale in enumerate((2, 3, 4), 1):
        tap = taps[scale]
        if gated:
            alpha = GridAttention(tap.shape[-1], gate_bias=True, name=f"label_gate{gate}")(
                tap, bridge
            )
            pooled = AttentionPool(name=f"label_pool{gate}")(tap, alpha)
        else:
            pooled = layers.GlobalAveragePooling2D(name=f"label_pool{gate}", **FLOAT32)(tap)
        votes.append(
            layers.Dense(num_classes, activation="softmax", name=f"vote{gate}", **FLOAT32)(pooled)
        )
    votes = layers.Concatenate(name="votes", **FLOAT32)(votes)
    return layers.Dense(num_classes, activation="softmax", name="label", **FLOAT32)(votes)
