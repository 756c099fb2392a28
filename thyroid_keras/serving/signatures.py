"""What an exported model answers, and to what."""

import errno

import tensorflow as tf

from thyroid_keras.answers import label_of
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.pictures import MAX_SCREEN_PIXELS
from thyroid_keras.explain import constant_maps, with_explanation
from thyroid_keras.prediction import input_size
from thyroid_keras.serving.borders import in_graph
from thyroid_keras.serving.decode import as_channels, decode
from thyroid_keras.serving.maps import drawings
from thyroid_keras.serving.octets import require
from thyroid_keras.serving.resize import resize

TOO_LARGE = (
    f"is above {MAX_SCREEN_PIXELS // 10**6} megapixels, the most that borders are removed from; "
    "crop it or scale it down first"
)


def write_signatures(path, model, class_names, threshold, mask_threshold=0.5, clean=None):
    """Writes a model as a TensorFlow SavedModel with two signatures, or three.

    `serving_default` takes `image_bytes` `(N,)`, encoded pictures of any size, see
    `serving.decode`; `serve_tensor` takes `image` `(N, H, W, C)`, float32 in [0, 1] at
    the model's size. Both answer `probabilities` `(N, K)`, float32, rows adding up to
    1, and `label_name` `(N,)`, a string each. `explain` takes `image_bytes` and answers
    `<map>_bytes` `(N,)` besides, the model's maps and its mask as PNG, see `page.SCALING`;
    a model that has neither has no such signature. One picture that cannot be decoded
    fails its whole batch, with an error that says which and why.

    Args:
        path: of the folder to be written.
        model: `keras.Model` in float32 that takes images in [0, 1].
        class_names: K strings.
        threshold: at or above which the second of two classes is named; more classes:
            the likeliest.
        mask_threshold: at or above which a pixel is in the mask.
        clean: what removes borders from encoded pictures first, see
            `borders.border_remover`; `None`: they stay.

    Returns:
        Dict from the name of each signature to the sorted names of its outputs.

    Raises:
        OSError: if it cannot be written.
    """
    size, channels = input_size(model)
    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    decoded = tf.TensorSpec((None, *size, channels), tf.float32, name="image")
    network, constant = with_explanation(model), constant_maps(model)
    remove = None if clean is None else in_graph(clean)

    @tf.function(input_signature=[encoded], autograph=False)
    def read(image_bytes):
        return _read(image_bytes, size, channels, remove)

    @tf.function(input_signature=[decoded], autograph=False)
    def serve_tensor(image):
        return _answers(label_of(model(image, training=False)), class_names, threshold)[0]

    @tf.function(input_signature=[encoded], autograph=False)
    def serving_default(image_bytes):
        return serve_tensor(read(image_bytes))

    @tf.function(input_signature=[encoded], autograph=False)
    def explain(image_bytes):
        found = network(read(image_bytes), training=False)
        answers, chosen = _answers(found["label"], class_names, threshold)
        return answers | drawings(found, constant, chosen, size, mask_threshold)

    signatures = {"serving_default": serving_default, "serve_tensor": serve_tensor}
    if constant or set(network.output) != {"label"}:
        signatures["explain"] = explain
    traced = {name: function.get_concrete_function() for name, function in signatures.items()}
    module = tf.Module()
    # what training alone needs (a pixel CNN, maps kept of each image) stays behind
    module.variables_of_the_model = [v for f in traced.values() for v in f.graph.variables]
    try:
        tf.saved_model.save(module, str(path), signatures)
    except tf.errors.OpError as error:  # TensorFlow's word for a full disk, among others
        raise OSError(errno.EIO, error.message) from error
    return {name: sorted(function.structured_outputs) for name, function in traced.items()}


def _read(image_bytes, size, channels, remove):
    """Encoded pictures as images in [0, 1]."""

    def one(numbered):
        index, data = numbered
        name = tf.strings.format("image_bytes[{}]", index)
        if remove is None:
            return resize(decode(data, name, channels), size)
        screen = decode(data, name, 3)
        screen = require(screen, name, [(tf.size(screen) <= 3 * MAX_SCREEN_PIXELS, TOO_LARGE)])
        return resize(as_channels(channels, remove(screen)), size)

    # decoders have no other home, and a large picture fits no accelerator; the network of the
    # borders sees one picture at a time there, for each has a size of its own
    with tf.device("/CPU:0"):
        image = tf.map_fn(
            one,
            (tf.range(tf.size(image_bytes)), image_bytes),
            fn_output_signature=tf.TensorSpec((*size, channels), tf.uint8),
        )
    return tf.cast(image, tf.float32) * GREY_LEVEL


def _answers(label, class_names, threshold):
    """What every signature answers, and the classes that are named, int64 `(N,)`."""
    label = tf.cast(label, tf.float64)
    probabilities = label / tf.reduce_sum(label, axis=1, keepdims=True)
    if len(class_names) == 2:
        chosen = tf.cast(probabilities[:, 1] >= threshold, tf.int64)
    else:
        chosen = tf.argmax(probabilities, axis=1)
    answers = {
        "probabilities": tf.cast(probabilities, tf.float32),
        "label_name": tf.gather(tf.constant(class_names), chosen),
    }
    return answers, chosen


def answer(path, encoded, signature="serving_default"):
    """What a SavedModel on the disk answers, as dict of arrays.

    Args:
        path: of its folder.
        encoded: sequence of bytes, pictures.
        signature: `"serving_default"` or `"explain"`.
    """
    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures[signature](image_bytes=tf.constant(encoded))
    return {name: value.numpy() for name, value in found.items()}
