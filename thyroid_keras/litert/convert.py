"""From a Keras network to the bytes of LiteRT (TensorFlow Lite) files."""

import contextlib
import tempfile
import warnings

import tensorflow as tf

from thyroid_keras._quiet import filtered

KINDS = ("float32", "float16", "int8")
SIGNATURE, INPUT = "serving_default", "image"
# What takes no time but cannot be told in eight bits: statistics, weights that add up to one,
# sums that are divided by and may not be rounded to 0, probabilities.
IN_FLOAT = """BATCH_MATMUL DIV MEAN REDUCE_MAX REDUCE_MIN SELECT_V2 SOFTMAX SQRT SQUARED_DIFFERENCE
SUB SUM""".split()
EVERYTHING = ["^.", "^$"]  # that the converter prints; what is wrong it also raises


class ConversionError(ValueError):
    """LiteRT has no form of the network; the message is the converter's reason."""


@contextlib.contextmanager
def converters(network):
    """Lends a function from a kind of `KINDS` and calibration images to a file's bytes.

    Args:
        network: `keras.Model` in float32, from images to a dict of outputs. The files take
            one image at a time, `image` `(1, H, W, C)`, float32 as all their outputs.

    Yields:
        Function `(kind, images)`: float16 files keep weights in half precision; int8 ones
        weights, per channel, and activations in 8 bits, whose ranges `images` `(N, H, W, C)`
        tell, wherever the runtime has such an operation. It raises `ConversionError`.
    """
    shape = (1, *network.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT)], autograph=False)
    def answer(image):
        return network(image, training=False)

    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in network.variables]
    with tempfile.TemporaryDirectory() as folder, filtered(EVERYTHING):
        tf.saved_model.save(module, folder, {SIGNATURE: answer})
        yield lambda kind, images: _convert(folder, kind, images)


def _convert(folder, kind, images):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        if kind == "int8":
            return _quantized(converter, lambda: ([image[None]] for image in images))
        return converter.convert()
    except Exception as error:  # the converter raises anything
        reason = " ".join(str(error).split())
        raise ConversionError(f"{reason:.300}") from error


def _quantized(converter, dataset):
    """The bytes of an int8 file; the debugger alone can leave operations out."""
    converter.representative_dataset = dataset
    lite = tf.lite.experimental
    options = lite.QuantizationDebugOptions(denylisted_ops=IN_FLOAT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of its interpreter, see LiteRT
        debugger = lite.QuantizationDebugger(
            converter=converter, debug_dataset=dataset, debug_options=options
        )
    return debugger.get_nondebug_quantized_model()
