"""Reads one case file of DDTI, distrusting every byte of it."""

import dataclasses
import json
import os
from xml.etree import ElementTree

MAX_BYTES = 4_000_000
MAX_DEPTH = 16
_MAX_COORDINATE_PX = 100_000


class CaseError(ValueError):
    """A case file that must not or cannot be read: the fault and the way out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is drawn on one image of a case.

    Args:
        image: int, the number in the image's file name.
        polygons: of tuples of `(x, y)` in pixels, one per nodule, each once.
        gaps: of str, what was drawn but cannot be used.
    """

    image: int
    polygons: tuple
    gaps: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case file: the findings, as written there in lower case, and the marks."""

    number: int
    tirads: str
    calcifications: str
    marks: tuple[Mark, ...]


class _Builder(ElementTree.TreeBuilder):
    """Refuses document types, before any entity in them is defined, and deep nesting."""

    depth = 0

    def doctype(self, name, public_id, system):
        raise CaseError("declares a document type, which no case file needs; do not use it")

    def start(self, tag, attributes):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CaseError(f"nests more than {MAX_DEPTH} elements; do not use it")
        return super().start(tag, attributes)

    def end(self, tag):
        self.depth -= 1
        return super().end(tag)


def read_case(path):
    """Reads `<case>.xml`.

    A region is unusable, and becomes a gap of its mark, where its JSON is cut off or
    misses its points, or has fewer than three of them (arrows). Several files of the
    public set have such regions.

    Args:
        path: the file; its name is the case's number.

    Returns:
        `Case`.

    Raises:
        CaseError: if the file is too large, no XML, hostile, or not of this layout.
    """
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise CaseError(f"is above {MAX_BYTES // 10**6} MB; no case file is that large")
        with open(path, "rb") as file:
            root = ElementTree.parse(file, ElementTree.XMLParser(target=_Builder())).getroot()
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror}); check its permissions") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        if isinstance(error, CaseError):
            raise
        raise CaseError(f"is no well-formed XML ({error}); copy it again") from error
    number = _stem(path)
    if root.tag != "case" or _text(root, "number") != number:
        raise CaseError(f"does not hold case number {number}; restore its name or contents")
    marks = tuple(_read_mark(element) for element in root.iterfind("mark"))
    if len({mark.image for mark in marks}) < len(marks):
        raise CaseError("marks one image twice; merge its <mark> elements")
    return Case(
        number=int(number),
        tirads=_text(root, "tirads").lower(),
        calcifications=_text(root, "calcifications").lower(),
        marks=marks,
    )


def _read_mark(element):
    image = _text(element, "image")
    if not (image.isascii() and image.isdigit() and len(image) < 5):
        raise CaseError(f"<image> must be a small number; correct it. Received: image={image!r}")
    svg = _text(element, "svg")
    if not svg:
        return Mark(image=int(image), polygons=(), gaps=("no region",))
    try:
        regions = json.loads(svg)
        polygons, gaps = {}, []
        for region in regions:
            points = tuple((float(p["x"]), float(p["y"])) for p in region["points"])
            if not all(abs(v) <= _MAX_COORDINATE_PX for point in points for v in point):
                gaps.append("region with impossible coordinates")
            elif len(points) < 3:
                gaps.append("region of fewer than three points")
            else:
                polygons[points] = None  # a dict keeps the order; some polygons are stored twice
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return Mark(image=int(image), polygons=(), gaps=("cut or malformed JSON",))
    return Mark(image=int(image), polygons=tuple(polygons), gaps=tuple(gaps))


def _text(element, tag):
    return (element.findtext(tag) or "").strip()


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]
