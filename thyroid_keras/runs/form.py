"""What the JSON files of a run hold; a run folder may come from a stranger."""

import math

TEXT, WHOLE, NUMBER = (str,), (int,), (int, float)
MAYBE_TEXT, MAYBE_WHOLE, MAYBE_NUMBER = (str, type(None)), (int, type(None)), (*NUMBER, type(None))
ANY = (object,)
EACH = ""  # in a form: the name of every other entry

FIGURE = {"value": MAYBE_NUMBER, "reason": TEXT}
CONFIG = {
    "arch": TEXT,
    "scale": TEXT,
    "seed": WHOLE,
    "precision": TEXT,
    "image_shape": [WHOLE],
    "command": TEXT,
    "parameters": WHOLE,
    "seconds": NUMBER,
    "finished": (bool,),
    "recipe": {
        "phantom_patients": WHOLE,
        "phantom_views": WHOLE,
        "phantom_typicality": NUMBER,
        EACH: ANY,
    },
    "data": {
        "name": TEXT,
        "target": MAYBE_TEXT,
        "class_names": [TEXT],
        "group_unit": TEXT,
        "mask_source": MAYBE_TEXT,
        "notes": [TEXT],
        "source": {
            "path": MAYBE_TEXT,
            "format": MAYBE_TEXT,
            "target": MAYBE_TEXT,
            "seed": MAYBE_WHOLE,
            "on_bad": MAYBE_TEXT,
            "folds": MAYBE_WHOLE,
            "fold": MAYBE_WHOLE,
            "augment_before_split": (bool,),
        },
    },
    "environment": {
        "versions": {EACH: TEXT},
        "platform": TEXT,
        "cpu": TEXT,
        "cores": WHOLE,
        "gpus": [TEXT],
        "command": TEXT,
        "backend": TEXT,
    },
    "paper_results": {"source": TEXT, "figures": {EACH: ANY}, "differences": [TEXT]},
}
PLACES = {"n": WHOLE, "iou": FIGURE, "correct": FIGURE, "relative": FIGURE}
SHORTCUTS = {
    "n": WHOLE,
    "groups": WHOLE,
    "group_unit": TEXT,
    "reason": TEXT,
    "features": [{"name": TEXT, "what": TEXT, "roc_auc": FIGURE}],
    "largest": {"name": TEXT, "roc_auc": FIGURE | {"note": TEXT}},
}
METRICS = {
    "split": TEXT,
    "n": WHOLE,
    "groups": WHOLE,
    "group_unit": TEXT,
    "threshold": MAYBE_NUMBER,
    "threshold_origin": TEXT,
    "segmentation": {"threshold": NUMBER},
    "calcifications": {
        "n": WHOLE,
        "given": WHOLE,
        "measures": {EACH: {"lower": NUMBER, "median": NUMBER, "upper": NUMBER}},
        EACH: FIGURE,
    },
    "shortcuts": SHORTCUTS,
    "localisation": PLACES
    | {
        "per_class": [PLACES | {"class": TEXT}],
        "constant": FIGURE,
        "above_constant": FIGURE,
        "over": TEXT,
        "truth": TEXT,
        "rule": {"map": TEXT, "sigma_px": NUMBER, "threshold": NUMBER},
    },
} | dict.fromkeys(
    (
        *("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc", "dice"),
        *("sector_iou", "text_removed", "text_in_sector_removed", "sector_lost"),
    ),
    FIGURE,
)


def misfits(value, form, name="the file"):
    """Returns a sentence for each entry that is not of its kind; none need be there.

    Args:
        value: what JSON held.
        form: a tuple of types; a list of one form, for lists; or a dict of forms by
            name, `EACH` standing for all others.
        name: what to call `value`.
    """
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{name} is no object"]
        forms = {key: form.get(key, form.get(EACH, ANY)) for key in value}
        return [m for key, each in forms.items() for m in misfits(value[key], each, key)]
    if isinstance(form, list):
        if not isinstance(value, list):
            return [f"{name} is no list"]
        return [m for item in value for m in misfits(item, form[0], name)][:5]
    if not isinstance(value, form) or (isinstance(value, bool) and not {bool, object} & set(form)):
        return [f"{name} is {value!r:.40}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{name} is {value}"]
    return []
