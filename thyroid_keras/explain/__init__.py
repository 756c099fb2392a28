"""Where a network looks."""

from thyroid_keras.explain.attention import attention_box, attention_maps, gates
from thyroid_keras.explain.overlay import compare_maps, overlay

__all__ = ["attention_box", "attention_maps", "compare_maps", "gates", "overlay"]
