"""`split.csv`: which sample was in which part, verified every time it is read."""

import csv

from thyroid_keras.data.labels import SPLITS
from thyroid_keras.data.leaks import find_leaks, hash_images, same_pictures
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import Splits
from thyroid_keras.data.writing import written

COLUMNS = ("image", "group", "label", "split", "sha256")


def write_split(path, splits):
    """Writes `splits` as CSV, atomically: a killed write leaves the old file.

    Columns: image (the sample's name), group, label (the class's name), split, and
    sha256 of the whole picture's decoded grey pixels.

    Raises:
        DataError: if the file cannot be written.
    """
    with written(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, table in splits.parts.items():
            for s in table.samples:
                label = table.class_names[s.label]
                writer.writerow((s.name, s.group, label, name, splits.hashes[s.name]))


def read_split(path, table, *, hashes=None, copies=(), progress=True):
    """Reads what `write_split` wrote and verifies it against the data of today.

    Args:
        path: the CSV file.
        table: the `SampleTable` that was split.
        hashes: result of `hash_images`, which is called if it is `None`.
        copies: pairs of names of samples whose pictures count as identical.
        progress: whether to show a progress bar while hashing.

    Returns:
        `Splits`, in the order of `table`.

    Raises:
        DataError: with every sample that is new, gone, or has another group, label or
            pixels than when the file was written, and every group or picture that two
            parts share.
    """
    rows, problems = _read_rows(path)
    hashes = hash_images(table, progress) if hashes is None else hashes
    samples = {s.name: s for s in table.samples}
    problems += [
        f"{path}: {name} is in the split but not in the data; restore it or split anew"
        for name in rows
        if name not in samples
    ]
    for name, sample in samples.items():
        if name not in rows:
            problems.append(f"{path}: {name} is in the data but not in the split; split anew")
            continue
        today = {
            "group": sample.group,
            "label": table.class_names[sample.label],
            "sha256": hashes[name],
        }
        problems += [
            f"{path}: {column} of {name} was {rows[name][column]!r} and is {value!r} now; "
            "restore the data or split anew"
            for column, value in today.items()
            if rows[name][column] != value
        ]
    parts = {
        part: [i for i, s in enumerate(table.samples) if rows.get(s.name, {}).get("split") == part]
        for part in SPLITS
    }
    by_part = {part: [table.samples[i] for i in members] for part, members in parts.items()}
    problems += [f"{path}: {leak}" for leak in find_leaks(by_part, same_pictures(hashes, copies))]
    if problems:
        raise DataError(problems)
    tables = {part: table.select(members) for part, members in parts.items()}
    return Splits(hashes=hashes, copies=tuple(copies), **tables)


def _read_rows(path):
    """Returns `{name: row}` and the problems that still let the rest be checked."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise DataError(
                    [
                        f"{path}: the header must be {','.join(COLUMNS)}; split anew. "
                        f"Received: header={reader.fieldnames}"
                    ]
                )
            numbered = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError([f"{path}: cannot be read ({error}); split anew"]) from error
    rows, problems = {}, []
    for number, row in numbered:
        if None in row or None in row.values():
            problems.append(f"{path}, row {number}: must have {len(COLUMNS)} cells; split anew")
        elif row["split"] not in SPLITS:
            problems.append(
                f"{path}, row {number}: `split` must be one of {SPLITS}; split anew. "
                f"Received: split={row['split']!r}"
            )
        elif row["image"] in rows:
            problems.append(f"{path}, row {number}: repeats {row['image']}; split anew")
        else:
            rows[row["image"]] = row
    return rows, problems
