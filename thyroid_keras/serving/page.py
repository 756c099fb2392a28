"""The model card as a page: README.md, its header YAML for programs."""

import json

from thyroid_keras.metrics import widest_interval
from thyroid_keras.serving.card import FIGURES

USE = "Research use only; not a medical device."
SCALING = (
    "Outputs that end in `_bytes` are PNGs of 8-bit grey at the size of the network's input. Maps: "
    "resized bilinearly, what is negative as 0, divided by the highest value, times 255, rounded; "
    "0 where a map is the same everywhere. `class_map` is what speaks for the class that is named; "
    "`mask` is 0 and 255, as `predict` writes it."
)
BORDERS = (
    "What a scanner draws around and over the ultrasound, its borders, is part of no answer: the "
    "borders are removed from encoded pictures first. `serve_tensor` takes an image without them."
)
NO_PICTURES = "There is no signature `explain`: the network has neither maps nor a mask to show."


def card_page(name, card):
    """Returns a model card as Markdown with a YAML header.

    Args:
        name: of the model on the server.
        card: dict, see `card.model_card`, with `signatures`.
    """
    test, data = card["test"], card["trained_on"]
    figures = {figure: _rounded(test[figure]) for figure in FIGURES if test.get(figure)}
    header = {
        "model_name": name,
        "use": USE,
        "arch": card["arch"],
        "data": data["name"],
        "target": data["target"],
        "class_names": card["class_names"],
        "split_unit": data["group_unit"],
        "test": {key: test[key] for key in ("split", "n", "groups")},
        "figures": figures,
        "limits": list(card["limits"]),
    }
    pictures = SCALING if "explain" in card["signatures"] else NO_PICTURES
    # JSON is YAML, and quotes whatever a name may hold
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items()]
    return "\n".join(
        [
            "---",
            *lines,
            "---",
            f"\n# {name}\n\n**{USE}**\n",
            f"{card['arch']}, {card['parameters']:,} parameters, images of "
            f"{' × '.join(map(str, card['image_shape']))} (height × width × channels). Trained on "
            f"{data['name']}; classes {', '.join(card['class_names'])}"
            f"{_positive(card['class_names'])}.\n",
            f"## Test\n\n{test['n']} images of {test['groups']} groups, held apart by group (unit: "
            f"{data['group_unit']}). Intervals are of 95 %.\n",
            "| figure | value | interval |\n|---|---|---|",
            *(f"| {key} | {_value(figure)} |" for key, figure in figures.items()),
            f"\nThreshold: {_threshold(card)}\n",
            "## Limits\n",
            *(f"- {limit}" for limit in card["limits"]),
            "\n## What it takes and gives\n",
            "| signature | outputs |\n|---|---|",
            *(f"| `{key}` | {', '.join(found)} |" for key, found in card["signatures"].items()),
            f"\n{pictures}",
            *([f"\n{BORDERS}"] if (card["recipe"] or {}).get("borders", "none") != "none" else []),
            "\nThe files in `assets.extra` are for a server and for programs.\n",
        ]
    )


def _rounded(figure):
    """Value and interval, the wider of two; or why there is none."""
    if figure.get("value") is None:
        return {"value": None, "reason": figure.get("reason", "not recorded")}
    interval = widest_interval(figure) or ()
    return {"value": round(figure["value"], 3), "ci95": [round(end, 3) for end in interval]}


def _positive(class_names):
    return f"; sensitivity is that of {class_names[-1]}" if len(class_names) == 2 else ""


def _value(figure):
    if figure["value"] is None:
        return f"– | {figure['reason']}"
    return f"{figure['value']:.3f} | {'–'.join(f'{end:.3f}' for end in figure['ci95'])}"


def _threshold(card):
    if card["threshold"] is None:
        return "none, the likeliest class is named."
    return f"{card['threshold']:.4g} ({card['threshold_origin']})."
