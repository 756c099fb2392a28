"""Reads `manifest.csv`: one row per image, paths relative to the file."""

import csv
import io
import os
import re

from thyroid_keras.data.dicom import split_frame
from thyroid_keras.data.frames import open_frames
from thyroid_keras.data.labels import NO_GROUPS_NOTE, SPLITS, listed, notes_on_groups, order_classes
from thyroid_keras.data.paths import cell_fault, path_fault, shown
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

COLUMNS = ("image", "label", "mask", "group", "split", "sha256", "box")
MAX_BYTES = 256_000_000
_ENCODINGS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\x80": "a Python pickle, which is never opened",
}


def manifest_file(path):
    """Returns the path of the CSV file that `path` is or holds; `None` if neither."""
    path = os.path.join(path, "manifest.csv") if os.path.isdir(path) else os.fspath(path)
    return path if path.lower().endswith(".csv") and os.path.isfile(path) else None


def read_manifest(path, *, class_names=None, on_bad="fail"):
    """Reads a manifest with the columns `image,label[,mask][,group][,split][,sha256][,box]`.

    UTF-8 with or without byte order mark, any line ending. Other columns are ignored,
    and the notes name them. `sha256` is that of the image's file, against which the
    audit holds it: some damage, as one byte of a JPEG file, shows in no other way. `box`
    is that of what is to be found, `left top width height` in pixels of the picture. A DICOM
    file stands for all its frames, `file.dcm#3` for the third.

    Args:
        path: the CSV file, or the folder that holds it as `manifest.csv`.
        class_names: sequence of str, the labels in order, the positive class last; by
            default those found, sorted.
        on_bad: see `settle`.

    Returns:
        `SampleTable`; without the column `group` every file is its own group.

    Raises:
        DataError: with everything that is wrong, by row: encoding, columns, empty cells,
            unknown labels and splits, repeated images, missing files, and paths that
            leave the folder.
    """
    path = manifest_file(path) or os.fspath(path)
    root = os.path.realpath(os.path.dirname(path) or ".")
    columns, rows, excluded, faults = _read_rows(path)
    names, unfit = order_classes(
        (row["label"] for _, row in rows if row["label"] and not cell_fault(row["label"])),
        class_names,
        path,
    )
    rows = _good_rows(path, root, columns, rows, excluded)
    if not rows and not excluded and not faults:
        unfit.append(f"{path}: has a header but no rows; add one per image")
    samples = tuple(
        Sample(
            name=row["image"],
            image=os.path.join(root, row["image"]),
            label=names.index(row["label"]),
            group=row.get("group") or split_frame(row["image"])[0],
            mask=os.path.join(root, row["mask"]) if row.get("mask") else None,
            split=row.get("split") or None,
            sha256=row.get("sha256", "").lower() or None,
            box=_box(row["box"]) if row.get("box") else None,
        )
        for row in rows
        if row["label"] in names
    )
    samples, notes, problems = open_frames(samples)
    groups = [sample.group for sample in samples]
    notes = [*(notes_on_groups(groups) if "group" in columns else [NO_GROUPS_NOTE]), *notes]
    ignored = [shown(column) for column in columns if column not in COLUMNS]
    if ignored:
        notes.append(f"Columns of {os.path.basename(path)} that were ignored: {listed(ignored)}.")
    table = SampleTable(
        name=os.path.basename(root),
        samples=samples,
        class_names=names,
        group_unit="group" if "group" in columns else "image",
        mask_source="given with the data" if any(s.mask for s in samples) else None,
        notes=tuple(notes),
        excluded=(*excluded, *problems),
        faults=(*faults, *unfit),
    )
    return settle(table, on_bad)


def _read_rows(path):
    """Returns columns, `(row number, {column: cell})` with cells stripped, and what is wrong.

    That is two lists: of rows that cannot be used, and of what makes the whole unfit.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, excluded, faults, columns = [], [], [], None
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                excluded.append(
                    f"{path}, row {reader.line_num}: has {len(cells)} cells, the header "
                    f"{len(columns)}; quote cells that hold commas"
                )
                continue
            row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
            for column in ("image", "mask"):
                if row.get(column):
                    row[column] = os.path.normpath(row[column])
            rows.append((reader.line_num, row))
    except csv.Error as error:
        faults.append(f"{path}, row {reader.line_num}: {error}; check its quotation marks")
        if columns is None:
            raise DataError(faults) from error
    return columns, rows, excluded, faults


def read_text(path):
    """Returns the text of a CSV file; DataError where it is none, or none in UTF-8."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise DataError(
                [f"{path}: is above {MAX_BYTES // 10**6} MB; a manifest holds paths, not pictures"]
            )
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError([f"{path}: cannot be read ({error.strerror}); check the path"]) from error
    found = next((e for magic, e in _ENCODINGS.items() if data.startswith(magic)), None)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            [f"{path}, row {row}: the file is {found or 'not UTF-8'}; save it as CSV in UTF-8"]
        ) from error
    if found or "\0" in text.partition("\n")[0]:
        found = found or "binary, or UTF-16 without byte order mark"
        raise DataError([f"{path}: the file is {found}; save it as CSV in UTF-8"])
    return text


def _check_columns(path, columns):
    way_out = f"the header must read image,label and may add {', '.join(COLUMNS[2:])}"
    missing = [column for column in COLUMNS[:2] if column not in columns]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if missing and len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise DataError([f"{path}: cells are not separated by commas; {way_out}"])
    if missing or repeated:
        fault = f"lacks {listed(missing)}" if missing else f"repeats {listed(repeated)}"
        header = shown(",".join(columns))
        raise DataError([f"{path}: {fault}; {way_out}. Received: header={header}"])


def _good_rows(path, root, columns, rows, excluded):
    """Returns the cells of the rows that have no fault; adds the others' to `excluded`."""
    good, first = [], {}
    some_split = any(row.get("split") for _, row in rows)
    for number, row in rows:
        faults = []
        for column in ("image", "label", "group"):
            if column in columns and not row[column]:
                faults.append(f"`{column}` is empty; fill it in or drop the row")
            elif column != "image" and (fault := cell_fault(row.get(column, ""))):
                faults.append(f"`{column}` {fault}. Received: {column}={shown(row[column])}")
        for column in ("image", "mask"):
            if row.get(column):
                faults += _check_path(root, row[column])
        if row["image"] and not faults:
            target = os.path.realpath(os.path.join(root, row["image"]))
            if first.setdefault(target, number) != number:
                faults.append(f"repeats {row['image']} of row {first[target]}; keep one")
        if some_split and row["split"] not in SPLITS:
            faults.append(
                f"`split` must be one of {SPLITS}, in every row or in none. "
                f"Received: split={shown(row['split'])!r}"
            )
        if row.get("sha256") and not re.fullmatch("[0-9a-fA-F]{64}", row["sha256"]):
            faults.append(
                "`sha256` must be 64 hexadecimal digits, or empty. "
                f"Received: sha256={shown(row['sha256'])!r}"
            )
        if row.get("box") and _box(row["box"]) is None:
            faults.append(
                "`box` must be four whole numbers, left top width height in pixels, with a "
                f"width and height of at least 1, or empty. Received: box={shown(row['box'])!r}"
            )
        excluded += [f"{path}, row {number}: {fault}" for fault in faults]
        if not faults:
            good.append(row)
    return good


def _box(cell):
    """`(left, top, width, height)` from a cell, or `None` where that is no box."""
    numbers = cell.split()
    if len(numbers) != 4 or not all(re.fullmatch("[0-9]{1,6}", number) for number in numbers):
        return None
    left, top, width, height = map(int, numbers)
    return (left, top, width, height) if width and height else None


def _check_path(root, relative):
    """Problems of one path, which must lead to a file below `root`, also when resolved."""
    if "\\" in relative:
        return [f"{shown(relative)}: write the path with forward slashes"]
    if os.path.isabs(relative):
        return [f"{shown(relative)}: is absolute; give the path relative to the manifest"]
    fault = path_fault(root, os.path.join(root, split_frame(relative)[0]))
    return [f"{shown(relative)}: {fault}"] if fault else []
