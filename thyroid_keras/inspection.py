"""A trained model on somebody's pictures; what `predict` and `explain` do."""

import json
import os
from pathlib import Path

import cv2
import numpy as np

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.boxes import move_box
from thyroid_keras.data.decode import decode
from thyroid_keras.data.labels import natural_order
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.progress import track
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import (
    attention_box,
    attention_maps,
    can_localise,
    compare_maps,
    find_box,
    gates,
    has_class_map,
    localise,
)
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.prediction import input_size
from thyroid_keras.prediction import predict as predict_store
from thyroid_keras.runs import Run, RunError, write_bytes, write_csv, write_text

METHODS = ("attention", "cam")
BATCH_SIZE = 16


def predict(folder, images, *, out="predictions.csv", say=print):
    """Predicts pictures: a CSV row each, and a mask each where the network draws one.

    Args:
        folder: of the run, or of a cross-validation, whose models answer together.
        images: paths of pictures, or of folders of pictures.
        out: CSV to write: image, predicted class, a probability per class (of several
            models the mean, and their SD), and the share of the picture inside the mask.
            Masks (0 and 255, of the network's size) go into a folder of the same name
            ending in `_masks`.
        say: function of one line of text.

    Returns:
        List of the rows.

    Raises:
        RunError: if the run is not finished, or `out` cannot be written.
        DataError: with every file that is not a picture; nothing is written then.
    """
    run = Run.open(folder, "model", "metrics")
    model = fold_batch_norm(load(folder))
    class_names = run.read_config()["data"]["class_names"]
    found = run.read_metrics()
    store = open_pictures(images, model, class_names)
    mask_threshold = found.get("segmentation", {}).get("threshold", 0.5)
    masks = Path(f"{os.path.splitext(out)[0]}_masks")
    rows = []
    for batch in predict_store(model, store):
        decided = decide(batch.probabilities, found["threshold"])
        for row, i in enumerate(batch.indices):
            name = store.table.samples[i].name
            rows.append({"image": name, "predicted": class_names[decided[row]]})
            for prefix, values in (("p", batch.probabilities), ("sd", batch.spread)):
                if values is not None:
                    named = zip(class_names, values[row], strict=True)
                    rows[-1] |= {f"{prefix}_{n}": value for n, value in named}
            if batch.masks is not None:
                mask = batch.masks[row] >= mask_threshold
                path = masks / f"{_stem(name, i)}_mask.png"
                write_png(path, mask.astype(np.uint8) * 255)
                rows[-1] |= {"mask_share": float(mask.mean()), "mask": path.name}
    write_csv(out, rows)
    say(f"{len(rows)} pictures predicted: {out}")
    if any("mask" in row for row in rows):
        say(f"Masks: {masks}/")
    return rows


def explain(folder, images, *, out, method="attention", say=print):
    """Draws where the network looks: each picture, and beside it one overlay per map.

    Args:
        folder: of the run.
        images: paths of pictures, or of folders of pictures.
        out: folder for the drawings `<image>_<method>.png` and for `boxes.json`: for each
            picture and map a box `[left, top, width, height]` in pixels of the picture. It
            holds what is at least half as high as the highest; for `AG-all` and the class
            map it is the smaller one of `explain.find_box`, which is drawn, too.
        method: `"attention"`: the gates of the network; where it has a class map and draws
            no mask, `AG1`, `AG2`, `AG3`, `AG-all`, see `explain.Localisation`. `"cam"`:
            the class map of the predicted class.
        say: function of one line of text.

    Returns:
        The content of `boxes.json`.

    Raises:
        RunError: if the run is not finished or its network has no such maps.
        DataError: with every file that is not a picture; nothing is written then.
    """
    run = Run.open(folder, "model")
    config, model = run.read_config(), load(folder)
    if problem := _no_maps(model, method):
        raise RunError(f"{run.folder}: {config['arch']} {problem}. Received: method={method!r}")
    class_names = config["data"]["class_names"]
    store = open_pictures(images, model, class_names)
    boxes = {}
    looks = _look(model, store, method, class_names)
    for i, maps, found in track(looks, "Drawing maps", total=len(store.table)):
        sample = store.table.samples[i]
        picture = decode(sample.image, channels=store.channels)
        size = picture.shape[:2]
        sharp = {name: _box_in(size, box, store.size) for name, box in found.items()}
        boxes[sample.name] = {n: attention_box(values, size) for n, values in maps.items()} | sharp
        drawing = compare_maps(picture, maps, boxes=sharp)
        write_png(Path(out) / f"{_stem(sample.name, i)}_{method}.png", drawing)
    write_text(Path(out) / "boxes.json", json.dumps(boxes, indent=2) + "\n")
    shown = f"the maps {', '.join(maps)}" if method == "attention" else "its answer's class map"
    say(f"{len(boxes)} pictures, each with {shown}: {out}")
    return boxes


def _no_maps(model, method):
    """Why a network has nothing to show by a method, and the way out; `None` where it has."""
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
    if method == "cam" and not has_class_map(model):
        way_out = "; its gates answer to --method attention" if gates(model) else ""
        return f"has no class map: no one global average is all that its classes rest on{way_out}"
    if method == "attention" and not gates(model):
        way_out = "; it has a class map, --method cam" if has_class_map(model) else ""
        return f"has no attention gates{way_out}"
    return None


def _look(model, store, method, class_names):
    """Yields each picture's index, its maps by name, and boxes of some, at the model's size."""
    for start in range(0, len(store.table), BATCH_SIZE):
        chosen = np.arange(start, min(start + BATCH_SIZE, len(store.table)))
        pixels = store.read(chosen)[0] * GREY_LEVEL
        if method == "attention" and not can_localise(model):
            found = attention_maps(model, pixels)
            for row, i in enumerate(chosen):
                yield i, {name: values[row] for name, values in found.items()}, {}
            continue
        found = localise(model, pixels)
        for row, i in enumerate(chosen):
            maps = {name: values[row] for name, values in found.maps.items()}
            if method == "attention":
                yield i, maps, {"AG-all": found.boxes[row]}
            else:
                name = f"class map, {class_names[found.class_indices[row]]}"
                yield i, {name: maps["AG3"]}, {name: find_box([maps["AG3"]])}


def _box_in(size, box, network_size):
    """A box of the network's input in pixels of a picture of `size`; `None` for none."""
    if box is None or box[2] < 1:
        return None
    height, width = network_size
    moved = move_box(box, (0, 0, width, height), size)
    return [round(side) for side in moved]


def open_pictures(paths, model, class_names):
    """Opens pictures of unknown class, decoded as for training.

    Args:
        paths: of pictures or of folders of pictures.
        model: the `keras.Model` that they are for.
        class_names: of the model.

    Returns:
        `PixelStore`.

    Raises:
        DataError: with every path that is missing, empty or no picture.
    """
    files, problems = [], []
    for path in paths:
        if os.path.isdir(path):
            names = (n for n in os.listdir(path) if not n.startswith("."))
            inside = [n for n in names if _suffix(n) in PICTURE_SUFFIXES]
            files += [os.path.join(path, name) for name in natural_order(inside)]
            if not inside:
                problems.append(f"{path}: no pictures in this folder")
        elif os.path.exists(path):
            files.append(os.fspath(path))
        else:
            problems.append(f"{path}: no such file or folder; check the path")
    if problems:
        raise DataError(problems)
    size, channels = input_size(model)
    table = SampleTable(
        name="pictures",
        class_names=tuple(class_names),
        samples=tuple(Sample(name=f, image=f, label=0, group=f) for f in files),
    )
    return PixelStore(table, size, channels)


def write_png(path, image):
    """Writes a uint8 `(H, W)` or RGB `(H, W, 3)` picture, atomically and without tags."""
    ordered = image if image.ndim == 2 else image[..., ::-1]
    done, data = cv2.imencode(".png", ordered)
    if not done:
        raise RunError(f"{path}: cannot be encoded as PNG. Received: shape={image.shape}")
    write_bytes(path, data.tobytes())


def _stem(name, index):
    """A file name that no two pictures share."""
    return f"{index + 1:04d}_{os.path.splitext(os.path.basename(name))[0]}"


def _suffix(name):
    return os.path.splitext(name)[1].lower()
