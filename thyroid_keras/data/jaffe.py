"""Reads JAFFE, faces of ten women in seven expressions, in its own layout."""

import collections
import math
import os
import re

from thyroid_keras.data.labels import listed, natural_order
from thyroid_keras.data.paths import path_fault, shown
from thyroid_keras.data.samples import DataError, Sample, SampleTable, settle

LAYOUT = (
    "a JAFFE folder (KA.AN1.39.tiff and so on, and the set's README with the ratings, HAP SAD SUR "
    "ANG DIS FEA PIC)"
)
RATED = {
    "HAP": "happiness",
    "SAD": "sadness",
    "SUR": "surprise",
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
}
POSED = {code[:2]: emotion for code, emotion in RATED.items()} | {"NE": "neutral"}
TARGETS = ("rated_emotion", "posed_emotion")
NAME = re.compile(
    rf"(?P<person>[A-Z]{{2}})\.(?P<pose>({'|'.join(POSED)})\d)\.(?P<number>\d+)\.tiff?"
)
HEADER = {*RATED, "PIC"}
MAX_CHARACTERS = 1_000_000  # of a file that may hold the ratings


def has_jaffe_layout(path):
    """Whether `path` is a folder with pictures named as JAFFE's are, or holds one."""
    return _find_folder(path) is not None


def read_jaffe(root, *, target=None, on_bad="fail"):
    """Reads JAFFE as it is published.

    There are two sets of labels, which are never mixed: `"rated_emotion"`, which of six
    emotions sixty people saw most of in the picture on average; and `"posed_emotion"`, which
    of seven, neutral among them, the woman was asked for, as the file's name says.

    Args:
        root: the folder, or the one in which it lies alone.
        target: one of the two; `None`: rated where the ratings are there, else posed.
        on_bad: see `settle`.

    Returns:
        `SampleTable` of the classes that occur; the group is the person.

    Raises:
        DataError: with everything that is wrong, by file: names, pictures without ratings, links
            out of the folder; or if no file has the ratings that are asked for.
        ValueError: if `target` is unknown.

    Reference: Lyons et al. 1998, doi:10.1109/AFGR.1998.670949, and doi:10.5281/zenodo.3451524
    (213 pictures). The label by the highest mean rating: Xu et al., Sec. 4.1.
    Deviation: of equal ratings the first counts, in the order of `RATED`, which is not stated.
    """
    if target not in (None, *TARGETS):
        raise ValueError(f"`target` must be one of {TARGETS}. Received: target={target!r}")
    folder = _find_folder(root)
    if folder is None:
        raise DataError([f"{root}: is not {LAYOUT}; check the copy"])
    source, ratings = _find_ratings(dict.fromkeys((folder, os.fspath(root))))
    if target == "rated_emotion" and not ratings:
        raise DataError([f"{root}: no file has the ratings; add the set's README, or ask for "
                         "target posed_emotion. Received: target='rated_emotion'"])  # fmt: skip
    target = target or (TARGETS[0] if ratings else TARGETS[1])
    rated = target == TARGETS[0]
    good, excluded, borrowed = [], [], []
    for file, match in _pictures(folder):
        path = os.path.join(folder, file)
        fault = path_fault(os.path.realpath(folder), path)
        emotion = POSED[match["pose"][:2]]
        if rated and not fault:
            found = ratings.get(f"{match['person']}-{match['pose']}")
            if found is None and (found := ratings.get(match["number"])) is not None:
                borrowed.append(file)
            fault = None if found else f"{source} has no rating of it; add it or drop the picture"
            emotion = found
        if fault:
            excluded.append(f"{shown(path)}: {fault}")
        else:
            good.append((file, path, emotion, match["person"]))
    present = {emotion for _, _, emotion, _ in good}
    order = RATED.values() if rated else POSED.values()
    names = tuple(emotion for emotion in order if emotion in present)
    few = f"{folder}: holds fewer than two classes of {target}; check the copy"
    table = SampleTable(
        name="JAFFE",
        samples=tuple(
            Sample(name=file, image=path, label=names.index(emotion), group=person)
            for file, path, emotion, person in good
        ),
        class_names=names,
        group_unit="person",
        aligned=True,
        target=target,
        notes=_notes(rated, source, borrowed, folder),
        excluded=tuple(excluded),
        faults=(few,) if len(names) < 2 and not excluded else (),
    )
    return settle(table, on_bad)


def _find_folder(root):
    """The folder of the pictures: `root`, or the one folder in it that has any."""
    if not os.path.isdir(root):
        return None
    if _pictures(root):
        return os.fspath(root)
    with os.scandir(root) as entries:
        inside = [e.path for e in entries if e.is_dir() and not e.name.startswith(".")]
    holding = [folder for folder in inside if os.access(folder, os.R_OK) and _pictures(folder)]
    return holding[0] if len(holding) == 1 else None


def _pictures(folder):
    """`(file name, match)` of all files that are named as JAFFE's are."""
    matches = {name: NAME.fullmatch(name) for name in os.listdir(folder)}
    return [(name, matches[name]) for name in natural_order(n for n, m in matches.items() if m)]


def _find_ratings(folders):
    """The file with the ratings, and the emotion rated highest by picture and by number."""
    for folder in folders:
        for name in natural_order(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.lower().endswith((".txt", ".csv")) and os.path.isfile(path):
                if ratings := _read_ratings(path):
                    return name, ratings
    return None, {}


def _read_ratings(path):
    """The table of six ratings of a text file; the one without fear has fewer columns."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read(MAX_CHARACTERS).splitlines()
    columns, found = None, {}
    for line in lines:
        cells = [cell for cell in re.split(r"[\s,;]+", line.strip(" #\t")) if cell]
        if set(cells) & HEADER == HEADER:
            columns = [cell for cell in cells if cell in HEADER]
        elif columns and len(cells) == len(HEADER) + 1:
            number, *values = cells
            row = dict(zip(columns, values, strict=True))
            try:
                rates = {code: float(row[code]) for code in RATED}
            except ValueError:
                continue
            if all(map(math.isfinite, rates.values())):  # beside nan nothing is the highest
                found[row["PIC"]] = found[number] = RATED[max(rates, key=rates.get)]
    return found


def _notes(rated, source, borrowed, folder):
    if rated:
        notes = [f"Six classes: the emotion rated highest on average ({source}), the paper's "
                 "labels. They are not the seven of the file names."]  # fmt: skip
    else:
        notes = ["Seven classes: the expression asked for, by the file names, neutral among them; "
                 "no file has the ratings, of which the paper makes its six."]  # fmt: skip
    if borrowed:
        notes.append(
            f"Rated under another name, found by their numbers: {len(borrowed)} "
            f"({listed(borrowed)})."
        )
    others = collections.Counter(os.path.splitext(n)[1].lower() for n in os.listdir(folder))
    rest = sum(others[s] for s in (".tif", ".tiff", ".jpg", ".png")) - len(_pictures(folder))
    if rest:
        notes.append(f"Pictures of other names, left out: {rest}.")
    return tuple(notes)
