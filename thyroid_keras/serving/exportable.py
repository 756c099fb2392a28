"""Which runs can be exported, and what their models are called."""

import re

from thyroid_keras.archs import list_archs
from thyroid_keras.runs import RunError

FITTED = ("pixel_classifier",)  # which no builder builds


def model_name(config):
    """What a run's model is called where only letters, digits and `_` are safe, as in a URL."""
    return re.sub(r"\W+", "_", config["arch"])


def check_exportable(run, config, *, can_remove_borders):
    """Refuses a run whose model could not, or should not, answer elsewhere as `predict` does.

    Args:
        run: `Run`.
        config: content of its `config.json`.
        can_remove_borders: whether what is exported can.

    Raises:
        RunError: with the reason and the way out.
    """
    arch, recipe = config["arch"], config.get("recipe") or {}
    if (config["data"].get("source") or {}).get("augment_before_split"):
        raise RunError(
            f"{run.folder}: trained with a leak on purpose, which chose its epoch and threshold. "
            "Train without it to have a model that may be asked. "
            "Received: augment_before_split=True"
        )
    if arch not in (*list_archs(), *FITTED) and "bottleneck" not in config:
        raise RunError(
            f"{run.config}: names a network that is not known; choose a run that `train` wrote. "
            f"Received: arch={arch!r}"
        )
    borders, views = recipe.get("borders", "none"), recipe.get("views", "keep")
    faults = []
    if borders != "none" and not can_remove_borders:
        faults.append(f"borders={borders}")
    if views != "keep":
        faults.append(f"views={views}")
    if arch == "border_unet":
        faults.append("arch=border_unet")
    if faults:
        raise RunError(
            f"{run.folder}: what is exported names classes, and answers each picture once; borders "
            "are removed by a SavedModel, not by files for a phone. Ask this run by `predict` or "
            f"`borders`, or train one for what is to be exported. Received: {', '.join(faults)}"
        )
