"""Reads a folder of pictures sorted by class: `root/<class>/*.png`."""

import os
import re

from thyroid_keras.data.labels import NO_GROUPS_NOTE, natural_order, order_classes
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.samples import DataError, Sample, SampleTable

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
    return os.path.isdir(path) and any(pictures for *_, pictures in _class_folders(path))


def read_folder(path, *, group_pattern=None, class_names=None):
    """Reads pictures sorted into a folder per class, with masks where there are any.

    `root/<class>/*`, or `root/{train,val,test}/<class>/*`, which fixes the split. The
    mask of `x.png` is `x_mask.png` beside it or, in a folder `masks` beside the class
    folders, `masks/<class>/x.png` or `masks/<class>/x_mask.png`; suffixes may differ.
    Files that are no pictures by their suffix are passed over.

    Args:
        path: the root folder.
        group_pattern: regular expression with one group, searched in each file's name
            without suffix, whose match names the patient, e.g. `"^([^_]+)_"`. By
            default every image is its own group: nothing is guessed from names.
        class_names: sequence of str, the classes in order, the positive class last; by
            default those found, sorted.

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
    names, problems = order_classes((label for _, label, _ in folders), class_names, path)
    if len({bool(split) for split, *_ in folders}) > 1:
        problems.append(f"{path}: class folders stand beside split folders; accepted is {LAYOUT}")
    rows = [row for folder in folders for row in _read_class(path, *folder, problems)]
    groups = [_group(name, pattern) for _, _, name, _ in rows]
    problems += [
        f"{os.path.join(path, name)}: its name tells no group; rename it or correct the "
        f"pattern. Received: group_pattern={group_pattern!r}"
        for (_, _, name, _), group in zip(rows, groups, strict=True)
        if not group
    ]
    if problems:
        raise DataError(problems)
    return SampleTable(
        name=os.path.basename(os.path.abspath(path)),
        samples=tuple(
            Sample(
                name=name,
                image=os.path.join(path, name),
                label=names.index(label),
                group=group,
                mask=mask,
                split=_SPLIT_FOLDERS[split.lower()] if split else None,
            )
            for (split, label, name, mask), group in zip(rows, groups, strict=True)
        ),
        class_names=names,
        group_unit="patient" if pattern else "image",
        mask_source="given with the data" if any(mask for *_, mask in rows) else None,
        notes=() if pattern else (NO_GROUPS_NOTE,),
    )


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
    """Yields `(split folder or "", class, picture files)`."""
    top = _subfolders(root)
    for name in top:
        if name.lower() in _SPLIT_FOLDERS:
            folder = os.path.join(root, name)
            for label in _subfolders(folder):
                yield name, label, _pictures(os.path.join(folder, label))
        else:
            yield "", name, _pictures(os.path.join(root, name))


def _read_class(root, split, label, pictures, problems):
    """Yields `(split, label, name, mask path)` of each image; adds to `problems`."""
    parent = os.path.join(root, split)
    masks = {}
    candidates = [os.path.join(parent, label, file) for file in pictures]
    drawn = [path for path in candidates if _stem(path).endswith(_MASK_ENDING)]
    for file in _pictures(os.path.join(parent, MASKS, label)):
        drawn.append(os.path.join(parent, MASKS, label, file))
    for path in drawn:
        stem = _stem(path).removesuffix(_MASK_ENDING)
        if masks.setdefault(stem, path) != path:
            problems.append(f"{path}: a second mask beside {masks[stem]}; keep one")
    images = [path for path in candidates if not _stem(path).endswith(_MASK_ENDING)]
    if not images:
        problems.append(f"{os.path.join(parent, label)}: holds no pictures; fill or remove it")
    for path in images:
        yield split, label, os.path.relpath(path, root), masks.get(_stem(path))
    stems = {_stem(path) for path in images}
    problems += [
        f"{path}: a mask without its image; add the image or remove the mask"
        for stem, path in masks.items()
        if stem not in stems
    ]


def _subfolders(folder):
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return [name for name in natural_order(names) if name != MASKS]


def _pictures(folder):
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not e.name.startswith(".") and e.is_file()]
    return natural_order(name for name in names if _suffix(name) in PICTURE_SUFFIXES)


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def _suffix(path):
    return os.path.splitext(path)[1].lower()
