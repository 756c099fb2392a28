"""Methods from before neural networks, which call bright what is calcified."""

import keras
from keras import layers

from thyroid_keras.archs.blocks import MOMENTUM
from thyroid_keras.layers.brightness import BrightnessMap

FLOAT32 = {"dtype": "float32"}


def classical(image_shape=(192, 192, 1), num_classes=2, *, method="calcification_index"):
    """Builds a method that thresholds brightness, as if it were a network.

    Its score is the mean of a map of bright pixels, and a logistic regression makes that a
    probability. So it is split, judged, stored and asked as the networks are.

    Args:
        image_shape: `(H, W, channels)`.
        num_classes: 2.
        method: `"calcification_index"` or `"otsu"`, in the style of two publications, see
            `layers.brightness`; neither is a reproduction.

    Returns:
        `keras.Model` from images in [0, 1] to a dict: `label`, probabilities `(B, 2)`, and
        `mask` `(B, H, W, 1)` in [0, 1), the hyperbolic tangent of the map.

    Raises:
        ValueError: if there are not two classes, or the method is unknown.

    Reference: Wang et al., CS-AGnet, Table 2 and Sec. 4 (their references 4 and 6).
    Deviation: see `layers.brightness.calcification_index` and `otsu`.
    """
    if num_classes != 2:
        raise ValueError(f"`num_classes` must be 2. Received: num_classes={num_classes}")
    image = keras.Input(image_shape, name="image")
    bright = BrightnessMap(method, name="brightness")(image)
    score = layers.GlobalAveragePooling2D(name="score", **FLOAT32)(bright)
    # scores are small numbers, of another size in each method
    x = layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=1e-9, center=False, scale=False, name="standardise", **FLOAT32
    )(score)
    outputs = {
        "label": layers.Dense(num_classes, activation="softmax", name="label", **FLOAT32)(x),
        "mask": layers.Activation("tanh", name="mask", **FLOAT32)(bright),
    }
    return keras.Model(image, outputs, name="classical")
