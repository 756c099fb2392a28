"""How well the label can be read off what lies outside the nodule."""

from thyroid_keras.shortcuts.features import MEANINGS, read_features
from thyroid_keras.shortcuts.judging import MIN_GROUPS, audit_shortcuts

__all__ = ["MEANINGS", "MIN_GROUPS", "audit_shortcuts", "read_features"]
