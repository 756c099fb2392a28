"""A run as `train` leaves it, whose network was written by hand and knows its classes."""

import keras
import numpy as np
from tables import blobs, write_folder

from thyroid_keras.data.readers import read
from thyroid_keras.data.split_file import write_split
from thyroid_keras.data.splits import make_splits
from thyroid_keras.experiment import _config
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.runs import Run, write_csv, write_json


def blob_detector(channels=1):
    """Tells images with a bright square from dark noise; it has a class map."""
    image = keras.Input((32, 32, channels), name="image")
    x = keras.layers.Conv2D(3, 5, padding="same", name="conv")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(2, name="logits", dtype="float32")(x)
    model = keras.Model(image, {"logits": logits}, name="fan")
    weights = {
        "conv": [np.ones((5, 5, channels, 3)) / (25 * channels) * [1, 0.5, -1], [-0.45, 0, 0.9]],
        "norm": [[1, 2, 1], [0, 0.1, 0], [0, 0.1, 0.5], [1, 0.8, 0.5]],
        "logits": [[[-200, 200], [1, -1], [0.5, -0.5]], [2, -2]],
    }
    for name, values in weights.items():
        model.get_layer(name).set_weights([np.array(value, np.float32) for value in values])
    return model


def write_run(root, channels=1):
    """Writes a run of `blob_detector` below a folder, and its data; returns the run's."""
    data = write_folder(blobs(48), root / "data")
    recipe = choose_recipe("fan", "quick", ["image_size=32", "eta=16"])
    splits = make_splits(read(data), progress=False)
    source = {"path": str(data), "format": None, "target": None, "seed": 0}
    source |= {"on_bad": "fail", "folds": None, "fold": None}
    with Run.create(root / "run") as run:
        config = _config(run, recipe, splits, source, 0, "float32")
        write_json(run.config, config | {"seconds": 1.0, "parameters": 1})
        write_split(run.split, splits)
        known = {"split": "test", "n": len(splits.test.samples), "threshold": 0.5}
        write_json(run.metrics, known | {"threshold_origin": "validation"})
        write_csv(run.history, [{"phase": "fan", "epoch": 1, "loss": 1.0}])
        blob_detector(channels).save(run.model)
    return root / "run"
