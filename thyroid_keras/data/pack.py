"""A sample table as one `.npz` of arrays, for machines without image files or TensorFlow."""

import os
import tempfile
import zipfile
import zlib

import numpy as np

from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.store import PixelStore

VERSION = 1


def write_pack(path, table, size, channels=1):
    """Writes the decoded samples of a table, atomically.

    Args:
        path: file to write, `.npz`.
        table: `SampleTable`.
        size: `(H, W)` in pixels, to which images and masks are resized.
        channels: 1 or 3.

    Raises:
        DataError: with every sample that cannot be read.
    """
    store = PixelStore(table, size, channels, cache="memory", label="Packing images")
    images, masks = store.read(np.arange(len(table)))
    arrays = {
        "version": VERSION,
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
    if masks is not None:
        arrays["mask"] = masks[..., 0]
        arrays["has_mask"] = np.array([s.mask is not None for s in table.samples])
        arrays["mask_source"] = table.mask_source or ""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
        try:
            np.savez_compressed(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def read_pack(path):
    """Reads what `write_pack` wrote.

    Args:
        path: the `.npz` file.

    Returns:
        `SampleTable` whose images and masks are arrays.

    Raises:
        DataError: if the file is no pack, or damaged.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _table(arrays)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(
            [f"{path}: not a readable pack of samples ({error}). Write it anew with write_pack."]
        ) from error


def _table(arrays):
    count = len(arrays["image"])
    for name in ("label", "group", "sample", "split", "mask", "has_mask"):
        if name in arrays and len(arrays[name]) != count:
            raise ValueError(f"{count} images but {len(arrays[name])} in `{name}`")
    if arrays["version"] != VERSION or arrays["image"].dtype != np.uint8:
        raise ValueError(f"version {arrays['version']}, {arrays['image'].dtype} images")
    class_names = tuple(arrays["class_names"].tolist())
    if not ((arrays["label"] >= 0) & (arrays["label"] < len(class_names))).all():
        raise ValueError("labels outside the list of classes")
    images, masks = arrays["image"], arrays.get("mask")
    if images.shape[-1] == 1:
        images = images[..., 0]
    return SampleTable(
        name=str(arrays["table_name"]),
        class_names=class_names,
        group_unit=str(arrays["table_group_unit"]),
        target=str(arrays["table_target"]),
        mask_source=str(arrays["mask_source"]) if masks is not None else None,
        notes=tuple(arrays["notes"].tolist()),
        samples=tuple(
            Sample(
                name=str(arrays["sample"][i]),
                image=images[i],
                label=int(arrays["label"][i]),
                group=str(arrays["group"][i]),
                mask=masks[i] if masks is not None and arrays["has_mask"][i] else None,
                split=str(arrays["split"][i]) or None,
            )
            for i in range(count)
        ),
    )
