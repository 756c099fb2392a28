"""What the JSON files of a run hold; a run folder may come from a stranger."""

import math
import re

TEXT, WHOLE, NUMBER = (str,), (int,), (int, float)
MAYBE_TEXT, MAYBE_NUMBER = (str, type(None)), (*NUMBER, type(None))
ANY = (object,)
EACH = ""  # in a form: the name of every other entry
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def within(low, high=math.inf):
    """Returns the form of a number in [low, high]; a whole one where `low` is an int."""
    kind = WHOLE if isinstance(low, int) else NUMBER
    return lambda value: not misfits(value, kind) and low <= value <= high


def maybe(form):
    """Returns the form of what is either null or of a form."""
    return lambda value: value is None or not misfits(value, form)


def one_of(*choices):
    """Returns the form of a text among `choices`."""
    return lambda value: isinstance(value, str) and value in choices


def are_classes(value):
    """Whether a value is a list of names, of which each prints and is no other's."""
    if misfits(value, [TEXT]) or any(map(_UNPRINTABLE.search, value)):
        return False
    return len(set(value)) == len(value)


def is_shape(value):
    """Whether a value is height, width and channels."""
    return not misfits(value, [within(1)]) and len(value) == 3


def is_interval(value):
    """Whether a value is two numbers."""
    return not misfits(value, [NUMBER]) and len(value) == 2


SEED = within(0, 2**32 - 1)  # NumPy takes no others
FIGURE = {
    "value": MAYBE_NUMBER,
    "reason": TEXT,
    "ci95": maybe(is_interval),
    "ci95_groups": maybe(is_interval),
}
CONFIG = {
    "arch": TEXT,
    "scale": TEXT,
    "seed": SEED,
    "precision": TEXT,
    "image_shape": is_shape,
    "command": TEXT,
    "parameters": WHOLE,
    "seconds": NUMBER,
    "finished": (bool,),
    "recipe": {
        "phantom_patients": within(1),
        "phantom_views": within(1),
        "phantom_typicality": within(0.0),
        "phantom_text_leak": within(0.0, 1),
        "borders": TEXT,
        "views": one_of("keep", "split"),
        EACH: ANY,
    },
    "data": {
        "name": TEXT,
        "target": MAYBE_TEXT,
        "class_names": are_classes,
        "group_unit": TEXT,
        "mask_source": MAYBE_TEXT,
        "notes": [TEXT],
        "source": {
            "path": MAYBE_TEXT,
            "format": MAYBE_TEXT,
            "target": MAYBE_TEXT,
            "seed": maybe(SEED),
            "on_bad": one_of("fail", "skip"),
            "folds": maybe(within(2)),
            "fold": maybe(within(0)),
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
        form: a tuple of types; a function that says whether a value is of the form; a
            list of one form, for lists; or a dict of forms by name, `EACH` standing for
            all others.
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
    if callable(form):
        return [] if form(value) else [f"{name} is {value!r:.40}"]
    if not isinstance(value, form) or (isinstance(value, bool) and not {bool, object} & set(form)):
        return [f"{name} is {value!r:.40}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{name} is {value}"]
    return []
