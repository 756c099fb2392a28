"""Small networks that look: with gates, a mask and a class map; one that finds borders."""

import io

import keras
import numpy as np
from keras import layers
from PIL import Image

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.decode import decode
from thyroid_keras.data.resize import resize
from thyroid_keras.layers import GridAttention
from thyroid_keras.prediction import input_size


def looking(num_classes=2, seed=0):
    """A network of 24x32 grey pixels that shows all that a network can."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((24, 32, 1), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    g = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu")(x)
    alpha = GridAttention(3, normalization="range", name="gate1")(x, g)
    gated = layers.Multiply()([x, alpha])
    mask = layers.Conv2DTranspose(1, 2, strides=2, activation="sigmoid", name="mask")(gated)
    label = layers.Dense(num_classes, activation="softmax", name="label")(
        layers.GlobalAveragePooling2D()(g)
    )
    return keras.Model(image, {"label": label, "mask": mask})


def finding():
    """A network that takes what is not black for the sector, and what is white for text."""
    image = keras.Input((64, 80, 1), name="image")

    def levels(name, scale, offset):
        x = layers.Rescaling(scale, offset)(image)
        return layers.ReLU(max_value=1.0, name=name)(x)

    outputs = {"sector": levels("sector", 4.0, 0.0), "text": levels("text", 1.5, -0.9)}
    return keras.Model(image, outputs)


def images_of(model, pictures):
    """Encoded pictures, or files of such, as a model takes them: read by training's decoder."""
    size, channels = input_size(model)
    read = [resize(decode(data, channels=channels), size) for data in pictures]
    return np.stack(read).reshape(-1, *size, channels) * GREY_LEVEL


def pixels_of(png):
    """The grey levels of a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L" and image.format == "PNG"
        return np.array(image).astype(int)
