"""A sample table as one `.npz` of arrays, for machines without image files or TensorFlow."""

import zipfile
import zlib

import numpy as np

from thyroid_keras.data.array_file import read_array
from thyroid_keras.data.boxes import move_box, region_of
from thyroid_keras.data.labels import order_classes
from thyroid_keras.data.outlines import nodule_of, spacing_of
from thyroid_keras.data.paths import cell_fault, name_fault, shown
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle
from thyroid_keras.data.store import PixelStore, free_memory
from thyroid_keras.data.writing import written

VERSION = 1
_DIMENSIONS = {
    "version": (0,),
    "aligned": (0,),
    "image": (3, 4),
    "label": (1,),
    "group": (1,),
    "sample": (1,),
    "split": (1,),
    "class_names": (1,),
    "notes": (1,),
    "table_name": (0,),
    "table_group_unit": (0,),
    "table_target": (0,),
    "mask": (3,),
    "has_mask": (1,),
    "nodule": (3,),
    "has_nodule": (1,),
    "spacing_mm": (2,),
    "box": (2,),
    "region": (1,),
    "mask_source": (0,),
}
_PER_SAMPLE = {"label", "group", "sample", "split", "box", "spacing_mm"}
_PER_SAMPLE |= {"mask", "has_mask", "nodule", "has_nodule"}
_NAMES = {"group", "sample", "split", "class_names"}
_PRINTED = {"notes", "mask_source", "table_name", "table_group_unit", "table_target"}
_UNKNOWN = (np.nan, np.nan)  # of a spacing
_UNREADABLE = (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def write_pack(path, table, size, channels=1):
    """Writes the decoded samples of a table, atomically; not what was left out of it.

    Args:
        path: file to write, `.npz`.
        table: `SampleTable`.
        size: `(H, W)` in pixels, to which images and masks are resized.
        channels: 1 or 3.

    Raises:
        DataError: with every sample that cannot be read, and every name that `read_pack` would
            refuse, or if the file cannot be written.
    """
    if faults := _name_faults(table):
        raise DataError(faults)
    store = PixelStore(table, size, channels, cache="memory", label="Packing images")
    images, masks = store.read(np.arange(len(table)))
    arrays = {
        "version": VERSION,
        "aligned": table.aligned,
        "image": images,
        "label": table.labels,
        "group": table.groups.astype(str),
        "sample": np.array([s.name for s in table.samples]),
        "split": np.array([s.split or "" for s in table.samples]),
        "class_names": np.array(table.class_names),
        "notes": np.array(table.notes, dtype=str),
    }
    for field in ("name", "group_unit", "target"):
        arrays[f"table_{field}"] = getattr(table, field)
    if table.region is not None:
        arrays["region"] = np.array(table.region, np.float64)
    if masks is not None:
        arrays["mask"] = masks[..., 0]
        arrays["has_mask"] = np.array([s.mask is not None for s in table.samples])
        arrays["mask_source"] = table.mask_source or ""
    if any(s.nodule is not None for s in table.samples):
        nodules = _nodules(table, size)
        arrays["has_nodule"] = np.array([nodule is not None for nodule in nodules])
        blank = np.zeros(size, bool)
        arrays["nodule"] = 255 * np.array([blank if n is None else n for n in nodules], np.uint8)
    if any(s.spacing_mm is not None for s in table.samples):
        arrays["spacing_mm"] = np.array([spacing_of(s, size) or _UNKNOWN for s in table.samples])
    if any(s.box is not None for s in table.samples):
        arrays["box"] = np.array([_packed_box(s, size) for s in table.samples])
    with written(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _name_faults(table):
    names = [name for s in table.samples for name in (s.name, s.group, s.split or "")]
    named = [(name, name_fault(name)) for name in dict.fromkeys(map(str, names))]
    named += [(name, cell_fault(name)) for name in table.class_names]
    return [f"{shown(name)}: {fault}" for name, fault in named if fault]


def _nodules(table, size):
    """The nodule of each sample at the pack's size; `None` where unknown."""
    nodules, problems = [], []
    for sample in table.samples:
        try:
            nodules.append(nodule_of(sample, size))
        except ImageError as error:
            problems.append(str(error))
    if problems:
        raise DataError(problems)
    return nodules


def _packed_box(sample, size):
    """The box at the pack's size, in whole pixels; -1s for none."""
    if sample.box is None:
        return [-1] * 4
    moved = move_box(sample.box, region_of(sample), size)
    return [-1] * 4 if np.isnan(moved).any() else [round(side) for side in moved]


def read_pack(path, *, on_bad="fail"):
    """Reads what `write_pack` wrote. No pickle is ever opened.

    Args:
        path: the `.npz` file.
        on_bad: see `settle`; a pack is good or bad as a whole.

    Returns:
        `SampleTable` whose images and masks are arrays.

    Raises:
        DataError: if the file is no pack, damaged, or does not fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as file:
            arrays = _read_arrays(file)
        table = _table(arrays, path)
    except (*_UNREADABLE, KeyError, TypeError, ValueError) as error:
        raise DataError(
            [f"{path}: not a readable pack of samples ({error}). Write it anew with write_pack."]
        ) from error
    return settle(table, on_bad)


def _read_arrays(file):
    """Reads the members that a pack has, as long as memory has room for them."""
    members = {name.removesuffix(".npy"): file.getinfo(name) for name in file.namelist()}
    num_bytes = sum(members[name].file_size for name in _DIMENSIONS if name in members)
    if num_bytes > free_memory():
        raise ValueError(f"{num_bytes / 1e9:.1f} GB unpacked are more than the memory that is free")
    arrays = {}
    for name, dimensions in _DIMENSIONS.items():
        if name in members:
            with file.open(members[name]) as stream:
                arrays[name] = read_array(stream, name)
            if arrays[name].ndim not in dimensions:
                raise ValueError(f"`{name}` has the shape {arrays[name].shape}")
            if not arrays[name].flags.c_contiguous:
                raise ValueError(f"`{name}` is not in the order of C")
    for name in _NAMES & set(arrays):
        arrays[name] = arrays[name].astype(str)
        for text in np.unique(arrays[name]).tolist():
            if fault := name_fault(text):
                raise ValueError(f"`{name}` {shown(text)!r}: {fault}")
    for name in _PRINTED & set(arrays):
        arrays[name] = np.vectorize(shown, otypes=[str])(arrays[name].astype(str))
    return arrays


def _table(arrays, path):
    count = len(arrays["image"])
    for name in _PER_SAMPLE & set(arrays):
        if len(arrays[name]) != count:
            raise ValueError(f"{count} images but {len(arrays[name])} in `{name}`")
    if arrays["version"] != VERSION or arrays["image"].dtype != np.uint8:
        raise ValueError(f"version {arrays['version']}, {arrays['image'].dtype} images")
    class_names = arrays["class_names"].tolist()
    if fault := next(filter(None, map(cell_fault, class_names)), None):
        raise ValueError(f"the name of a class {fault}")
    class_names, faults = order_classes(class_names, class_names, path)
    labels = arrays["label"]
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < len(class_names))).all():
        raise ValueError("labels outside the list of classes")
    images = arrays["image"]
    masks, nodules = _outlines(arrays, "mask"), _outlines(arrays, "nodule")
    boxes = arrays.get("box", np.full((count, 4), -1))
    if boxes.dtype.kind != "i" or boxes.shape[1:] != (4,):
        raise ValueError(f"`box` has the shape {boxes.shape}, {boxes.dtype}")
    spacings = arrays.get("spacing_mm", np.full((count, 2), np.nan))
    if spacings.dtype != np.float64 or spacings.shape[1:] != (2,) or (spacings <= 0).any():
        raise ValueError(f"`spacing_mm` has the shape {spacings.shape}, {spacings.dtype}")
    if images.shape[-1] == 1:
        images = images[..., 0]
    return SampleTable(
        name=str(arrays["table_name"]),
        class_names=class_names,
        group_unit=str(arrays["table_group_unit"]),
        target=str(arrays["table_target"]),
        mask_source=str(arrays["mask_source"]) if "mask" in arrays else None,
        aligned=bool(arrays.get("aligned", False)),
        region=_region(arrays.get("region")),
        notes=tuple(arrays["notes"].tolist()),
        faults=tuple(faults),
        samples=tuple(
            Sample(
                name=str(arrays["sample"][i]),
                image=images[i],
                label=int(labels[i]),
                group=str(arrays["group"][i]),
                mask=masks[i],
                nodule=nodules[i],
                spacing_mm=tuple(spacings[i].tolist()) if np.isfinite(spacings[i]).all() else None,
                split=str(arrays["split"][i]) or None,
                box=tuple(boxes[i].tolist()) if boxes[i, 2] > 0 else None,
            )
            for i in range(count)
        ),
    )


def _outlines(arrays, name):
    """The mask or the nodule of each sample; `None` where it has none."""
    if name not in arrays:
        return [None] * len(arrays["image"])
    pairs = zip(arrays[name], arrays[f"has_{name}"], strict=True)
    return [outline if has else None for outline, has in pairs]


def _region(shares):
    if shares is None:
        return None
    if shares.shape != (4,) or shares.dtype != np.float64 or not np.isfinite(shares).all():
        raise ValueError(f"`region` has the shape {shares.shape}, {shares.dtype}")
    return tuple(shares.tolist())
