"""Shape key: B batch, H W pixels, N = H W, C channels, T grey levels."""

import keras
from keras import layers, ops

METHODS = ("calcification_index", "otsu")
EXCESS = 2.0  # standard deviations over the mean
GREY_LEVELS = 64
OPENING_PX = 3
ALL = (1, 2, 3)  # the axes of one image


@keras.saving.register_keras_serializable(package="thyroid_keras")
class BrightnessMap(layers.Layer):
    """Marks what is bright in an image, as methods before neural networks did.

    Args:
        method: `"calcification_index"` or `"otsu"`, the functions below.

    Call arguments:
        x: images `(B, H, W, C)` in [0, 1], whose channels are averaged.

    Returns:
        float32 `(B, H, W, 1)`, at least 0: how far each marked pixel stands out, in
        standard deviations of its image; 0 elsewhere. Its mean over the image is the
        method's score.

    Raises:
        ValueError: if `method` is unknown.
    """

    def __init__(self, method="calcification_index", **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        if method not in METHODS:
            raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
        self.method = method

    def call(self, x):
        x_BHW1 = ops.mean(x, axis=-1, keepdims=True)
        return (otsu if self.method == "otsu" else calcification_index)(x_BHW1)

    def compute_output_shape(self, x_shape):
        return (*x_shape[:-1], 1)

    def get_config(self):
        return super().get_config() | {"method": self.method}


def calcification_index(x_BHW1):
    """What exceeds the mean of an image by more than two standard deviations.

        map_ij = max(0, (x_ij - mean x) / sd x - 2)

    Args:
        x_BHW1: grey images in [0, 1].

    Returns:
        float32 `(B, H, W, 1)`; 0 everywhere in a constant image.

    Reference: in the style of Chen et al.'s calcification index, as far as Wang et al.,
        CS-AGnet, Sec. 1, describe it (a threshold of brightness).
    Deviation: its formula could not be had; this is no reproduction. No outline of the
        nodule: the image is the square that holds it.
    """
    return ops.relu(_centred(x_BHW1) / _spread(x_BHW1) - EXCESS)


def otsu(x_BHW1):
    """The brightest of Otsu's three classes, weighed by how far it stands out.

        map_ij = [ij in opening(class 3)] (mean of those x - mean of the others) / sd x

    The two thresholds maximise the variance between the classes of a histogram of 64 grey
    levels; an opening by 3x3 pixels removes single ones.

    Args, Returns: as for `calcification_index`.

    Reference: Otsu 1979, doi:10.1109/TSMC.1979.4310076, with more than one threshold; in the
        style of Choi et al., as far as Wang et al., CS-AGnet, Sec. 1, describe it (several
        thresholds of brightness).
    Deviation: their procedure could not be had; this is no reproduction.
    """
    level_BHW1 = ops.clip(ops.floor(x_BHW1 * GREY_LEVELS), 0, GREY_LEVELS - 1)
    upper_B111 = ops.reshape(_upper_threshold(level_BHW1), (-1, 1, 1, 1))
    bright_BHW1 = ops.cast(level_BHW1 > upper_B111, "float32")
    bright_BHW1 = _dilated(-_dilated(-bright_BHW1))
    share_B111 = ops.mean(bright_BHW1, axis=ALL, keepdims=True)
    bright_BHW1 = ops.where(share_B111 < 1, bright_BHW1, 0.0)  # where all are, none stands out
    inside_B111 = ops.mean(_centred(x_BHW1) * bright_BHW1, axis=ALL, keepdims=True)
    # the others' mean lies below 0 as much as these lie above, share by share
    both_B111 = ops.maximum(share_B111 * (1 - share_B111), keras.config.epsilon())
    return ops.relu(inside_B111 / both_B111 / _spread(x_BHW1)) * bright_BHW1


def _upper_threshold(level_BHW1):
    """The highest grey level of the middle one of Otsu's three classes, `(B,)`."""
    _, height, width, _ = level_BHW1.shape
    level_BN = ops.reshape(ops.cast(level_BHW1, "int32"), (-1, height * width))
    share_BT = ops.mean(ops.one_hot(level_BN, GREY_LEVELS), axis=1)
    share_BT, moment_BT = (
        ops.cumsum(of, axis=1) for of in (share_BT, share_BT * ops.arange(GREY_LEVELS * 1.0))
    )

    def squares(share, moment):
        return ops.square(moment) / ops.maximum(share, keras.config.epsilon())

    first, second = share_BT[:, :, None], share_BT[:, None, :]
    of_first, of_second = moment_BT[:, :, None], moment_BT[:, None, :]
    between_BTT = squares(first, of_first) + squares(second - first, of_second - of_first)
    between_BTT += squares(1 - second, moment_BT[:, -1:, None] - of_second)
    ordered_TT = ops.triu(ops.ones((GREY_LEVELS, GREY_LEVELS)), 1)
    best_B = ops.argmax(ops.reshape(between_BTT * ordered_TT, (-1, GREY_LEVELS**2)), axis=1)
    return ops.cast(best_B % GREY_LEVELS, "float32")


def _centred(x_BHW1):
    return x_BHW1 - ops.mean(x_BHW1, axis=ALL, keepdims=True)


def _spread(x_BHW1):
    """The standard deviation of each image; 1 where it is constant."""
    sd_B111 = ops.std(x_BHW1, axis=ALL, keepdims=True)
    return ops.where(sd_B111 > keras.config.epsilon(), sd_B111, 1.0)


def _dilated(x_BHW1):
    return ops.max_pool(x_BHW1, OPENING_PX, strides=1, padding="same")
