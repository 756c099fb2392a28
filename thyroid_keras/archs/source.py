"""What a builder must know of the network in a `.keras` file before it takes its weights."""

from thyroid_keras.loading import load


def source_layer(weights, name):
    """Returns the layer called so of the network in a `.keras` file, `None` where there is none.

    For what a builder must know before it takes that network's weights: networks of one arch
    and of the same shapes may differ in strides, or in how they scale their images.
    """
    return _layers(weights).get(name)


def kept_normalization(weights):
    """Returns how the network in a `.keras` file normalises its images.

    Args:
        weights: see `archs.pretrained.start_from`.

    Returns:
        `"torch"`, `"caffe"` or `"tf"`, see `archs.imagenet.begin`; `None` where it does not, or
        weights are no such file.
    """
    found = _layers(weights)
    return next((name for name in ("torch", "caffe", "tf") if name in found), None)


def _layers(weights):
    """The layers of the network in a `.keras` file by name, none of anything else."""
    own = str(weights).endswith(".keras")
    return {layer.name: layer for layer in load(weights).layers} if own else {}
