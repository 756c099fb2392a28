"""Where a network looks."""

from thyroid_keras.explain.attention import (
    attention_box,
    attention_maps,
    constant_maps,
    gates,
    has_attention,
)
from thyroid_keras.explain.class_map import (
    class_activation_map,
    evidence_map,
    has_class_map,
    with_attention,
    with_explanation,
    with_maps,
)
from thyroid_keras.explain.faithfulness import blur_sigma, perturbation_curves
from thyroid_keras.explain.grad_cam import feature_layers, grad_cam
from thyroid_keras.explain.localisation import (
    Localisation,
    can_localise,
    find_box,
    localise,
    read_localisation,
    read_places,
    resize_maps,
    rule_of,
    unit_maps,
)
from thyroid_keras.explain.overlay import compare_maps, overlay

__all__ = [
    "Localisation",
    "attention_box",
    "attention_maps",
    "blur_sigma",
    "can_localise",
    "class_activation_map",
    "compare_maps",
    "constant_maps",
    "evidence_map",
    "feature_layers",
    "find_box",
    "gates",
    "grad_cam",
    "has_attention",
    "has_class_map",
    "localise",
    "overlay",
    "perturbation_curves",
    "read_localisation",
    "read_places",
    "resize_maps",
    "rule_of",
    "unit_maps",
    "with_attention",
    "with_explanation",
    "with_maps",
]
