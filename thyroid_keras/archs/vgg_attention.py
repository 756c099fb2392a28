"""VGG-att3 (Jetley et al. 2018, arXiv:1804.02391): a VGG that classifies what it attends to."""

import keras
from keras import layers

from thyroid_keras.archs.blocks import MOMENTUM, conv_bn_relu
from thyroid_keras.archs.imagenet import EPSILON, FLOAT32, IMAGE_SHAPE, begin, check_head
from thyroid_keras.archs.pretrained import require, start_from
from thyroid_keras.layers import AttentionPool, LocalAttention
from thyroid_keras.layers.local_attention import XAVIER

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3), (512, 2))  # filters, convolutions
ATTENDED = (3, 4, 5)  # and halved behind it; the last stage is, behind each convolution
WIDTH = 512
POOLS = {"softmax": "sum", "sigmoid": "mean"}  # how weighed features become a vector
CONV = {"kernel_initializer": XAVIER}
GAMMA = {"class_name": "RandomUniform", "config": {"minval": 0.0, "maxval": 1.0}}
NORM = {"momentum": MOMENTUM, "epsilon": EPSILON, "gamma_initializer": GAMMA}


def vgg_att3(
    image_shape=IMAGE_SHAPE,
    num_classes=2,
    *,
    weights=None,
    normalization=None,
    attention="softmax",
):
    """Builds VGG-att3: three stages of a VGG, each weighed by its own attention map.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32. Seven convolutions work at
            full size: at 224x224 the features of one image take over a GB in training.
        num_classes: int >= 1, the width of the logits.
        weights: `None`: random; path of a `.keras` file with a network of this arch, whose
            classes may be others, or of a `.weights.h5` file of this very network. See
            `archs.pretrained.start_from`.
        normalization: `None`: the network takes images as they are; `"torch"`, `"caffe"` or
            `"tf"`: it takes images in [0, 1] and normalises them (see
            `archs.imagenet.begin`).
        attention: `"softmax"`: weights that add up to 1; `"sigmoid"`: each position for
            itself, and the mean of what is weighed.

    Returns:
        `keras.Model` to float32 logits `(B, num_classes)`; 19,847,749 parameters at
        32x32x3 and five classes, 32,430,661 at 224x224x3. The maps are the outputs of
        `attention3`, `attention4` and `attention5`, as large as the image, a half and a
        quarter of it.

    Raises:
        ValueError: if an argument is out of range.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Jetley et al. 2018, Sec. 3 and 4 (VGG-att3, concatenated, parametrised
        compatibility), with the layers of SaoYan/LearnToPayAttention, `AttnVGG_before`,
        which Xu et al. took.
    Deviation: that code builds its last convolution for square images; here the sides
        may differ.
    """
    if attention not in POOLS:
        raise ValueError(
            f"`attention` must be one of {tuple(POOLS)}. Received: attention={attention!r}"
        )
    check_head(num_classes, "standard")
    require("vgg_att3", weights)
    image, x = begin(image_shape, normalization)
    stages = {}
    for s, (filters, num_convs) in enumerate(STAGES, 1):
        for c in range(1, num_convs + 1):
            name = f"stage{s}_conv{c}"
            x = stages[s] = conv_bn_relu(x, filters, name=name, conv=CONV, norm=NORM)
            if s == len(STAGES) or (s in ATTENDED and c == num_convs):
                x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    stages[3] = layers.Conv2D(WIDTH, 1, use_bias=False, name="project3", **CONV)(stages[3])
    g = layers.Conv2D(WIDTH, x.shape[1:3], name="global", **CONV)(x)
    attended = []
    for s in ATTENDED:
        alpha = LocalAttention(attention, name=f"attention{s}")(stages[s], g)
        attended.append(AttentionPool(POOLS[attention], name=f"attended{s}")(stages[s], alpha))
    x = layers.Concatenate(name="attended", **FLOAT32)(attended)
    logits = layers.Dense(num_classes, name="logits", **CONV, **FLOAT32)(x)
    return start_from(keras.Model(image, logits, name="vgg_att3"), weights)
