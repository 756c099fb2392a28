"""Where trained networks look on somebody's pictures; what `explain` does."""

import json
from pathlib import Path

import numpy as np

from thyroid_keras.data.boxes import move_box
from thyroid_keras.data.decode import decode
from thyroid_keras.data.progress import track
from thyroid_keras.explain import attention_box, compare_maps, unit_maps
from thyroid_keras.inspection import remove_drawings, stem
from thyroid_keras.runs import Run, RunError, read_json, require_writable, write_png, write_text
from thyroid_keras.spelling import counted
from thyroid_keras.viewing import METHODS, NAMES, look, open_viewers

BOXES = "boxes.json"


def explain(folder, images, *, out, method="attention", beside=(), layer=None, say=print):
    """Draws where networks look: each picture, and beside it one overlay per map.

    Args:
        folder: of the run.
        images: paths of pictures, or of folders of pictures.
        out: folder for the drawings `<image>_<method>.png` and for `boxes.json`: for each
            picture and map a box `[left, top, width, height]` in pixels of the whole picture,
            whatever region of it a network sees, as a manifest's `box`. It holds what is at
            least half as high as the highest; for `AG-all` and the class map it is the
            smaller one of `explain.find_box`, which is drawn, too. Class maps of a run that
            chose a threshold for them also leave `<image>_mask.png`, 0 and 255 at the whole
            picture's size, what they take for the nodule. Drawings of pictures that a former
            call's `boxes.json` names and this one's does not are removed.
        method: `"attention"`: the gates of the network; where it has grid attention and a
            class map and draws no mask, `AG1`, `AG2`, `AG3`, `AG-all`, see
            `explain.Localisation`. `"cam"`: the class map of the class that `predict` names, warm
            where it speaks for it and cold where against, see `explain.evidence_map`, and
            `explain.with_maps` for what part of an AG-SonoNet it is of.
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
    viewers = open_viewers([folder, *beside], images, method, layer)
    looks = [look(viewer, method, layer) for viewer in viewers]
    cut = _mask_threshold(folder) if method == "cam" else None
    store, boxes = viewers[0].store, {}
    looks = track(zip(*looks, strict=True), "Drawing maps", total=len(store.table))
    for i, looked in enumerate(looks):
        sample = store.table.samples[i]
        picture = decode(sample.image, channels=store.channels, roi=sample.roi)
        size = picture.shape[:2]
        maps, drawn = _beside(viewers, looked, size)
        found = {
            name: drawn[name] if name in drawn else attention_box(values, size)
            for name, values in maps.items()
        }
        boxes[sample.name] = {name: _in_picture(box, sample) for name, box in found.items()}
        if cut is not None:
            first = next(iter(maps.values()))
            mask = unit_maps(first[None], size)[0] >= cut
            mask = _whole(mask * np.uint8(255), sample)
            write_png(Path(out) / f"{stem(sample.name, i)}_mask.png", mask)
        drawing = compare_maps(picture, maps, boxes=drawn, signed=method == "cam")
        write_png(Path(out) / f"{stem(sample.name, i)}_{method}.png", drawing)
    remove_drawings(out, (*METHODS, "mask"), _former(out), but=boxes)
    write_text(Path(out) / BOXES, json.dumps(boxes, indent=2) + "\n")
    what = (
        f"the maps {', '.join(maps)}" if method == "attention" else f"its answer's {NAMES[method]}"
    )
    say(f"{counted(len(boxes), 'picture')}, each with {what}: {out}")
    return boxes


def _in_picture(box, sample):
    """A box of a sample as one of its whole picture, of which the sample may be a region."""
    left, top = (0, 0) if sample.roi is None else sample.roi[:2]
    return box and [box[0] + left, box[1] + top, *box[2:]]


def _whole(mask, sample):
    """A mask of a sample as one of its whole picture, likewise."""
    if sample.roi is None:
        return mask
    whole = np.zeros(decode(sample.image).shape, np.uint8)
    left, top, width, height = map(int, sample.roi)
    whole[top : top + height, left : left + width] = mask
    return whole


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


def _mask_threshold(folder):
    """From which share of its maximum the class map is a mask; `None` where none was chosen."""
    run = Run(folder)
    found = run.read_metrics() if run.metrics.exists() else {}
    return found.get("maps", {}).get("rule", {}).get("map")


def _box_in(size, box, network_size):
    """A box of the network's input in pixels of a picture of `size`; `None` for none."""
    if box is None or box[2] < 1:
        return None
    height, width = network_size
    moved = move_box(box, (0, 0, width, height), size)
    return [round(side) for side in moved]
