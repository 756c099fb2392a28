"""Number, area, shape and place of the calcifications that a network draws."""

from thyroid_keras.calcifications.shapes import measure
from thyroid_keras.calcifications.survey import Survey, describe, rows_of, survey, with_numbers

__all__ = ["Survey", "describe", "measure", "rows_of", "survey", "with_numbers"]
