"""The small network trained from scratch of Sai Sundar and Sai: three convolutions, one layer."""

import keras
from keras import layers

from thyroid_keras.archs.imagenet import FLOAT32, IMAGE_SHAPE, LEAST_SIDE

FILTERS = (32, 32, 64)


def small_cnn(image_shape=IMAGE_SHAPE, num_classes=2):
    """Builds the small network: 3x3 convolutions of 32, 32 and 64 filters, then 64 units.

    Args:
        image_shape: `(H, W, channels)`, H and W at least 32.
        num_classes: int >= 1, the width of the logits; 1 is the paper's sigmoid unit,
            whose positive logit means the last of two classes.

    Returns:
        `keras.Model` from images in [0, 1] to float32 logits `(B, num_classes)`;
        2,797,665 parameters at 224x224x3 and one class, 1,212,513 at 150x150x3.

    Raises:
        ValueError: if an argument is out of range.

    Reference: Sai Sundar and Sai, "Exploring Transfer Learning, Fine-tuning of Thyroid
        Ultrasound Images", Sec. 3.1.
    Deviation: the paper gives the convolutions and the sigmoid alone. What lies between
        (no padding, ReLU, halving by maxima, 64 units, a dropout of a half) is that of the
        network of Keras's blog that has these very convolutions.
    """
    if min(image_shape[:2]) < LEAST_SIDE:
        raise ValueError(
            f"`image_shape` must have sides of at least {LEAST_SIDE}. "
            f"Received: image_shape={image_shape}"
        )
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be at least 1. Received: num_classes={num_classes}")
    x = image = keras.Input(image_shape, name="image")
    for number, filters in enumerate(FILTERS, 1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="fc")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    logits = layers.Dense(num_classes, name="logits", **FLOAT32)(x)
    return keras.Model(image, logits, name="small_cnn")
