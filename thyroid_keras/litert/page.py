"""One page that holds a network, and runs it on pictures in whatever browser opens it."""

import base64
import html
import importlib.resources
import json
import re

from thyroid_keras.litert.program import write_program

RUNTIME = ("convolutions.js", "operations.js", "network.js", "worker.js")
SCRIPTS = ("pixels.js", "page.js")


def write_page(card, content):
    """Returns the page of a network, which needs nothing from anywhere else.

    Its runtime is our own and small, for the ways to a better one ask for a download of
    megabytes and a web server, where this is a file that can be sent.

    Args:
        card: dict of what the page says and goes by: `title`, `class_names`, `threshold`,
            `threshold_origin`, `image_shape`, `facts` (dict of texts), `limits` (texts) and
            `maps` that are the same for every picture, by name: `shape` and `data`.
        content: bytes of the float32 LiteRT file.

    Returns:
        str, HTML.

    Raises:
        ValueError: if the network has an operation that the page's runtime does not know.
    """
    program, weights = write_program(content)
    known = set(re.findall(r"^  ([A-Z0-9_]+):", _read("operations.js"), re.MULTILINE))
    unknown = {step["operation"] for step in program["steps"]} - known
    if unknown:
        raise ValueError(f"a browser's runtime lacks {', '.join(sorted(unknown))}")
    parts = {
        "title": html.escape(card["title"]),
        "style": _read("style.css"),
        "card": _json(card),
        "program": _json(program),
        "weights": base64.b64encode(weights).decode(),
        "runtime": "\n".join(map(_read, RUNTIME)),
        "scripts": "\n".join(map(_read, SCRIPTS)),
    }
    # in one go, so that nothing that was put in is taken for a place to put something
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _read("index.html"))


def _read(name):
    return (
        importlib.resources.files("thyroid_keras.litert").joinpath("page", name).read_text("utf-8")
    )


def _json(value):
    # no text of it may end the element that holds it
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
