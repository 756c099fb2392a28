"""A paper's table as a grid of runs: resumable, in parallel, beside the paper's figures."""

from thyroid_keras.tables.figures import draw_maps
from thyroid_keras.tables.runner import table

__all__ = ["draw_maps", "table"]
