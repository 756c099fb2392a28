"""Borders, text and calipers: removed from pictures as a run asks, and how well."""

from thyroid_keras.borders.judging import evaluate_borders
from thyroid_keras.borders.pictures import remove_borders
from thyroid_keras.borders.remover import (
    BorderRemover,
    border_remover,
    borders_in,
    finds_borders,
    keep_network,
    network_file,
    with_borders,
)

__all__ = [
    "BorderRemover",
    "border_remover",
    "borders_in",
    "evaluate_borders",
    "finds_borders",
    "keep_network",
    "network_file",
    "remove_borders",
    "with_borders",
]
