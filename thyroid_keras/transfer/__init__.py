"""Transfer learning: bottleneck features of known networks, and classifiers of them."""

from thyroid_keras.transfer.experiment import CACHE, bottleneck
from thyroid_keras.transfer.fc import fit_head
from thyroid_keras.transfer.features import extract
from thyroid_keras.transfer.network import POOLINGS, feature_network
from thyroid_keras.transfer.settings import CLASSIFIERS, VIEWS, Settings
from thyroid_keras.transfer.svm import KERNELS, fit_svm, load, save

__all__ = [
    "CACHE",
    "CLASSIFIERS",
    "KERNELS",
    "POOLINGS",
    "VIEWS",
    "Settings",
    "bottleneck",
    "extract",
    "feature_network",
    "fit_head",
    "fit_svm",
    "load",
    "save",
]
