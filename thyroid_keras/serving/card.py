"""What a client and a reader must know of an exported model."""

from pathlib import Path

from thyroid_keras.data.phantom import NOTE

FIGURES = ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc", "dice")
LIMITS = (
    "Research use only, not a medical device: no patient may be treated on its word.",
    "Expect less on other scanners, operators and populations than on the test images.",
)


def model_card(config, metrics, model):
    """Describes a model by what its run recorded, without paths, commands or samples.

    Args:
        config: content of the run's `config.json`.
        metrics: content of its `metrics.json`.
        model: the `keras.Model`.

    Returns:
        Dict that JSON can hold.
    """
    data = config["data"]
    return {
        "limits": (*LIMITS, NOTE) if NOTE in data.get("notes", ()) else LIMITS,
        "arch": config["arch"],
        "parameters": model.count_params(),
        "image_shape": model.input_shape[1:],
        "class_names": data["class_names"],
        "threshold": metrics.get("threshold"),
        "threshold_origin": metrics.get("threshold_origin"),
        "trained_on": {name: data.get(name) for name in ("name", "target", "group_unit")},
        "test": {name: metrics.get(name) for name in ("split", "n", "groups", *FIGURES)},
        "recipe": _without_folders(config.get("recipe")),
        "seed": config.get("seed"),
        "precision_of_training": config.get("precision"),
        "versions": (config.get("environment") or {}).get("versions"),
    }


def _without_folders(recipe):
    """Settings that are paths, of weights or a prior, by their last part: folders name people."""
    paths = {k: Path(v).name for k, v in (recipe or {}).items() if isinstance(v, str) and "/" in v}
    return recipe and recipe | paths
