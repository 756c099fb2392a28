"""Samples of one DDTI case."""

import collections

import cv2
import numpy as np

from thyroid_keras.data.ddti_xml import CaseError, read_case
from thyroid_keras.data.decode import ImageError, decode, pixel_hash
from thyroid_keras.data.paths import path_fault
from thyroid_keras.data.samples import Sample
from thyroid_keras.data.weak_masks import polygon_mask, threshold_calcifications

# kinds of what is found beside samples, in the words of the notes
BAD = "bad files"
MARKED = "Marked pictures"
MISSING = "Marked pictures that are missing"
REPEATS = "Exact repeats of a picture within a case, left out"
GAPS = "Pictures with regions that cannot be used"
NO_SPOTS = "Positive nodules in which nothing stands out, without mask"
SHARED = "Nodules that share one finding with others of their case, each label uncertain"

LABELS = {
    "malignancy": {"2": 0, "3": 0, "4a": 1, "4b": 1, "4c": 1, "5": 1},
    "calcification": {"non": 0, "none": 0}
    | {f"{size}calcification{s}": 1 for size in ("micro", "macro") for s in ("", "s")},
}


def case_samples(path, pictures, target, group, root):
    """Reads one case and all of its pictures.

    Args:
        path: the `<case>.xml` file.
        pictures: mapping from `<case>_<k>` to the paths of its picture, of which there should
            be one.
        target: `"malignancy"` or `"calcification"`.
        group: `"block"` or `"case"`.
        root: the data set's folder, resolved; links may not lead out of it.

    Returns:
        `(samples, found)`: list of `Sample`, and a mapping from the kind of what was
        passed over to the list of what it was.
    """
    found = collections.defaultdict(list)
    try:
        if fault := path_fault(root, path):
            raise CaseError(fault)
        case = read_case(path)
    except CaseError as error:
        found[BAD].append(f"{path}: {error}")
        return [], found
    views = [
        (name, image, _usable_polygons(name, mark, image, found))
        for name, mark, image in _distinct_pictures(case, pictures, root, found)
    ]
    finding = case.tirads if target == "malignancy" else case.calcifications
    if finding not in LABELS[target]:
        entry = f"the unknown entry {finding!r}" if finding else "no entry"
        found[f"Cases with {entry} for {target}, left out"].append(str(case.number))
        return [], found
    label = LABELS[target][finding]
    group = f"block{(case.number - 1) // 10}" if group == "block" else f"case{case.number}"
    samples = []
    for name, image, polygons in views:
        if target == "malignancy":
            mask = _encode(polygon_mask(image.shape, polygons)) if polygons else None
            parts = [{"name": name, "mask": mask}]
        else:
            parts = _nodules(name, image, polygons, label, found)
        samples += [Sample(image=pictures[name][0], label=label, group=group, **p) for p in parts]
    if target == "calcification" and len(samples) > 1:
        found[SHARED] += [sample.name for sample in samples]
    return samples, found


def _distinct_pictures(case, pictures, root, found):
    """Decodes the marked pictures; of equal ones keeps that with the most nodules."""
    kept = {}
    for mark in sorted(case.marks, key=lambda mark: (-len(mark.polygons), mark.image)):
        name = f"{case.number}_{mark.image}"
        found[MARKED].append(name)
        if name not in pictures:
            found[MISSING].append(name)
            continue
        try:
            image = decode(_only(pictures[name], root))
        except ImageError as error:
            found[BAD].append(str(error))
            continue
        first, *_ = kept.setdefault(pixel_hash(image), (name, mark, image))
        if first != name:
            found[REPEATS].append(f"{name} = {first}")
    return sorted(kept.values(), key=lambda view: view[1].image)


def _only(paths, root):
    """The path of a picture, if it may be read and no other picture has its name."""
    path, *others = paths
    if others:
        raise ImageError(f"{path}: two pictures of one name, beside {', '.join(others)}; keep one")
    if fault := path_fault(root, path):
        raise ImageError(f"{path}: {fault}")
    return path


def _usable_polygons(name, mark, image, found):
    polygons = [p for p in mark.polygons if polygon_mask(image.shape, [p]).any()]
    gaps = list(mark.gaps)
    if len(polygons) < len(mark.polygons):
        gaps.append("region outside the picture")
    if gaps:
        found[GAPS].append(f"{name} ({', '.join(dict.fromkeys(gaps))})")
    return polygons


def _nodules(name, image, polygons, label, found):
    """Yields `name`, `mask`, `nodule` and `roi` of each nodule of a picture, as a dict."""
    for number, polygon in enumerate(polygons, 1):
        part = f"{name}#{number}"
        mask = threshold_calcifications(image, polygon) if label else np.zeros_like(image)
        if label and not mask.any():
            found[NO_SPOTS].append(part)
            mask = None
        inside = {"nodule": _encode(polygon_mask(image.shape, [polygon]))}
        inside["roi"] = nodule_square(image, polygon)
        yield {"name": part, "mask": None if mask is None else _encode(mask)} | inside


def nodule_square(image, polygon):
    """Returns the smallest square that holds a nodule, as `(left, top, side, side)`.

    Centred on the nodule, but shifted into the picture as far as it fits there.
    """
    left, top, width, height = cv2.boundingRect(polygon_mask(image.shape, [polygon]))
    side = max(width, height)

    def shifted(start, length, room):
        centred = start - (side - length) // 2
        return int(np.clip(centred, min(0, room - side), max(0, room - side)))

    rows, columns = image.shape
    return shifted(left, width, columns), shifted(top, height, rows), side, side


def _encode(mask):
    # a PNG of one or two kB, where hundreds of bare masks would fill the memory
    return cv2.imencode(".png", mask)[1].tobytes()
