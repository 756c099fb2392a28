"""A trained model on somebody's pictures; what `predict` and `explain` do."""

import json
import os
from pathlib import Path

import cv2
import numpy as np

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.decode import decode
from thyroid_keras.data.labels import natural_order
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.progress import track
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import attention_box, attention_maps, compare_maps, gates
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.prediction import input_size
from thyroid_keras.prediction import predict as predict_store
from thyroid_keras.runs import Run, RunError, write_bytes, write_csv, write_text


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
    model = load(folder)
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
        out: folder for the drawings `<image>_attention.png` and for `boxes.json`: for
            each picture and map the box of what is at least half as high as the
            highest, `[left, top, width, height]` in pixels of the picture.
        method: `"attention"`, the gates of the network.
        say: function of one line of text.

    Returns:
        The content of `boxes.json`.

    Raises:
        RunError: if the run is not finished or its network has no gates.
        DataError: with every file that is not a picture; nothing is written then.
    """
    run = Run.open(folder, "model")
    config, model = run.read_config(), load(folder)
    if not gates(model):
        raise RunError(
            f"{run.folder}: {config['arch']} has no attention gates. Received: method={method!r}"
        )
    store = open_pictures(images, model, config["data"]["class_names"])
    boxes = {}
    for i, sample in enumerate(track(store.table.samples, "Drawing attention maps")):
        maps = attention_maps(model, store.read([i])[0] * GREY_LEVEL)
        maps = {name: values[0] for name, values in maps.items()}
        picture = decode(sample.image, channels=store.channels)
        drawing = compare_maps(picture, maps)
        write_png(Path(out) / f"{_stem(sample.name, i)}_attention.png", drawing)
        boxes[sample.name] = {
            name: attention_box(values, picture.shape[:2]) for name, values in maps.items()
        }
    write_text(Path(out) / "boxes.json", json.dumps(boxes, indent=2) + "\n")
    say(f"{len(boxes)} pictures, each with the maps of {', '.join(gates(model))}: {out}")
    return boxes


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
            files.append(path)
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
