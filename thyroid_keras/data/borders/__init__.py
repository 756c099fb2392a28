"""What a scanner draws around and over the ultrasound: found, removed, and simulated."""

from thyroid_keras.data.borders.overlay import find_colours, find_overlay
from thyroid_keras.data.borders.removal import find_classical, remove, remove_classical
from thyroid_keras.data.borders.sector import find_sector, find_views, to_grey
from thyroid_keras.data.borders.views import split_views

__all__ = [
    "find_classical",
    "find_colours",
    "find_overlay",
    "find_sector",
    "find_views",
    "remove",
    "remove_classical",
    "split_views",
    "to_grey",
]
