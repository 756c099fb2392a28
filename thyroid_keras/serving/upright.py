"""Whether a picture is stored as it is to be looked at."""

import tensorflow as tf

from thyroid_keras.serving.octets import number, octets

_ORIENTATION, _SHORT = 0x0112, 3
_ENTRY_BYTES, _MAX_ENTRIES = 12, 300
_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}
_PREFIXES = (b"Exif\0\0", b"eXIf")  # in JPEG, in PNG
# where else an orientation may stand: XMP, and text that would have to be unpacked first
_ELSEWHERE = r'tiff:Orientation(="|>)[2-8]|Raw profile type exif|iTXtXML:com\.adobe\.xmp\x00\x01'
_EXIF = r"(Exif\x00\x00|eXIf)(II\*\x00|MM\x00\*)"


def is_upright(data):
    """Whether nothing in the bytes of a picture asks for it to be turned.

    Metadata that cannot be read count as asking.

    Args:
        data: scalar string.

    Returns:
        Scalar bool.
    """
    # one look at most pictures, which have nothing of the kind
    return tf.cond(
        _holds(data, f"{_ELSEWHERE}|{_EXIF}"),
        lambda: ~_holds(data, _ELSEWHERE) & _exifs_are_upright(data),
        lambda: tf.constant(True),
    )


def _holds(data, pattern):
    return tf.strings.regex_full_match(data, rf"(?s)\C*({pattern})\C*")


def _exifs_are_upright(data):
    upright = tf.constant(True)
    for prefix in _PREFIXES:
        for mark, order in _ORDERS.items():
            exif = _after(data, prefix + mark)
            upright &= (tf.strings.length(exif) == 0) | _exif_is_upright(exif, order)
    return upright


def _after(data, mark):
    """What follows the first appearance of the mark; nothing where there is none."""
    return tf.strings.reduce_join(tf.strings.split(data, mark, maxsplit=1)[1:])


def _exif_is_upright(exif, order):
    """The same of EXIF data after their byte order mark."""
    # offsets count from the mark, four bytes earlier
    start = number(octets(exif, 4), 0, 4, order) - 4
    length = tf.cast(tf.strings.length(exif), tf.int64)
    inside = (start >= 4) & (start + 2 <= length)
    start = tf.cast(tf.where(inside, start, 0), tf.int32)
    directory = octets(exif, 2 + _MAX_ENTRIES * _ENTRY_BYTES, start)
    count = number(directory, 0, 2, order)
    end = tf.cast(start, tf.int64) + 2 + count * _ENTRY_BYTES
    readable = inside & (count <= _MAX_ENTRIES) & (end <= length)
    entries = tf.reshape(directory[2:], [_MAX_ENTRIES, _ENTRY_BYTES])[:count]
    value = number(entries, 8, 2, order)
    asks_nothing = (
        (number(entries, 2, 2, order) == _SHORT)
        & (number(entries, 4, 4, order) == 1)
        & ((value < 2) | (value > 8))
    )
    is_another = number(entries, 0, 2, order) != _ORIENTATION
    return readable & tf.reduce_all(is_another | asks_nothing)
