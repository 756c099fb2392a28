"""Trained networks that are asked where they look, and what they answer."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from keras import ops

from thyroid_keras.answers import class_probabilities, num_classes
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import (
    can_localise,
    constant_maps,
    feature_layers,
    find_box,
    gates,
    grad_cam,
    has_attention,
    has_class_map,
    read_localisation,
    with_attention,
    with_maps,
)
from thyroid_keras.inspection import open_pictures
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.runs import Run, RunError, classes_of, threshold_of

NAMES = {"cam": "class map", "gradcam": "Grad-CAM"}
METHODS = ("attention", *NAMES)
LACKING = {
    "attention": "attention gates",
    "cam": "class map: neither LAP nor a single global average leads linearly to its classes",
    "gradcam": "features on a grid",
}
BATCH_SIZE = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Viewer:
    """A network, the threshold at which it names the last of two classes, and the pictures."""

    prefix: str
    model: keras.Model
    class_names: tuple[str, ...]
    threshold: float
    store: PixelStore


def open_viewers(folders, images, method, layer):
    """Opens all networks and pictures, and says at once what any of them lacks."""
    names = [Path(folder).name for folder in folders]
    prefixes = [""]
    if len(folders) > 1:
        unique = len(set(names)) == len(names)
        prefixes = [f"{name}: " for name in (names if unique else folders)]
    viewers, problems = [], []
    for folder, prefix in zip(folders, prefixes, strict=True):
        run = Run.open(folder, "model")
        config, model = run.read_config(), load(folder)
        if problem := _no_maps(model, method, layer):
            problems.append(f"{run.folder}: {config['arch']} {problem}")
            continue
        store = open_pictures(images, model, config["data"]["class_names"], run)
        class_names = classes_of(run, num_classes(model))
        viewers.append(
            Viewer(
                prefix=prefix,
                model=model,
                class_names=class_names,
                threshold=threshold_of(run, len(class_names)) if run.metrics.exists() else 0.5,
                store=store,
            )
        )
    pictures = [[sample.name for sample in viewer.store.table.samples] for viewer in viewers]
    if any(names != pictures[0] for names in pictures):
        problems.append(
            "Runs whose settings of `views` differ see other pictures; choose runs that agree. "
            f"Received: {', '.join(map(str, folders))}"
        )
    if problems:
        raise RunError("\n".join(problems))
    return viewers


def look(viewer, method, layer):
    """Yields of each picture the maps by name, and boxes of some, at the model's size.

    Each picture passes a network once, whose outputs name the class and hold the maps; for
    Grad-CAM again, since its gradient is that of the class just named.
    """
    model, store = viewer.model, viewer.store
    placed = method == "cam" or (method == "attention" and gates(model) and can_localise(model))
    with_answer = with_maps if placed else with_attention
    network = model if method == "gradcam" else with_answer(model)
    fixed = constant_maps(model)
    for start in range(0, len(store.table), BATCH_SIZE):
        chosen = np.arange(start, min(start + BATCH_SIZE, len(store.table)))
        pixels = store.read(chosen)[0] * GREY_LEVEL
        outputs = network.predict_on_batch(pixels)
        # as `predict` names them, at the run's threshold
        named = decide(class_probabilities(outputs), viewer.threshold)
        if method == "gradcam":
            maps = grad_cam(model, pixels, named, layer)
            for values, k in zip(maps, named, strict=True):
                yield {f"{NAMES[method]}, {viewer.class_names[k]}": values}, {}
        elif not placed:
            shown = {n: ops.convert_to_numpy(maps) for n, maps in outputs.items() if n != "label"}
            for row in range(len(chosen)):
                yield fixed | {name: maps[row] for name, maps in shown.items()}, {}
        else:
            found = read_localisation(outputs, store.size, named)
            for row, k in enumerate(named):
                maps = {name: values[row] for name, values in found.maps.items()}
                if method == "attention":
                    yield maps, {"AG-all": found.boxes[row]}
                else:
                    name = f"{NAMES[method]}, {viewer.class_names[k]}"
                    yield {name: found.evidence[row]}, {name: find_box([maps["AG3"]])}


def _no_maps(model, method, layer):
    """Why a network has nothing to show by a method, and the way out; `None` where it has."""
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
    received = f" Received: method={method!r}"
    if layer is not None and method != "gradcam":
        return f"is asked for a layer, which --method gradcam alone takes.{received}"
    shows = {
        "attention": has_attention(model),
        "cam": has_class_map(model),
        "gradcam": bool(feature_layers(model)),
    }
    if shows[method]:
        if layer is not None and layer not in feature_layers(model):
            known = ", ".join(feature_layers(model))
            return f"has no such features; choose among {known}. Received: layer={layer!r}"
        return None
    others = [f"--method {name}" for name, has in shows.items() if has]
    way_out = f"it answers to {' and '.join(others)}" if others else "it has no maps of any kind"
    return f"has no {LACKING[method]}; {way_out}.{received}"
