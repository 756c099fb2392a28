"""Reads DDTI, the Digital Database of Thyroid Ultrasound Images, in its own layout."""

import collections
import os
import re

from thyroid_keras.data.ddti_case import BAD, MARKED, MISSING, case_samples
from thyroid_keras.data.labels import listed, natural_order
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError, SampleTable, settle

TARGETS = ("malignancy", "calcification")
CLASS_NAMES = {
    "malignancy": ("benign", "malignant"),
    "calcification": ("no calcification", "calcification"),
}
MASK_SOURCES = {
    "malignancy": "the nodule polygons of the data set",
    "calcification": "weak, machine-made: threshold inside the polygon",
}
UNMARKED = "Pictures that no case file mentions, left out"
GROUPS = {"block": "block of ten cases", "case": "case"}
MAX_MISSING_SHARE = 0.05  # the public set itself misses single pictures

_TEXT_NOTE = (
    "Text burned into some DDTI pictures gives the finding away, and benign pictures carry it "
    "far more often than malignant ones: a classifier of whole pictures can read the class "
    "off the text. Trust results from nodule crops or from pictures without border and text."
)
_WEAK_NOTE = (
    "The calcification masks are weak: nobody drew them. They are the bright spots of each "
    "nodule by a threshold, and empty where the report denies calcifications. Much is speckle: "
    "the same rule marks 0.9 % of the median nodule with calcifications, 0.6 % of one without."
)


def has_ddti_layout(path):
    """Whether `path` holds `<case>.xml` files, flat or in `xml/` beside `images/`."""
    return os.path.isdir(path) and bool(_numbered(_folders(path)[0], r"[0-9]+\.xml"))


def read_ddti(root, *, target="malignancy", group="block", on_bad="fail", progress=True):
    """Reads `<case>.xml` and `<case>_<k>.jpg` from one folder, or `xml/` and `images/`.

    `"malignancy"`: whole pictures; TI-RADS 2 and 3 are benign, 4a to 5 malignant; the mask
    is the union of the nodules. `"calcification"`: one sample per nodule, cropped to the
    smallest square that holds it, with the finding of its case and a weak mask (see
    `threshold_calcifications`). Cases without the finding are left out, never negative.

    The public set has gaps of its own. Regions that are cut off, empty or have fewer than
    three points, single missing pictures, and exact repeats of a picture within a case are
    passed over, and the notes name them. Everything else that is wrong is an error.

    Args:
        root: the folder.
        target: `"malignancy"` or `"calcification"`.
        group: `"block"`, ten neighbouring cases, since neighbours may be one patient, or
            `"case"`.
        on_bad: see `settle`.
        progress: whether to show a progress bar.

    Returns:
        `SampleTable`, named `<case>_<k>` or, for nodules, `<case>_<k>#<nodule>`.

    Raises:
        DataError: with every damaged picture, two pictures of one name, and every damaged or
            hostile case file; if more than 5 % of the pictures are missing; if no sample is left.

    Reference: Pedraza et al. 2015, "An open access thyroid ultrasound-image database".
    Deviation: none of the findings is graded; TI-RADS is cut between 3 and 4a.
    """
    for name, value, choice in (
        ("target", target, TARGETS),
        ("group", group, tuple(GROUPS)),
    ):
        if value not in choice:
            raise ValueError(f"`{name}` must be one of {choice}. Received: {name}={value!r}")
    xml_folder, image_folder = _folders(root)
    files = _numbered(image_folder, r"[0-9]+_[0-9]+\.(jpe?g|png|bmp)")
    pictures = collections.defaultdict(list)
    for file in files:
        pictures[os.path.splitext(file)[0]].append(os.path.join(image_folder, file))
    case_files = _numbered(xml_folder, r"[0-9]+\.xml")
    real_root = os.path.realpath(root)

    def read(file):
        return case_samples(os.path.join(xml_folder, file), pictures, target, group, real_root)

    samples, found = [], collections.defaultdict(list)
    for case, passed_over in map_threads(read, case_files, "Reading DDTI", progress):
        samples += case
        for kind, items in passed_over.items():
            found[kind] += items
    excluded, marked, faults = found.pop(BAD, []), found.pop(MARKED, []), []
    if len(found[MISSING]) > MAX_MISSING_SHARE * (len(pictures) + len(found[MISSING])):
        faults.append(
            f"{image_folder}: {len(found[MISSING])} marked pictures are missing, "
            f"{listed(found[MISSING])}; complete the copy"
        )
    if not samples and not excluded and not faults:
        faults.append(f"{root}: holds no sample with a {target} label; check the copy")
    found[UNMARKED] = natural_order(set(pictures) - set(marked))
    table = SampleTable(
        name="DDTI",
        samples=tuple(samples),
        class_names=CLASS_NAMES[target],
        group_unit=GROUPS[group],
        mask_source=MASK_SOURCES[target],
        target=target,
        notes=_notes(target, found),
        excluded=tuple(excluded),
        faults=tuple(faults),
    )
    return settle(table, on_bad)


def _folders(root):
    """The folder of the case files, and that of the pictures."""
    if not os.path.isdir(root):
        raise DataError([f"{root}: DDTI is a folder of case files and pictures, not a file"])
    xml_folder, image_folder = os.path.join(root, "xml"), os.path.join(root, "images")
    nested = os.path.isdir(xml_folder) and os.path.isdir(image_folder)
    return (xml_folder, image_folder) if nested else (root, root)


def _numbered(folder, pattern):
    """File names that match `pattern`, in numeric order."""
    names = (name for name in os.listdir(folder) if re.fullmatch(pattern, name, re.IGNORECASE))
    return natural_order(names)


def _notes(target, found):
    notes = [_TEXT_NOTE]
    if target == "calcification":
        notes.append(_WEAK_NOTE)
    notes += [
        f"{kind}: {len(items)} ({listed(items)})." for kind, items in sorted(found.items()) if items
    ]
    return tuple(notes)
