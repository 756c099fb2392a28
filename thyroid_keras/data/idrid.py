"""Reads IDRiD, photographs of the eyes of people with diabetes, in its own layout."""

import collections
import csv
import dataclasses
import io
import os
import re

from thyroid_keras.data.decode import decode
from thyroid_keras.data.fundus import MACULA, crop_of, listed_side, shows_right_eye
from thyroid_keras.data.labels import NO_GROUPS_NOTE
from thyroid_keras.data.manifest import read_text
from thyroid_keras.data.paths import name_fault, path_fault, shown
from thyroid_keras.data.pictures import ImageError, picture_size
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

LAYOUT = (
    "an IDRiD folder (its Disease Grading with 1. Original Images/ and 2. Groundtruths/, or a "
    "part of it, images/ and labels.csv with image,official_split,original,retinopathy_grade,"
    "macular_edema)"
)
CLASS_NAMES = {
    "retinopathy": tuple(f"retinopathy {grade}" for grade in range(5)),
    "macular_edema": tuple(f"macular oedema {risk}" for risk in range(3)),
}
TARGETS = tuple(CLASS_NAMES)
GRADING = "B. Disease Grading"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """A file of labels and the folder of its pictures; columns are compared without case."""

    split: str | None  # of all rows; `None`: each row says
    table: str
    folder: str
    columns: dict  # of ours -> of the file's


def _official(split, letter, word):
    return _Part(
        split=split,
        table=os.path.join("2. Groundtruths", f"{letter}. IDRiD_Disease Grading_{word} Labels.csv"),
        folder=os.path.join("1. Original Images", f"{letter}. {word} Set"),
        columns={
            "image": "image name",
            "retinopathy": "retinopathy grade",
            "macular_edema": "risk of macular edema",
        },
    )


_LAYOUTS = (
    (_official("train", "a", "Training"), _official("test", "b", "Testing")),
    (
        _Part(
            split=None,
            table="labels.csv",
            folder="images",
            columns={
                "image": "image",
                "split": "official_split",
                "original": "original",
                "retinopathy": "retinopathy_grade",
                "macular_edema": "macular_edema",
            },
        ),
    ),
)


def has_idrid_layout(path):
    """Whether `path` is a folder with IDRiD's gradings, or a part of them."""
    return bool(_find_parts(path)[1])


def read_idrid(root, *, target="retinopathy", split=True, sides="listed", on_bad="fail"):
    """Reads the gradings of IDRiD as they are published, or a part of them.

    Every picture is cut to the columns that hold the eye, in proportion where it is reduced,
    and right eyes are mirrored, so that the optic disc always lies to the left.

    Args:
        root: the folder.
        target: `"retinopathy"`, grades 0 to 4, or `"macular_edema"`, risks 0 to 2.
        split: bool, whether the set's own training and test images stay so.
        sides: `"listed"`: right eyes by the lists of the paper's supplement, and where these
            do not reach as by `"found"`: by where the optic disc is in the picture.
        on_bad: see `settle`.

    Returns:
        `SampleTable` of the classes that occur; nobody says whose two eyes belong together,
        so each image is a group of its own.

    Raises:
        DataError: with everything that is wrong, by row: columns, cells, grades, repeated and
            missing images, paths that leave the folder.
        ValueError: if `target` or `sides` is unknown.

    Reference: Porwal et al. 2018, doi:10.3390/data3030025 (516 photographs, CC BY 4.0). The
    crop and the lists: Xu et al., A Novel Global Spatial Attention Mechanism, supplement.
    """
    for name, value, choice in (
        ("target", target, TARGETS),
        ("sides", sides, ("listed", "found")),
    ):
        if value not in choice:
            raise ValueError(f"`{name}` must be one of {choice}. Received: {name}={value!r}")
    root, parts = _find_parts(root)
    if not parts:
        raise DataError([f"{root}: is not {LAYOUT}; check the copy"])
    good, excluded, seen = [], [], {}
    for part in parts:
        path = os.path.join(root, part.table)
        for number, row in _read_rows(path, part, excluded):
            faults = _row_faults(row, part, root, seen, f"{part.table}, row {number}")
            excluded += [f"{path}, row {number}: {fault}" for fault in faults]
            good += [] if faults else [row]
    present = {int(row[target]) for row in good}
    grades = [grade for grade in range(len(CLASS_NAMES[target])) if grade in present]
    looked = list(map_threads(lambda row: _look(row, sides), good, "Looking at eyes"))
    samples = tuple(
        Sample(
            name=row["name"],
            image=row["path"],
            label=grades.index(int(row[target])),
            group=row["name"],
            split=row["split"] if split else None,
            **pixels,
        )
        for row, (pixels, _) in zip(good, looked, strict=True)
    )
    few = f"{root}: holds fewer than two classes of {target}; check the copy"
    table = SampleTable(
        name="IDRiD",
        region=MACULA,
        samples=samples,
        class_names=tuple(CLASS_NAMES[target][grade] for grade in grades),
        group_unit="image",
        aligned=True,
        target=target,
        notes=_notes(samples, collections.Counter(how for _, how in looked)),
        excluded=tuple(excluded),
        faults=(few,) if len(grades) < 2 and not excluded else (),
    )
    return settle(table, on_bad)


def _find_parts(root):
    """The folder that holds the gradings, and which `_Part`s are in it."""
    for folder in (root, os.path.join(root, GRADING)):
        for layout in _LAYOUTS:
            parts = [part for part in layout if _holds(folder, part)]
            if parts:
                return folder, parts
    return root, []


def _holds(root, part):
    table = os.path.join(root, part.table)
    if not os.path.isfile(table) or not os.path.isdir(os.path.join(root, part.folder)):
        return False
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        header = [cell.strip().lower() for cell in file.readline(4096).split(",")]
    # many sets have a labels.csv
    return part.split is not None or set(part.columns.values()) <= set(header)


def _read_rows(path, part, excluded):
    """Yields `(row number, {column: cell})` under our names; adds what is no row."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        missing = [name for name in part.columns.values() if name not in header]
        if missing:
            raise DataError(
                [
                    f"{path}: lacks the columns {', '.join(missing)}; take the file as published. "
                    f"Received: header={shown(','.join(header))}"
                ]
            )
        where = {ours: header.index(name) for ours, name in part.columns.items()}
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) <= max(where.values()):
                    fault = f"has {len(cells)} cells, the header {len(header)}; correct the row"
                    excluded.append(f"{path}, row {reader.line_num}: {fault}")
                else:
                    yield reader.line_num, {n: cells[i].strip() for n, i in where.items()}
    except csv.Error as error:
        fault = f"{path}, row {reader.line_num}: {error}; check its quotation marks"
        raise DataError([fault]) from error


def _row_faults(row, part, root, seen, place):
    """Everything wrong with one row; adds its `name`, `path`, `split` and `original`."""
    row["split"] = part.split or row["split"]
    row["original"] = row.get("original") or row["image"]
    faults = []
    for target, names in CLASS_NAMES.items():
        if row[target] not in map(str, range(len(names))):
            column = part.columns[target]
            faults.append(
                f"`{column}` must be from 0 to {len(names) - 1}. "
                f"Received: {column}={shown(row[target])!r}"
            )
    if row["split"] not in ("train", "test"):
        said = shown(row["split"])
        faults.append(f"`official_split` must be train or test. Received: split={said!r}")
    file = row["image"] if os.path.splitext(row["image"])[1] else f"{row['image']}.jpg"
    if not row["image"] or name_fault(file) or os.path.isabs(file) or "\\" in file:
        return [*faults, f"{shown(file)!r}: must be a name within the set; correct it"]
    row["name"] = os.path.normpath(os.path.join(part.folder, file))
    row["path"] = os.path.join(root, row["name"])
    fault = path_fault(os.path.realpath(root), row["path"])
    if fault:
        return [*faults, f"{shown(file)}: {fault}"]
    first = seen.setdefault(os.path.realpath(row["path"]), place)
    return faults + ([f"repeats {file} of {first}; keep one"] if first != place else [])


def _look(row, sides):
    """What a sample's pixels are, and how its side came about; a bad file is the audit's."""
    known = None
    if sides == "listed" and (match := re.fullmatch(r"IDRiD_(\d{1,4})(\.\w+)?", row["original"])):
        known = listed_side(row["split"], int(match[1]))
    try:
        if known is not None:
            with open(row["path"], "rb") as stream:
                size = picture_size(stream, row["path"])
            return {"roi": crop_of(*size), "mirrored": known}, "listed"
        height, width = (image := decode(row["path"], channels=3)).shape[:2]
    except (ImageError, OSError):
        return {}, "not known"
    left, _, across, _ = roi = crop_of(width, height)
    return {"roi": roi, "mirrored": shows_right_eye(image[:, left : left + across])}, "found"


def _notes(samples, sides):
    right = sum(sample.mirrored for sample in samples)
    how = {"listed": "by the lists of the paper's supplement", "found": "by the optic disc"}
    told = ", ".join(f"{sides[way]} {said}" for way, said in how.items() if sides[way])
    return (
        NO_GROUPS_NOTE,
        "Every picture is cut to the columns that hold the eye (260 to 3685 of 4288).",
        f"Right eyes are mirrored: {right} of {len(samples)} (sides told {told}).",
    )
