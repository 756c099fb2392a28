"""Phase, Recipe and the engine that fits them."""

from thyroid_keras.training.backend import make_deterministic, own_session, set_precision
from thyroid_keras.training.checkpoints import CheckpointError
from thyroid_keras.training.distribution import Distribution
from thyroid_keras.training.engine import Diverged, Interrupted, Training, fit_phase
from thyroid_keras.training.hosts import find_devices
from thyroid_keras.training.progress import PhaseProgress
from thyroid_keras.training.recipe import Phase, Recipe
from thyroid_keras.training.settings import (
    SettingError,
    differences,
    in_vain,
    later_seed,
    override,
    refuse,
    seed_problems,
    unmet,
)
from thyroid_keras.training.weights import copy_weights

__all__ = [
    "CheckpointError",
    "Distribution",
    "Diverged",
    "Interrupted",
    "Phase",
    "PhaseProgress",
    "Recipe",
    "SettingError",
    "Training",
    "copy_weights",
    "differences",
    "find_devices",
    "fit_phase",
    "in_vain",
    "later_seed",
    "make_deterministic",
    "override",
    "own_session",
    "refuse",
    "seed_problems",
    "set_precision",
    "unmet",
]
