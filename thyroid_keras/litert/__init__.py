"""Trained networks as files for phones, and as a page that any browser runs."""

from thyroid_keras.litert.export import export
from thyroid_keras.litert.loading import load

__all__ = ["export", "load"]
