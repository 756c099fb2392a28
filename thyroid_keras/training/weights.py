"""Weights of one network in another."""


def copy_weights(source, target):
    """Copies weights between layers of the same name and shapes.

    Args:
        source: `keras.Model`.
        target: `keras.Model`, changed in place.

    Returns:
        The target.
    """
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        twin = layers.get(layer.name)
        if twin is None or not layer.weights:
            continue
        if [w.shape for w in twin.weights] == [w.shape for w in layer.weights]:
            layer.set_weights(twin.get_weights())
    return target
