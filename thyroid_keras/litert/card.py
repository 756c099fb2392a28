"""What somebody must know who puts a LiteRT file into an app, or opens its page."""

from thyroid_keras.litert.network import PROBABILITIES
from thyroid_keras.metrics import widest_interval

FIGURES = {
    "roc_auc": "AUC there",
    "accuracy": "Accuracy there",
    "sensitivity": "Sensitivity there",
    "specificity": "Specificity there",
    "dice": "Dice of its masks there",
}


def file_name(kind):
    """Returns the name of the file of a kind of numbers."""
    return f"model_{kind}.tflite"


def describe(card, network, pictures, trials):
    """Adds to a model's card what its LiteRT files are.

    Args:
        card: of `serving.card.model_card`.
        network: of `litert.network.device_network`.
        pictures: `litert.pictures.Pictures`.
        trials: dict from kind to what `litert.trial.try_file` returned, or to `converts`:
            false and a `reason`.

    Returns:
        dict that JSON can hold.
    """
    outputs = {name: list(tensor.shape[1:]) for name, tensor in network.output.items()}
    return card | {
        "input": {"name": "image", "shape": [1, *card["image_shape"]], "range": [0, 1]},
        "outputs": {name: [1, *shape] for name, shape in outputs.items()},
        "calibrated_with": pictures.calibrated_with,
        "tried_on": pictures.tried_on,
        "files": {file_name(kind): trial for kind, trial in trials.items()},
    }


def sentence(trial):
    """Says in words what a trial found."""
    if not trial["converts"]:
        return f"does not convert: {trial['reason']}"
    low, high = trial["top1_agreement_ci95"]
    verdict = "" if trial["passes"] else ". That is too far off: do not use it"
    return (
        f"{trial['bytes'] / 1e6:.1f} MB, {trial['latency_ms']:.1f} ms an image here, "
        f"probabilities within {trial['max_difference']:.1e} of the model's, the same class "
        f"likeliest in {trial['top1_agreement']:.1%} ({low:.1%} to {high:.1%}){verdict}"
    )


def page_card(card, maps):
    """Returns of a card what `litert.page.write_page` takes.

    Args:
        card: of `describe`.
        maps: of `litert.network.constant_maps`.
    """
    arch, data = card["arch"], card["trained_on"]
    test, (height, width, channels) = card["test"], card["image_shape"]
    groups = (
        f", {data.get('group_unit') or 'group'}: {test['groups']}" if test.get("groups") else ""
    )
    facts = {
        "Network": f"{arch}, {card['parameters']:,} parameters",
        "Trained on": ", ".join(str(data[n]) for n in ("name", "target") if data.get(n)),
        "Takes": f"{height}×{width} pixels, {'grey' if channels == 1 else 'colour'}",
        "Tested on": f"{test['n']} images{groups}",
    }
    for name, words in FIGURES.items():
        if (figure := test.get(name)) and figure.get("value") is not None:
            facts[words] = _with_interval(figure)
    return {
        "title": f"{arch}: {data.get('target') or data.get('name') or 'classes'}",
        "facts": facts,
        "limits": card["limits"],
        "maps": {
            name: {"shape": values.shape, "data": values.ravel().round(4).tolist()}
            for name, values in maps.items()
        },
        **{n: card[n] for n in ("class_names", "threshold", "threshold_origin", "image_shape")},
    }


def _with_interval(figure):
    value = f"{figure['value']:.3f}"
    if (interval := widest_interval(figure)) is None:
        return value
    low, high = interval
    return f"{value} (95 % interval {low:.3f} to {high:.3f})"


def write_readme(card):
    """Returns the page that lies beside the files, as reStructuredText."""
    title = f"{card['arch']} as LiteRT files"
    rows = [f"``{name}``\n    {sentence(trial)}" for name, trial in card["files"].items()]
    outputs = [
        f"``{name}`` {tuple(shape)}{', class probabilities' if name == PROBABILITIES else ''}"
        for name, shape in card["outputs"].items()
    ]
    return "\n".join(
        [
            title,
            "=" * len(title),
            "",
            *card["limits"],
            "",
            f"Input: ``image`` {tuple(card['input']['shape'])}, float32 in [0, 1]: the whole "
            "picture, upright, resized as thyroid_keras/data/resize.py does.",
            "",
            "Outputs, float32: " + "; ".join(outputs) + ".",
            "",
            f"Classes: {', '.join(card['class_names'])}.",
            "",
            f"Tried on {card['tried_on']}; int8 calibrated with {card['calibrated_with']}.",
            "",
            *rows,
            "",
            "``page.html`` runs the first of them in a browser, offline, on pictures dropped onto "
            "it; nothing is uploaded.",
            "",
        ]
    )
