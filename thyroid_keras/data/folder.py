"""Reads a folder of pictures sorted by class: `root/<class>/*.png`."""

import os
import re

from thyroid_keras.data.frames import open_frames
from thyroid_keras.data.labels import (
    NO_GROUPS_NOTE,
    listed,
    natural_order,
    notes_on_groups,
    order_classes,
)
from thyroid_keras.data.paths import leaves, name_fault, path_fault, shown
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

MASKS = "masks"
LAYOUT = (
    "a folder with one subfolder of pictures per class (root/<class>/*.png), or the same "
    "below train, val and test (root/train/<class>/*.png)"
)
_MASK_ENDING = "_mask"
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def has_class_folders(path):
    """Whether `path` is a folder with folders of pictures in it, by class or split."""
    if not os.path.isdir(path):
        return False
    return bool(_linked_out(path)) or any(pictures for *_, pictures in _class_folders(path))


def read_folder(path, *, group_pattern=None, class_names=None, on_bad="fail"):
    """Reads pictures sorted into a folder per class, with masks where there are any.

    `root/<class>/*`, or `root/{train,val,test}/<class>/*`, which fixes the split. The
    mask of `x.png` is `x_mask.png` beside it or, in a folder `masks` beside the class
    folders, `masks/<class>/x.png` or `masks/<class>/x_mask.png`; suffixes may differ.
    Files that are no pictures by their suffix are passed over, and the notes name them.

    Args:
        path: the root folder.
        group_pattern: regular expression with one group, searched in each file's name
            without suffix, whose match names the patient, e.g. `"^([^_]+)_"`. By
            default every image is its own group: nothing is guessed from names.
        class_names: sequence of str, the classes in order, the positive class last; by
            default those found, sorted.
        on_bad: see `settle`.

    Returns:
        `SampleTable`.

    Raises:
        DataError: with everything that is wrong, by file.
        ValueError: if `group_pattern` is no regular expression with one group.
    """
    pattern = _compile(group_pattern)
    if not has_class_folders(path):
        raise DataError([f"{path}: holds no pictures sorted by class; accepted is {LAYOUT}"])
    folders = list(_class_folders(path))
    names, faults = order_classes((label for _, label, _ in folders), class_names, path)
    if len({bool(split) for split, *_ in folders}) > 1:
        faults.append(f"{path}: class folders stand beside split folders; accepted is {LAYOUT}")
    faults += [
        f"{shown(folder)}: is a link out of the data set's folder; copy what it leads to"
        for folder in _linked_out(path)
    ]
    faults += [
        f"{shown(os.path.join(path, split, label))}: holds no pictures; fill or remove it"
        for split, label, pictures in folders
        if not pictures
    ]
    excluded, samples = [], []
    for split, label, pictures in folders:
        for name, mask in _read_class(path, split, label, pictures, excluded):
            group = _group(name, pattern)
            if not group:
                excluded.append(
                    f"{os.path.join(path, name)}: its name tells no group; rename it or correct "
                    f"the pattern. Received: group_pattern={group_pattern!r}"
                )
            elif label in names:
                samples.append(
                    Sample(
                        name=name,
                        image=os.path.join(path, name),
                        label=names.index(label),
                        group=group,
                        mask=mask,
                        split=_SPLIT_FOLDERS[split.lower()] if split else None,
                    )
                )
    about_groups = notes_on_groups(s.group for s in samples) if pattern else [NO_GROUPS_NOTE]
    samples, notes, problems = open_frames(samples)
    table = SampleTable(
        name=os.path.basename(os.path.abspath(path)),
        samples=samples,
        class_names=names,
        group_unit="patient" if pattern else "image",
        mask_source="given with the data" if any(s.mask for s in samples) else None,
        notes=(*about_groups, *notes, *_passed_over(path, folders)),
        excluded=(*excluded, *problems),
        faults=tuple(faults),
    )
    return settle(table, on_bad)


def _compile(group_pattern):
    if group_pattern is None:
        return None
    try:
        pattern = re.compile(group_pattern)
    except re.error as error:
        raise ValueError(
            f"`group_pattern` is no regular expression ({error}). "
            f"Received: group_pattern={group_pattern!r}"
        ) from error
    if pattern.groups != 1:
        raise ValueError(
            "`group_pattern` must have one group in parentheses, the patient. "
            f"Received: group_pattern={group_pattern!r}"
        )
    return pattern


def _group(name, pattern):
    if pattern is None:
        return name
    match = pattern.search(_stem(name))
    return match[1] if match else None


def _class_folders(root):
    """Yields `(split folder or "", class, picture files)`, without links out of `root`."""
    out = _linked_out(root)
    top = [name for name in _subfolders(root) if os.path.join(root, name) not in out]
    for name in top:
        if name.lower() in _SPLIT_FOLDERS:
            folder = os.path.join(root, name)
            for label in _subfolders(folder):
                if os.path.join(folder, label) in out:
                    continue
                yield name, label, _pictures(os.path.join(folder, label))
        else:
            yield "", name, _pictures(os.path.join(root, name))


def _linked_out(root):
    """Folders of splits and classes that are links to where nothing may be read."""
    real_root = os.path.realpath(root)
    out, within = [], [root]
    for folder in within:
        for name in _subfolders(folder):
            path = os.path.join(folder, name)
            if os.path.islink(path) and leaves(real_root, os.path.realpath(path)):
                out.append(path)
            elif folder == root and name.lower() in _SPLIT_FOLDERS:
                within.append(path)
    return out


def _read_class(root, split, label, pictures, excluded):
    """Yields `(name, mask path)` of each image that can be told; adds the rest to `excluded`."""
    parent = os.path.join(root, split)
    real_root = os.path.realpath(root)

    def usable(path):
        fault = path_fault(real_root, path) if _is_odd(path) else None
        if fault:
            excluded.append(f"{shown(path)}: {fault}")
        return not fault

    folders = os.path.join(parent, label), os.path.join(parent, MASKS, label)
    beside = [os.path.join(folders[0], file) for file in pictures]
    apart = [os.path.join(folders[1], file) for file in _pictures(folders[1])]
    masks = {}
    for path in apart + [path for path in beside if _stem(path).endswith(_MASK_ENDING)]:
        masks.setdefault(_stem(path).removesuffix(_MASK_ENDING), []).append(path)
    for path in (path for path in beside if not _stem(path).endswith(_MASK_ENDING)):
        drawn = masks.pop(_stem(path), [])
        if len(drawn) > 1:
            excluded.append(f"{shown(drawn[1])}: a second mask beside {shown(drawn[0])}; keep one")
        elif all([usable(file) for file in (path, *drawn)]):
            yield os.path.relpath(path, root), drawn[0] if drawn else None
    excluded += [
        f"{shown(path)}: a mask without its image; add the image or remove the mask"
        for paths in masks.values()
        for path in paths
    ]


def _is_odd(path):
    """Whether a path needs a closer look: it goes over a link, or is no plain file."""
    parts = path, os.path.dirname(path), os.path.dirname(os.path.dirname(path))
    return name_fault(path) or any(map(os.path.islink, parts)) or not os.path.isfile(path)


def _passed_over(root, folders):
    """Notes that name the files that are neither pictures nor masks of this layout."""
    tops = {root} | {os.path.join(root, split) for split, *_ in folders}
    places = [os.path.join(root, split, label) for split, label, _ in folders]
    found = [path for top in tops for path in _others(top, is_class=False)]
    found += [path for place in places for path in _others(place, is_class=True)]
    names = natural_order(os.path.relpath(path, root) for path in found)
    names = [shown(name) for name in names]
    note = "Files and folders that do not belong to the layout, passed over"
    return (f"{note}: {len(names)} ({listed(names)}).",) if names else ()


def _others(folder, is_class):
    with os.scandir(folder) as entries:
        for entry in entries:
            picture = _suffix(entry.name) in PICTURE_SUFFIXES
            expected = picture if is_class else os.path.isdir(entry.path)
            if not (expected or entry.name.startswith(".")):
                yield entry.path


def _subfolders(folder):
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if os.path.isdir(e.path) and not e.name.startswith(".")]
    return [name for name in natural_order(names) if name != MASKS]


def _pictures(folder):
    """Names that promise a picture; whether there is one remains to be seen."""
    if not os.path.isdir(folder):
        return []
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    return natural_order(name for name in names if _suffix(name) in PICTURE_SUFFIXES)


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def _suffix(path):
    return os.path.splitext(path)[1].lower()
