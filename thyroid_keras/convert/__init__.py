"""Weights of others, as models of ours."""

from thyroid_keras.convert.conversion import convert, sononet_arguments
from thyroid_keras.convert.sononet import (
    STANDARD_PLANES,
    sononet_from_lasagne,
    sononet_from_torch,
    sononet_input,
)
from thyroid_keras.weight_files.checkpoint import read_checkpoint
from thyroid_keras.weight_files.errors import ConvertError

__all__ = [
    "STANDARD_PLANES",
    "ConvertError",
    "convert",
    "read_checkpoint",
    "sononet_arguments",
    "sononet_from_lasagne",
    "sononet_from_torch",
    "sononet_input",
]
