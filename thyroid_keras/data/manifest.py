"""Reads `manifest.csv`: one row per image, paths relative to the file."""

import csv
import io
import os

from thyroid_keras.data.labels import NO_GROUPS_NOTE, SPLITS, listed, order_classes
from thyroid_keras.data.samples import DataError, Sample, SampleTable

COLUMNS = ("image", "label", "mask", "group", "split")
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "an Excel workbook"}


def manifest_file(path):
    """Returns the path of the CSV file that `path` is or holds; `None` if neither."""
    path = os.path.join(path, "manifest.csv") if os.path.isdir(path) else os.fspath(path)
    return path if path.lower().endswith(".csv") and os.path.isfile(path) else None


def read_manifest(path, *, class_names=None):
    """Reads a manifest with the columns `image,label[,mask][,group][,split]`.

    UTF-8 with or without byte order mark, any line ending. Other columns are ignored,
    and the notes name them.

    Args:
        path: the CSV file, or the folder that holds it as `manifest.csv`.
        class_names: sequence of str, the labels in order, the positive class last; by
            default those found, sorted.

    Returns:
        `SampleTable`; without the column `group` every image is its own group.

    Raises:
        DataError: with everything that is wrong, by row: encoding, columns, empty cells,
            unknown labels and splits, repeated images, missing files, and paths that
            leave the folder.
    """
    path = manifest_file(path) or os.fspath(path)
    columns, rows = _read_rows(path)
    root = os.path.realpath(os.path.dirname(path) or ".")
    names, problems = order_classes(
        (row["label"] for _, row in rows if row["label"]), class_names, path
    )
    problems += _check_rows(path, root, columns, rows)
    if problems:
        raise DataError(problems)

    samples = tuple(
        Sample(
            name=row["image"],
            image=os.path.join(root, row["image"]),
            label=names.index(row["label"]),
            group=row.get("group", row["image"]),
            mask=os.path.join(root, row["mask"]) if row.get("mask") else None,
            split=row.get("split") or None,
        )
        for _, row in rows
    )
    notes = [] if "group" in columns else [NO_GROUPS_NOTE]
    ignored = [column for column in columns if column not in COLUMNS]
    if ignored:
        notes.append(f"Columns of {os.path.basename(path)} that were ignored: {listed(ignored)}.")
    return SampleTable(
        name=os.path.basename(root),
        samples=samples,
        class_names=names,
        group_unit="group" if "group" in columns else "image",
        mask_source="given with the data" if any(s.mask for s in samples) else None,
        notes=tuple(notes),
    )


def _read_rows(path):
    """Returns the columns, and `(row number, {column: cell})` with cells stripped."""
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, problems = [], []
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                problems.append(
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
        problems.append(f"{path}, row {reader.line_num}: {error}; check its quotation marks")
    if not rows and not problems:
        problems.append(f"{path}: has a header but no rows; add one per image")
    if problems:
        raise DataError(problems)
    return columns, rows


def _read_text(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise DataError([f"{path}: cannot be read ({error.strerror}); check the path"]) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        found = next((e for magic, e in _ENCODINGS.items() if data.startswith(magic)), "not UTF-8")
        raise DataError(
            [f"{path}, row {row}: the file is {found}; save it as CSV in UTF-8"]
        ) from error


def _check_columns(path, columns):
    way_out = f"the header must read image,label and may add {', '.join(COLUMNS[2:])}"
    missing = [column for column in COLUMNS[:2] if column not in columns]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if missing and len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise DataError([f"{path}: cells are not separated by commas; {way_out}"])
    if missing or repeated:
        fault = f"lacks {listed(missing)}" if missing else f"repeats {listed(repeated)}"
        raise DataError([f"{path}: {fault}; {way_out}. Received: header={','.join(columns)}"])


def _check_rows(path, root, columns, rows):
    problems, first = [], {}
    some_split = any(row.get("split") for _, row in rows)
    for number, row in rows:
        faults = []
        for column in ("image", "label", "group"):
            if column in columns and not row[column]:
                faults.append(f"`{column}` is empty; fill it in or drop the row")
        for column in ("image", "mask"):
            if row.get(column):
                faults += _check_path(root, row[column])
        if row["image"] and first.setdefault(row["image"], number) != number:
            faults.append(f"repeats {row['image']} of row {first[row['image']]}; keep one")
        if some_split and row["split"] not in SPLITS:
            faults.append(
                f"`split` must be one of {SPLITS}, in every row or in none. "
                f"Received: split={row['split']!r}"
            )
        problems += [f"{path}, row {number}: {fault}" for fault in faults]
    return problems


def _check_path(root, relative):
    """Problems of one path, which must lead to a file below `root`, also when resolved."""
    if "\\" in relative:
        return [f"{relative}: write the path with forward slashes"]
    try:
        target = os.path.realpath(os.path.join(root, relative))
        if os.path.commonpath([root, target]) != root or os.path.isabs(relative):
            return [
                f"{relative}: leaves the manifest's folder; "
                "copy the file into it and give the path relative to the manifest"
            ]
        if not os.path.isfile(target):
            return [f"{relative}: no such file; correct the path or drop the row"]
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        return [f"{relative!r}: {error}; correct the path"]
    return []
