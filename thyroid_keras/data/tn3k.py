"""Reads TN3K, thyroid nodules with their outlines, in its own layout."""

import csv
import io
import json
import os

from thyroid_keras.data.frames import open_frames
from thyroid_keras.data.labels import listed, natural_order
from thyroid_keras.data.manifest import read_text
from thyroid_keras.data.paths import path_fault, shown
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

LAYOUT = (
    "a TN3K folder (trainval-image/, trainval-mask/, test-image/, test-mask/, "
    "label4trainval.csv and label4test.csv)"
)
PARTS = {"trainval": "train", "test": "test"}
CLASS_NAMES = ("benign", "malignant")
FOLDS = range(5)
_LABELS = {"0": 0, "1": 1}
_NOTE = (
    "TN3K does not say which images are of one patient, so that its own split, like any other, may "
    "have a patient on both sides; the figures are then too good."
)


def has_tn3k_layout(path):
    """Whether `path` is a folder with TN3K's two folders of images."""
    return all(os.path.isdir(os.path.join(path, f"{part}-image")) for part in PARTS)


def read_tn3k(root, *, fold=None, split=True, on_bad="fail"):
    """Reads TN3K: benign and malignant nodules, their outlines as masks.

    The outlines come with the images; the labels are published apart, with ACL
    (chenghui-666/ACL), as `label4trainval.csv` and `label4test.csv`.

    Args:
        root: the folder.
        fold: int from 0 to 4: validation is that of the set's own fold, which
            `tn3k-trainval-fold<fold>.json` names; `None`: left to whoever splits.
        split: bool, whether the set's own training and test images stay so.
        on_bad: see `settle`.

    Returns:
        `SampleTable`; every image is its own group.

    Raises:
        DataError: with everything that is wrong, by row and file: labels, missing and
            unlabelled images, missing masks, links out of the folder, ids of the fold.
        ValueError: if `fold` is out of range.

    Reference: Gong et al. 2023, "Thyroid region prior guided attention for ultrasound
        segmentation of thyroid nodules", doi:10.1016/j.compbiomed.2022.106389: 2,879 images
        for training and validation, 614 for test.
    """
    if fold is not None and fold not in FOLDS:
        raise ValueError(f"`fold` must be None or from 0 to {FOLDS[-1]}. Received: fold={fold!r}")
    if not has_tn3k_layout(root):
        raise DataError([f"{root}: is not {LAYOUT}; check the copy"])
    faults, excluded, samples = [], [], []
    validation = set() if fold is None else _validation(root, fold, faults)
    for part, name in PARTS.items():
        labels = _read_labels(os.path.join(root, f"label4{part}.csv"), faults, excluded)
        for file, mask in _images(root, part, labels, excluded):
            held_out = part == "trainval" and os.path.splitext(file)[0] in validation
            samples.append(
                Sample(
                    name=f"{part}-image/{file}",
                    image=os.path.join(root, f"{part}-image", file),
                    label=labels[file],
                    group=f"{part}-image/{file}",
                    mask=mask,
                    split=("val" if held_out else name) if split else None,
                )
            )
    samples, notes, problems = open_frames(samples)
    table = SampleTable(
        name="TN3K",
        samples=samples,
        class_names=CLASS_NAMES,
        group_unit="image",
        mask_source="outlines of the nodules, given with the data",
        target="malignancy",
        notes=(_NOTE, *notes),
        excluded=(*excluded, *problems),
        faults=tuple(faults),
    )
    return settle(table, on_bad)


def _read_labels(path, faults, excluded):
    """Returns a dict from file name to label; adds what is wrong."""
    if not os.path.isfile(path):
        faults.append(f"{path}: no such file; it is published with ACL (chenghui-666/ACL)")
        return {}
    labels, reader = {}, csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            fault = _row_fault(cells, labels)
            if fault:
                excluded.append(f"{path}, row {reader.line_num}: {fault}")
            else:
                labels[cells[0].strip()] = _LABELS[cells[1].strip()]
    except csv.Error as error:
        faults.append(f"{path}, row {reader.line_num}: {error}; check its quotation marks")
    return labels


def _row_fault(cells, labels):
    received = f"Received: {shown(','.join(cells))!r}"
    if len(cells) != 2 or cells[1].strip() not in _LABELS:
        return f"must be a file name and 0 (benign) or 1 (malignant). {received}"
    if cells[0].strip() in labels:
        return f"names a file once more; keep one. {received}"
    return None


def _images(root, part, labels, excluded):
    """Yields file name and mask's path of each labelled image; adds what is wrong."""
    folder, real_root = os.path.join(root, f"{part}-image"), os.path.realpath(root)
    found = [n for n in os.listdir(folder) if os.path.splitext(n)[1].lower() in PICTURE_SUFFIXES]
    if labels:
        excluded += [
            f"{os.path.join(folder, shown(file))}: no such file, though label4{part}.csv names it; "
            "complete the copy or drop the row"
            for file in natural_order(set(labels) - set(found))
        ]
        unlabelled = [shown(name) for name in natural_order(set(found) - set(labels))]
        if unlabelled:
            excluded.append(
                f"{folder}: label4{part}.csv has no label for {len(unlabelled)} images "
                f"({listed(unlabelled)}); add the rows or remove the images"
            )
    for file in natural_order(set(found) & set(labels)):
        paths = [os.path.join(root, f"{part}-{kind}", file) for kind in ("image", "mask")]
        faults = [(path, path_fault(real_root, path)) for path in paths]
        excluded += [f"{shown(path)}: {fault}" for path, fault in faults if fault]
        if not any(fault for _, fault in faults):
            yield file, paths[1]


def _validation(root, fold, faults):
    """Stems of the images that a fold of the set's own validates on."""
    path = os.path.join(root, f"tn3k-trainval-fold{fold}.json")
    try:
        with open(path, encoding="utf-8-sig") as file:
            ids = json.load(file)["val"]
        return {f"{int(number):04d}" for number in ids}
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror}); complete the copy")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        faults.append(
            f"{path}: is not a fold, {{'train': [ids], 'val': [ids]}}; copy it again "
            f"({str(error)[:100]})"
        )
    return set()
