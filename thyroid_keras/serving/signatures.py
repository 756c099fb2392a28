"""What an exported model answers, and to what."""

import errno

import tensorflow as tf

from thyroid_keras.answers import label_of
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.prediction import input_size
from thyroid_keras.serving.decode import decode
from thyroid_keras.serving.resize import resize


def write_signatures(path, model, class_names, threshold):
    """Writes a model as a TensorFlow SavedModel with two signatures.

    `serving_default` takes `image_bytes` `(N,)`, encoded pictures of any size, see
    `serving.decode`; `serve_tensor` takes `image` `(N, H, W, C)`, float32 in [0, 1] at
    the model's size. Both answer `probabilities` `(N, K)`, float32, rows adding up to
    1, and `label_name` `(N,)`, a string each. One picture that cannot be decoded fails
    its whole batch, with an error that says which and why.

    Args:
        path: of the folder to be written.
        model: `keras.Model` in float32 that takes images in [0, 1].
        class_names: K strings.
        threshold: at or above which the second of two classes is named; more classes:
            the likeliest.

    Raises:
        OSError: if it cannot be written.
    """
    size, channels = input_size(model)
    encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
    decoded = tf.TensorSpec((None, *size, channels), tf.float32, name="image")

    @tf.function(input_signature=[decoded], autograph=False)
    def serve_tensor(image):
        label = tf.cast(label_of(model(image, training=False)), tf.float64)
        probabilities = label / tf.reduce_sum(label, axis=1, keepdims=True)
        if len(class_names) == 2:
            chosen = tf.cast(probabilities[:, 1] >= threshold, tf.int64)
        else:
            chosen = tf.argmax(probabilities, axis=1)
        return {
            "probabilities": tf.cast(probabilities, tf.float32),
            "label_name": tf.gather(tf.constant(class_names), chosen),
        }

    def read(numbered):
        index, data = numbered
        name = tf.strings.format("image_bytes[{}]", index)
        return resize(decode(data, name, channels), size)

    @tf.function(input_signature=[encoded], autograph=False)
    def serving_default(image_bytes):
        # decoders have no other home, and a large picture fits no accelerator
        with tf.device("/CPU:0"):
            image = tf.map_fn(
                read,
                (tf.range(tf.size(image_bytes)), image_bytes),
                fn_output_signature=tf.TensorSpec((*size, channels), tf.uint8),
            )
        return serve_tensor(tf.cast(image, tf.float32) * GREY_LEVEL)

    module = tf.Module()
    module.variables_of_the_model = [variable.value for variable in model.variables]
    signatures = {"serving_default": serving_default, "serve_tensor": serve_tensor}
    try:
        tf.saved_model.save(module, str(path), signatures)
    except tf.errors.OpError as error:  # TensorFlow's word for a full disk, among others
        raise OSError(errno.EIO, error.message) from error


def answer(path, pictures):
    """What a SavedModel on the disk answers, as dict of arrays.

    Args:
        path: of its folder.
        pictures: sequence of bytes, encoded pictures.
    """
    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures["serving_default"](image_bytes=tf.constant(pictures))
    return {name: value.numpy() for name, value in found.items()}
