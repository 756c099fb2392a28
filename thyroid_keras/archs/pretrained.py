"""Weights that a network starts from: a file's, or Keras's own of ImageNet."""

import collections
import contextlib
import os
import re
import threading
import urllib.request
import zipfile
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.archs import torchvision
from thyroid_keras.loading import MAX_EXPANSION, ModelError, load
from thyroid_keras.weight_files.checkpoint import read_checkpoint
from thyroid_keras.weight_files.errors import ConvertError

IMAGENET = "imagenet"
PUBLISHED = ("resnet50", "resnet152", "vgg16", "vgg19", "inception_v3", "mobilenet")  # by Keras
APPLICATIONS = {n.lower(): n for n in dir(keras.applications) if n[0].isupper()}  # its names
# how images in [0, 1] are normalised for those weights, by module of keras.applications (see
# `archs.imagenet.begin`); the others do it themselves
NORMALIZATIONS = {
    **dict.fromkeys(("resnet", "vgg16", "vgg19"), "caffe"),
    **dict.fromkeys(("inception_resnet_v2", "inception_v3", "mobilenet", "mobilenet_v2"), "tf"),
    **dict.fromkeys(("nasnet", "resnet_v2", "xception"), "tf"),
    "densenet": "torch",
}
HEAD = {"fc", "fc1", "fc2", "logits"}  # layers that begin anew where theirs do not fit
CLASSIFIERS = ("conv_preds", "predictions")  # what Keras calls them
SUFFIXES = (".keras", ".weights.h5", ".npz", torchvision.SUFFIX)
URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
PATIENCE_S = 3.5


def start_from(model, weights, published=None):
    """Gives a network the weights that its builder was asked for.

    Args:
        model: `keras.Model`, changed in place; its name is that of its builder.
        weights: `None`: it stays as it is. Path of a `.keras` file: layers take the weights
            of those of the same name, the head only where its shapes are the same. Path of
            a `.weights.h5` file: of the same network, head and all. Path of an `.npz` file:
            arrays called `layer|variable`, in the order of Keras's layers, used like those
            of a `.keras` file. Path of a `.pth` file: torchvision's, likewise; nothing in it
            is executed. `"imagenet"`: Keras's own, downloaded unless Keras has them.
        published: function that returns those, a dict from layer name to a list of arrays.

    Returns:
        The model.

    Raises:
        ModelError: if the weights cannot be had, or are of another network.
    """
    if weights is None:
        return model
    if weights == IMAGENET:
        try:
            arrays = published()
        except Exception as error:  # Keras raises no kind of its own
            raise ModelError(_offline(model.name, error)) from error
        return _assign(model, arrays, weights)
    if torchvision.is_torchvision(weights):
        try:
            return torchvision.set_weights(model, read_checkpoint(weights), new_head=True)
        except ConvertError as error:
            raise ModelError(f"{error}. Received: weights={str(weights)!r}") from error
    if str(weights).endswith(".keras"):
        source = load(weights)
        return _assign(model, {x.name: x.get_weights() for x in source.layers}, weights)
    if str(weights).endswith(".npz"):
        return _assign(model, read_arrays(weights), weights)
    try:
        model.load_weights(weights)
    except Exception as error:  # h5py and Keras raise what they like
        raise ModelError(
            f"{weights}: not the weights of this {model.name} ({str(error).strip():.200}). Give "
            f"the arguments that they were saved with. Received: weights={str(weights)!r}"
        ) from error
    return model


def require(arch, weights):
    """Raises `ModelError` where weights cannot be had; asked before a network is built."""
    if problem := unavailable(arch, weights):
        raise ModelError(problem)


def unavailable(arch, weights):
    """Says why weights cannot be had, within five seconds.

    Args:
        arch: name of the architecture.
        weights: see `start_from`.

    Returns:
        A sentence, or `None` where they can.
    """
    if weights is None:
        return None
    received = f"Received: weights={str(weights)!r}"
    if weights == IMAGENET:
        if application_name(arch) is None:
            return (
                f"Keras publishes no ImageNet weights for {arch}, only for {', '.join(PUBLISHED)}. "
                f"Give the path of a .keras file, or train from random ones. {received}"
            )
        return None if _is_kept(arch) or _answers() else _offline(arch, "no answer")
    if not str(weights).endswith(SUFFIXES):
        return f"{weights}: weights come from a .keras, .npz, .pth or .weights.h5 file. {received}"
    if torchvision.is_torchvision(weights) and arch not in torchvision.MODULES:
        known = ", ".join(torchvision.MODULES)
        return f"{weights}: torchvision's files are known of {known}, not of {arch}. {received}"
    return None if Path(weights).is_file() else f"{weights}: no such file; check it. {received}"


def _offline(arch, why):
    return (
        f"The ImageNet weights of {arch} cannot be downloaded ({str(why).strip():.200}). Copy "
        f"{_cache() / arch}*.h5 from a machine with a network, give the path of a .keras file, or "
        f"train from random ones. Received: weights={IMAGENET!r}"
    )


def application_name(arch):
    """Returns Keras's name of an application, `"MobileNet"` of `"mobilenet"`, or `None`."""
    return APPLICATIONS.get(_letters(arch))


def published_normalization(arch):
    """Returns how images are normalised for Keras's weights of ImageNet, see `NORMALIZATIONS`.

    Args:
        arch: name of an application, see `application_name`.

    Returns:
        `"caffe"`, `"tf"` or `"torch"`; `None` where the application does it itself, or Keras
        has none of that name.
    """
    function = getattr(keras.applications, application_name(arch) or "", None)
    return function and NORMALIZATIONS.get(function.__module__.rpartition(".")[2])


def weights_normalization(arch, weights):
    """Returns how images are normalised for weights: torchvision's, or Keras's of ImageNet.

    Args:
        arch, weights: see `unavailable`.

    Returns:
        As of `published_normalization`.
    """
    if torchvision.is_torchvision(weights):
        return torchvision.NORMALIZATION
    return published_normalization(arch)


def _letters(name):
    return "".join(c for c in name.lower() if c.isalnum())


def _cache():
    """Where Keras keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _is_kept(arch):
    # version 2 is another network, ResNet50V2, but for MobileNet, where it is a setting
    own = re.compile(_letters(arch) + ("" if arch == "mobilenet" else r"(?!v\d)"))
    return any(own.match(_letters(path.name)) for path in _cache().glob("*.h5"))


def _answers():
    """Whether Keras's server does; a thread, since looking up its name heeds no time limit."""
    answers = []

    def ask():
        request = urllib.request.Request(URL, method="HEAD")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=PATIENCE_S):
            answers.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return bool(answers)


def read_arrays(path):
    """Returns the arrays of an `.npz` file by layer; the classifier's are a dense layer's."""
    arrays = collections.defaultdict(list)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_EXPANSION * Path(path).stat().st_size:
                raise ValueError(f"it would unpack to {size / 1e6:,.0f} MB")
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                layer, _, _ = name.rpartition("|")
                head = layer in CLASSIFIERS
                arrays["logits" if head else layer].append(
                    np.squeeze(file[name]) if head else file[name]
                )
    except Exception as error:  # a file made with intent may fail in any way
        raise ModelError(
            f"{path}: not a file of arrays ({str(error).strip():.200}). Give one whose arrays are "
            f"called layer|variable, without pickled objects. Received: weights={str(path)!r}"
        ) from error
    return arrays


def _assign(model, arrays, weights):
    """Sets the weights of layers by name; all but the head must be there."""
    problems = []
    for layer in model.layers:
        shapes = [tuple(w.shape) for w in layer.weights]
        found = [array.shape for array in arrays.get(layer.name, ())]
        if shapes and found == shapes:
            layer.set_weights(arrays[layer.name])
        elif shapes and layer.name not in HEAD:
            problems.append(f"{layer.name} {found or 'missing'} instead of {shapes}")
    if problems:
        raise ModelError(
            f"{weights}: the weights of another network than {model.name}: "
            f"{'; '.join(problems[:3])}{' ...' if len(problems) > 3 else ''}. Three channels go "
            f"with ImageNet's. Received: weights={str(weights)!r}"
        )
    return model
