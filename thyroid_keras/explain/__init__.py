"""Where a network looks."""

from thyroid_keras.explain.attention import attention_box, attention_maps, gates
from thyroid_keras.explain.class_map import class_activation_map, has_class_map, with_maps
from thyroid_keras.explain.localisation import (
    Localisation,
    can_localise,
    find_box,
    localise,
    read_boxes,
    rule_of,
)
from thyroid_keras.explain.overlay import compare_maps, overlay

__all__ = [
    "Localisation",
    "attention_box",
    "attention_maps",
    "can_localise",
    "class_activation_map",
    "compare_maps",
    "find_box",
    "gates",
    "has_class_map",
    "localise",
    "overlay",
    "read_boxes",
    "rule_of",
    "with_maps",
]
