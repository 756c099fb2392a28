"""Where trained networks look on somebody's pictures; what `explain` does."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.answers import class_probabilities, num_classes
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.boxes import move_box
from thyroid_keras.data.decode import decode
from thyroid_keras.data.progress import track
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import (
    attention_box,
    attention_maps,
    can_localise,
    compare_maps,
    feature_layers,
    find_box,
    gates,
    grad_cam,
    has_attention,
    has_class_map,
    localise,
    unit_maps,
)
from thyroid_keras.inspection import open_pictures, remove_drawings, stem
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.runs import (
    Run,
    RunError,
    classes_of,
    read_json,
    require_writable,
    threshold_of,
    write_png,
    write_text,
)
from thyroid_keras.spelling import counted

NAMES = {"cam": "class map", "gradcam": "Grad-CAM"}
METHODS = ("attention", *NAMES)
LACKING = {
    "attention": "attention gates",
    "cam": "class map: no one global average is all that its classes rest on",
    "gradcam": "features on a grid",
}
BATCH_SIZE = 16
BOXES = "boxes.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Viewer:
    """A network, the threshold at which it names the last of two classes, and the pictures."""

    prefix: str
    model: keras.Model
    class_names: tuple[str, ...]
    threshold: float
    store: PixelStore


def explain(folder, images, *, out, method="attention", beside=(), layer=None, say=print):
    """Draws where networks look: each picture, and beside it one overlay per map.

    Args:
        folder: of the run.
        images: paths of pictures, or of folders of pictures.
        out: folder for the drawings `<image>_<method>.png` and for `boxes.json`: for each
            picture and map a box `[left, top, width, height]` in pixels of the picture. It
            holds what is at least half as high as the highest; for `AG-all` and the class
            map it is the smaller one of `explain.find_box`, which is drawn, too. Class
            maps of a run that chose a threshold for them also leave `<image>_mask.png`, 0
            and 255 at the picture's size, what they take for the nodule. Drawings of
            pictures that a former call's `boxes.json` names and this one's does not are removed.
        method: `"attention"`: the gates of the network; where it has grid attention and a
            class map and draws no mask, `AG1`, `AG2`, `AG3`, `AG-all`, see
            `explain.Localisation`. `"cam"`: the class map of the class that `predict` names, warm
            where it speaks for it and cold where against, see `explain.evidence_map`.
            `"gradcam"`: see `explain.grad_cam`.
        beside: folders of further runs, whose maps are drawn beside the first one's, each
            under the name of its folder: GAP beside LAP, or one eta beside another.
        layer: of Grad-CAM, whose features are weighed; `None`: the last.
        say: function of one line of text.

    Returns:
        The content of `boxes.json`.

    Raises:
        RunError: if a run is not finished, its network has no such maps, the runs split
            double views differently, or `out` cannot be written.
        DataError: with every file that is not a picture; nothing is written then.
    """
    require_writable(Path(out) / BOXES)
    viewers = _viewers([folder, *beside], images, method, layer)
    looks = [_look(viewer, method, layer) for viewer in viewers]
    cut = _mask_threshold(folder) if method == "cam" else None
    store, boxes = viewers[0].store, {}
    looks = track(zip(*looks, strict=True), "Drawing maps", total=len(store.table))
    for i, looked in enumerate(looks):
        sample = store.table.samples[i]
        picture = decode(sample.image, channels=store.channels, roi=sample.roi)
        size = picture.shape[:2]
        maps, drawn = _beside(viewers, looked, size)
        boxes[sample.name] = {
            name: drawn[name] if name in drawn else attention_box(values, size)
            for name, values in maps.items()
        }
        if cut is not None:
            first = next(iter(maps.values()))
            mask = unit_maps(first[None], size)[0] >= cut
            write_png(Path(out) / f"{stem(sample.name, i)}_mask.png", mask * np.uint8(255))
        drawing = compare_maps(picture, maps, boxes=drawn, signed=method == "cam")
        write_png(Path(out) / f"{stem(sample.name, i)}_{method}.png", drawing)
    remove_drawings(out, (*METHODS, "mask"), _former(out), but=boxes)
    write_text(Path(out) / BOXES, json.dumps(boxes, indent=2) + "\n")
    what = (
        f"the maps {', '.join(maps)}" if method == "attention" else f"its answer's {NAMES[method]}"
    )
    say(f"{counted(len(boxes), 'picture')}, each with {what}: {out}")
    return boxes


def _former(out):
    """The pictures of a former call; none if its file is not as it is written here."""
    try:
        return read_json(Path(out) / BOXES)
    except RunError:
        return ()


def _beside(viewers, looked, size):
    """Maps of all networks by name, and boxes of some in pixels of a picture of that size."""
    maps, boxes = {}, {}
    for viewer, (seen, found) in zip(viewers, looked, strict=True):
        maps |= {viewer.prefix + name: values for name, values in seen.items()}
        for name, box in found.items():
            boxes[viewer.prefix + name] = _box_in(size, box, viewer.store.size)
    return maps, boxes


def _viewers(folders, images, method, layer):
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


def _mask_threshold(folder):
    """From which share of its maximum the class map is a mask; `None` where none was chosen."""
    run = Run(folder)
    found = run.read_metrics() if run.metrics.exists() else {}
    return found.get("maps", {}).get("rule", {}).get("map")


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


def _look(viewer, method, layer):
    """Yields of each picture the maps by name, and boxes of some, at the model's size."""
    model, store = viewer.model, viewer.store
    for start in range(0, len(store.table), BATCH_SIZE):
        chosen = np.arange(start, min(start + BATCH_SIZE, len(store.table)))
        pixels = store.read(chosen)[0] * GREY_LEVEL
        # as `predict` names them, at the run's threshold
        named = decide(class_probabilities(model.predict_on_batch(pixels)), viewer.threshold)
        if method == "gradcam":
            maps = grad_cam(model, pixels, named, layer)
            for values, k in zip(maps, named, strict=True):
                yield {f"{NAMES[method]}, {viewer.class_names[k]}": values}, {}
        elif method == "attention" and not (gates(model) and can_localise(model)):
            found = attention_maps(model, pixels)
            for row in range(len(chosen)):
                yield {name: values[row] for name, values in found.items()}, {}
        else:
            found = localise(model, pixels, named)
            for row, k in enumerate(found.class_indices):
                maps = {name: values[row] for name, values in found.maps.items()}
                if method == "attention":
                    yield maps, {"AG-all": found.boxes[row]}
                else:
                    name = f"{NAMES[method]}, {viewer.class_names[k]}"
                    yield {name: found.evidence[row]}, {name: find_box([maps["AG3"]])}


def _box_in(size, box, network_size):
    """A box of the network's input in pixels of a picture of `size`; `None` for none."""
    if box is None or box[2] < 1:
        return None
    height, width = network_size
    moved = move_box(box, (0, 0, width, height), size)
    return [round(side) for side in moved]
