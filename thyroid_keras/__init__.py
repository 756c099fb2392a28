"""Attention networks for ultrasound image classification, in Keras.

    import thyroid_keras as tk
    tk.list_archs()
    model = tk.build("cs_agnet", image_shape=(192, 192, 1), num_classes=2)
    model = tk.load("runs/cs_agnet")

Research use only; not a medical device.
"""

# before TensorFlow, or skops looks for each function of SciPy in each of its modules
import scipy.special  # noqa: F401  isort: skip
from thyroid_keras import _quiet  # noqa: F401  isort: skip  before anything imports TensorFlow
from thyroid_keras import convert, explain, layers, losses  # layers and losses register themselves
from thyroid_keras._version import __version__
from thyroid_keras.archs import build, list_archs
from thyroid_keras.loading import load
from thyroid_keras.training import adam  # noqa: F401  registers itself

__all__ = ["__version__", "build", "convert", "explain", "layers", "list_archs", "load", "losses"]
