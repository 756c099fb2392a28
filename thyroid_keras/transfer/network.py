"""A network known from ImageNet without its classifier: from images to bottleneck features."""

import hashlib

import keras
from keras import layers

from thyroid_keras.archs.imagenet import begin
from thyroid_keras.archs.inception import number_layers
from thyroid_keras.archs.mobilenet import width_of
from thyroid_keras.archs.pretrained import (
    APPLICATIONS,
    application_name,
    start_from,
    unavailable,
    weights_normalization,
)
from thyroid_keras.archs.torchvision import is_torchvision
from thyroid_keras.training import SettingError, refuse

POOLINGS = ("flatten", "average")
SIZES = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299, "NASNetLarge": 331}
SCALABLE = ("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small")


def feature_network(name, *, weights="imagenet", image_size=None, alpha=None, pooling=None):
    """Builds the convolutions of a Keras application, with its preprocessing in front.

    Args:
        name: of any of `keras.applications`, in small letters or not, e.g. `"vgg16"`,
            `"inception_v3"`, `"mobilenet"`.
        weights: `"imagenet"`, a path or `None`: random; see `archs.pretrained.start_from`.
        image_size: side of the square input, px; `None`: that of the published weights.
        alpha: float > 0, width of a MobileNet; `None`: that of an `.npz` file, else 1.
        pooling: `"flatten"`: every position's features; `"average"`: their mean; `None`:
            flattened for the VGGs, averaged for all others.

    Returns:
        `keras.Model` from images `(B, S, S, 3)` in [0, 1] to float32 features `(B, F)`,
        in inference.

    Raises:
        SettingError: if a setting cannot be.
        ModelError: if the weights cannot be had, or are of another network.

    Reference: Sai Sundar and Sai, Sec. 3.2; flattened as was usual at their time.
    """
    application = application_name(name)
    _check(name, application, weights, image_size, alpha, pooling)
    size = image_size or SIZES.get(application, 224)
    shape = (size, size, 3)
    options = {"include_top": False}
    if application in SCALABLE:
        options["alpha"] = alpha or width_of(weights)
    function = getattr(keras.applications, application)
    normalization = weights_normalization(name, weights)
    try:
        image, x = begin(shape, normalization)
        if normalization is None:
            x = layers.Rescaling(255, name="bytes")(x)
        base = function(weights=None, input_tensor=x, **options)
    except ValueError as error:  # each application has a least size of its own
        raise SettingError(
            f"--image-size: {application} cannot be built for it ({str(error).strip():.200}). "
            f"Received: image_size={size}"
        ) from error
    if application == "InceptionV3":
        number_layers(base)

    def published():
        source = function(weights="imagenet", input_shape=shape, **options)
        pairs = zip(_weighted(base), _weighted(source), strict=True)
        return {ours.name: theirs.get_weights() for ours, theirs in pairs}

    start_from(keras.Model(base.input, base.output, name=name), weights, published)
    flat = (pooling or _usual(application)) == "flatten"
    pool = layers.Flatten if flat else layers.GlobalAveragePooling2D
    features = pool(name="features", dtype="float32")(base.output)
    network = keras.Model(image, features, name=f"{application.lower()}_features")
    network.trainable = False
    return network


def fingerprint(network):
    """SHA-256 of what a network computes: its layers and its weights.

    Args:
        network: result of `feature_network`.

    Returns:
        64 hexadecimal digits.
    """
    facts = (keras.version(), network.name, network.input_shape, network.output_shape)
    shapes = [(type(x).__name__, x.output.shape[1:]) for x in network.layers]
    digest = hashlib.sha256(repr((facts, shapes)).encode())
    for array in network.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check(name, application, weights, image_size, alpha, pooling):
    """Raises SettingError with everything that cannot be."""
    problems = []
    if application is None:
        known = ", ".join(APPLICATIONS)
        problems.append(f"--features must be one of {known}. Received: features={name!r}")
    if problem := unavailable(name, weights):
        problems.append(f"--weights: {problem}")
    elif is_torchvision(weights) and not (application or "").startswith("VGG"):
        # of the same name, but not the same network: Keras's ResNets have other layers
        problems.append(
            f"--weights: torchvision's files fit a VGG's features alone. Give a .keras file, or "
            f"imagenet. Received: weights={str(weights)!r}, features={name!r}"
        )
    if image_size is not None and image_size < 1:
        problems.append(f"--image-size must be at least 1. Received: image_size={image_size}")
    if alpha is not None and not (alpha > 0 and application in SCALABLE):
        problems.append(f"--alpha is the width of a MobileNet, above 0. Received: alpha={alpha}")
    if pooling not in (None, *POOLINGS):
        problems.append(f"--pooling must be one of {POOLINGS}. Received: pooling={pooling!r}")
    refuse(problems)


def _usual(application):
    return "flatten" if application.startswith("VGG") else "average"


def _weighted(model):
    return [layer for layer in model.layers if layer.weights]
