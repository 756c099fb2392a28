"""Reads FETAL_PLANES_DB, common maternal-fetal ultrasound planes, in its own layout."""

import csv
import dataclasses
import io
import os

from thyroid_keras.data.frames import open_frames
from thyroid_keras.data.labels import listed, natural_order
from thyroid_keras.data.manifest import read_text
from thyroid_keras.data.paths import cell_fault, path_fault, shown
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

LAYOUT = (
    "a fetal-planes folder (FETAL_PLANES_DB_data.csv and Images/, or labels.csv with "
    "image,patient,plane_class and images/)"
)
CLASS_NAMES = {
    "plane": (
        "Fetal abdomen",
        "Fetal brain",
        "Fetal femur",
        "Fetal thorax",
        "Maternal cervix",
        "Other",
    ),
    "brain_plane": ("Trans-cerebellum", "Trans-thalamic", "Trans-ventricular"),
}
TARGETS = tuple(CLASS_NAMES)
_UNNAMED = ("not a brain", "other", "")  # of brain planes
_SPLITS = {"1": "train", "0": "test"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where a copy of the set keeps what; columns are compared without case."""

    table: str
    folder: str
    delimiter: str
    columns: dict  # of ours -> of the file's


_LAYOUTS = (
    _Layout(
        table="FETAL_PLANES_DB_data.csv",
        folder="Images",
        delimiter=";",
        columns={
            "image": "image_name",
            "patient": "patient_num",
            "plane": "plane",
            "brain_plane": "brain_plane",
            "train": "train",
        },
    ),
    _Layout(
        table="labels.csv",
        folder="images",
        delimiter=",",
        columns={"image": "image", "patient": "patient", "plane": "plane_class"},
    ),
)


def has_fetal_layout(path):
    """Whether `path` is a folder with the table of fetal planes and the folder of frames."""
    return _find_layout(path) is not None


def read_fetal_planes(root, *, target="plane", split=True, on_bad="fail"):
    """Reads FETAL_PLANES_DB as it is published, or a part of it with `labels.csv`.

    `"plane"`: the six kinds of frames. `"brain_plane"`: the three named planes of the
    brain; all other frames are left out, and the notes count them.

    Args:
        root: the folder.
        target: `"plane"` or `"brain_plane"`.
        split: bool, whether the set's own training and test images (its column `Train`)
            stay so; a part without that column fixes nothing.
        on_bad: see `settle`.

    Returns:
        `SampleTable` of the classes that occur; the group is the patient.

    Raises:
        DataError: with everything that is wrong, by row: columns, cells, unknown planes,
            repeated and missing images, paths that leave the folder.
        ValueError: if `target` is unknown.

    Reference: Burgos-Artizzu et al. 2020, doi:10.1038/s41598-020-67076-5, and
    doi:10.5281/zenodo.3904280 (12,400 frames of 1,792 women, CC BY 4.0).
    """
    if target not in TARGETS:
        raise ValueError(f"`target` must be one of {TARGETS}. Received: target={target!r}")
    layout = _find_layout(root)
    if layout is None:
        raise DataError([f"{root}: is not {LAYOUT}; check the copy"])
    path, folder = os.path.join(root, layout.table), os.path.join(root, layout.folder)
    rows, excluded = _read_rows(path, layout, target)
    good, seen = [], {}
    for number, row in rows:
        faults = _row_faults(row, target, folder, seen, number)
        excluded += [f"{path}, row {number}: {fault}" for fault in faults]
        if not faults:
            good.append(row)
    kept = [row for row in good if row["class"]]
    names = tuple(n for n in CLASS_NAMES[target] if n in {row["class"] for row in kept})
    samples = tuple(
        Sample(
            name=f"{layout.folder}/{row['file']}",
            image=os.path.join(folder, row["file"]),
            label=names.index(row["class"]),
            group=row["patient"],
            split=_SPLITS[row["train"]] if split and "train" in row else None,
        )
        for row in kept
    )
    samples, notes, problems = open_frames(samples)
    few = f"{path}: holds fewer than two classes of {target}; check the copy"
    table = SampleTable(
        name="FETAL_PLANES_DB",
        samples=samples,
        class_names=names,
        target=target,
        notes=(*_notes(rows, len(good) - len(kept), target, folder), *notes),
        excluded=(*excluded, *problems),
        faults=(few,) if len(names) < 2 and not excluded else (),
    )
    return settle(table, on_bad)


def _find_layout(root):
    if not os.path.isdir(root):
        return None
    for layout in _LAYOUTS:
        path = os.path.join(root, layout.table)
        if os.path.isfile(path) and os.path.isdir(os.path.join(root, layout.folder)):
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                header = [cell.strip().lower() for cell in file.readline(4096).split(",")]
            # many sets have a labels.csv
            if layout.delimiter == ";" or set(layout.columns.values()) <= set(header):
                return layout
    return None


def _read_rows(path, layout, target):
    """Returns `(row number, {column: cell})` under our names, and what is wrong, by row."""
    reader = csv.reader(
        io.StringIO(read_text(path), newline=""), delimiter=layout.delimiter, strict=True
    )
    rows, excluded = [], []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        needed = ("image", "patient", "plane", *([] if target == "plane" else [target]))
        missing = [layout.columns.get(c, c) for c in needed if layout.columns.get(c) not in header]
        if missing:
            raise DataError(
                [
                    f"{path}: lacks the columns {listed(missing)}, which {target} needs; take the "
                    f"file as published. Received: header={shown(layout.delimiter.join(header))}"
                ]
            )
        where = {ours: header.index(c) for ours, c in layout.columns.items() if c in header}
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                excluded.append(
                    f"{path}, row {reader.line_num}: has {len(cells)} cells, the header "
                    f"{len(header)}; correct the row"
                )
                continue
            row = {ours: cells[column].strip() for ours, column in where.items()}
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(
            [f"{path}, row {reader.line_num}: {error}; check its quotation marks"]
        ) from error
    return rows, excluded


def _row_faults(row, target, folder, seen, number):
    """Everything wrong with one row; adds its `file` and its `class`, `None` if of none."""
    faults = []
    for column in ("image", "patient"):
        if not row[column]:
            faults.append(f"`{column}` is empty; fill it in or drop the row")
        elif fault := cell_fault(row[column]):
            faults.append(f"`{column}` {fault}")
    plane = row["class"] = _class_of(row["plane"], "plane")
    if plane is None:
        faults.append(_unknown("plane", row["plane"]))
    if target == "brain_plane":
        brain = row["brain_plane"]
        row["class"] = _class_of(brain, target) if plane == "Fetal brain" else None
        if _class_of(brain, target) is None and brain.lower() not in _UNNAMED:
            faults.append(_unknown("brain_plane", brain))
    if row.get("train", "1") not in _SPLITS:
        faults.append(f"`train` must be 1 or 0. Received: train={shown(row['train'])!r}")
    return faults or _file_faults(row, folder, seen, number)


def _file_faults(row, folder, seen, number):
    name = row["image"]
    # the published table leaves the suffix out
    named = os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
    row["file"] = os.path.normpath(name if named else f"{name}.png")
    if os.path.isabs(name) or "\\" in name:
        return [f"{shown(name)}: must be a name within the set; correct it"]
    path = os.path.join(folder, row["file"])
    fault = path_fault(os.path.realpath(folder), path)
    if fault:
        return [f"{shown(row['file'])}: {fault}"]
    first = seen.setdefault(os.path.realpath(path), number)
    return [f"repeats {row['file']} of row {first}; keep one"] if first != number else []


def _unknown(column, value):
    known = CLASS_NAMES[column]
    return f"`{column}` must be one of {known}. Received: {column}={shown(value)!r}"


def _class_of(value, target):
    """The class that a cell means, in any spelling of the two layouts; `None` if none."""
    spelt = value.replace("_", " ").lower()
    return next((name for name in CLASS_NAMES[target] if name.lower() == spelt), None)


def _notes(rows, num_others, target, folder):
    notes = []
    if target == "brain_plane":
        notes.append(f"Frames in no named plane of the brain, left out: {num_others}.")
    named = {row.get("file") for _, row in rows}
    rest = natural_order(
        name
        for name in os.listdir(folder)
        if os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES and name not in named
    )
    if rest:
        rest = [shown(name) for name in rest]
        notes.append(f"Pictures that no row mentions, left out: {len(rest)} ({listed(rest)}).")
    return tuple(notes)
