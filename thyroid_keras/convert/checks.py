"""What a checkpoint's arrays must be before a network is built for them."""

import operator

import numpy as np

from thyroid_keras.archs.sononet import WIDTHS
from thyroid_keras.weight_files.errors import ConvertError

NUMBERS = "fiub"  # kinds of NumPy's types: floats, integers, booleans
ROOM = 20_000_000  # weights that may always be built: twice as many as SonoNet-64 has


def require_numbers(arrays):
    """Refuses text, complex numbers and the like.

    Raises:
        ConvertError: with every array of them.
    """
    if problems := [f"{name}: {not_numbers(a)}" for name, a in arrays.items() if not_numbers(a)]:
        raise ConvertError(["Not the weights of a network:", *problems])


def not_numbers(array):
    """Returns what an array holds instead of real numbers; "" where it holds them."""
    dtype = np.asarray(array).dtype
    return "" if dtype.kind in NUMBERS else f"holds {dtype}, real numbers expected"


def require_room(arrays, *, filters, num_classes, image_shape, stage_convs, aggregation="", **_):
    """Refuses shapes of which there is no SonoNet, or one far larger than the arrays are.

    Args:
        arrays: mapping from name to array.
        filters, num_classes, image_shape, stage_convs, aggregation, **_: arguments of a
            builder, as read off the shapes of some of the arrays.

    Raises:
        ConvertError: see above.
    """
    sizes = {"filters": filters, "channels": image_shape[-1], "num_classes": num_classes}
    if min(sizes.values()) < 1:
        said = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise ConvertError([f"filters, channels and classes must be at least 1. Received: {said}"])
    widths = [image_shape[-1]]
    for width, count in zip(WIDTHS, stage_convs, strict=True):
        widths += [width * filters] * count
    kernels = 9 * sum(map(operator.mul, widths, widths[1:]))
    joined = 3 * num_classes if aggregation == "ft" else 0
    require_held(arrays, kernels + num_classes * (4 * filters + joined))


def require_held(arrays, least):
    """Refuses arrays of fewer numbers than the `least` weights that their network has.

    A small file could otherwise have a network of any size built. Where that costs little, it
    is left to the comparison of all shapes, which says more.

    Raises:
        ConvertError: see above.
    """
    held = sum(np.size(array) for array in arrays.values() if not not_numbers(array))
    if least > max(held, ROOM):
        raise ConvertError(
            [
                "its shapes are those of a network far larger than the file; convert a whole "
                f"checkpoint. Received: {held:,} numbers for at least {least:,} weights"
            ]
        )
