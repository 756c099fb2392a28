"""A paper's table as a grid of runs: resumable, in parallel, beside the paper's figures."""

from thyroid_keras.tables.claims_pages import write_claims
from thyroid_keras.tables.everything import all_tables
from thyroid_keras.tables.figures import draw_maps
from thyroid_keras.tables.runner import table

__all__ = ["all_tables", "draw_maps", "table", "write_claims"]
