"""What is said of the answer of a network that looks twice before it has looked again."""

from thyroid_keras.report.style import with_interval


def first_look_sentence(metrics):
    """Returns a sentence on the answer before any map was fed back; "" where none is.

    Args:
        metrics: content of `metrics.json`.
    """
    if not (found := metrics.get("first_look")):
        return ""
    named = [
        f"{name} {with_interval(found[key])}"
        for key, name in (("roc_auc", "AUC"), ("accuracy", "accuracy"))
        if (found.get(key) or {}).get("value") is not None
    ]
    return f"At its first look, before its map is fed back, the network reaches {', '.join(named)}."
