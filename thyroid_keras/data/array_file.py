"""Arrays from files of which nothing is believed."""

import tokenize

import numpy as np


def read_array(stream, name):
    """Reads an array in the format of `.npy`, and as much memory as there are bytes.

    `numpy.load` would first allocate what a header promises.

    Args:
        stream: binary stream.
        name: what errors call the array.

    Returns:
        array, read-only.

    Raises:
        ValueError: if it is damaged, or holds Python objects.
    """
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError(f"`{name}` has the unknown version {version}")
    try:
        shape, by_column, dtype = read_header[version](stream)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"`{name}` has a damaged header ({error})") from error
    if dtype.hasobject:
        raise ValueError(f"`{name}` holds Python objects")
    array = np.frombuffer(stream.read(), dtype)
    return array.reshape(shape[::-1]).T if by_column else array.reshape(shape)
