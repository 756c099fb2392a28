"""Reading a picture's own bytes inside the graph, and refusing it by name."""

import tensorflow as tf


def octets(data, length, start=0):
    """Returns bytes of a scalar string as int64 `(length,)`, zeros beyond its end.

    Args:
        data: scalar string.
        length: int >= 1.
        start: scalar int32 >= 0, of the first.
    """
    start = tf.minimum(start, tf.strings.length(data))
    padded = tf.strings.join([tf.strings.substr(data, start, length), b"\0" * length])
    return tf.cast(tf.io.decode_raw(tf.strings.substr(padded, 0, length), tf.uint8), tf.int64)


def number(values, at, width, order="little"):
    """Returns the unsigned number in `values[..., at : at + width]`, int64."""
    places = [256**i for i in range(width)]
    places = places if order == "little" else places[::-1]
    return tf.reduce_sum(values[..., at : at + width] * tf.constant(places, tf.int64), axis=-1)


def require(data, name, rules):
    """Returns `data`, once every rule holds.

    Args:
        data: tensor; what is done with it waits for the rules.
        name: scalar string, what the error calls it.
        rules: pairs of a scalar bool and the fault, str, where it does not hold.
    """
    for holds, fault in rules:
        check = tf.debugging.Assert(holds, [tf.strings.join([name, ": ", fault])])
        with tf.control_dependencies([check]):
            data = tf.identity(data)
    return data
