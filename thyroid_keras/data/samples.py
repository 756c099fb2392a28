"""The sample table: what every reader returns and everything else consumes."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

ON_BAD = ("fail", "skip", "collect")


class DataError(ValueError):
    """Everything that is wrong with the user's data, found in one pass.

    Args:
        problems: sequence of str, each naming the file (or row), the fault and the
            way out.
    """

    def __init__(self, problems):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image to be classified.

    Args:
        name: unique within its table; what `predictions.csv` prints. For files the
            path relative to the data set's root.
        image: path of a picture, bytes of an encoded one, or a uint8 array `(H, W)`
            or `(H, W, 3)`.
        label: index into the table's `class_names`.
        group: the patient, or the smallest unit known to hold one patient's images.
        mask: path, bytes or uint8 array `(H, W)` likewise, of the same size as `image`,
            above 127 inside; `None` where nobody has drawn one.
        nodule: likewise the outline of the nodule in which the mask's parts lie; `None` where
            nobody has drawn it, or the mask is the nodule's own.
        spacing_mm: `(height, width)` of a pixel of `image` in mm, where the data tells.
        roi: `(left, top, width, height)` in pixels of `image` and `mask`, the crop
            that is the sample; parts outside the picture are black. `None`: all of it.
        mirrored: whether the sample is what `roi` cuts out with left and right exchanged, as
            where one eye of two is to lie like the other; then it has no `box`.
        box: `(left, top, width, height)` in pixels of `image`, around what is to be found;
            `None` where nobody has said, or only by a mask.
        split: `"train"`, `"val"` or `"test"` where the data set fixes it.
        sha256: of the file that `image` is a path of, 64 hexadecimal digits, where the
            data set tells; the audit compares.
    """

    name: str
    image: str | bytes | np.ndarray
    label: int
    group: str
    mask: str | bytes | np.ndarray | None = None
    nodule: str | bytes | np.ndarray | None = None
    spacing_mm: tuple[float, float] | None = None
    roi: tuple[int, int, int, int] | None = None
    mirrored: bool = False
    box: tuple[int, int, int, int] | None = None
    split: str | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Samples, and what a reader of the results must know about them.

    Args:
        name: of the data set, for reports.
        samples: of `Sample`.
        class_names: the meaning of each label; the last is the positive class.
        group_unit: what `Sample.group` stands for, e.g. `"patient"`.
        mask_source: how the masks came about, e.g. `"simulated truth"`; `None` where
            there are none.
        target: what the labels say, e.g. `"calcification"`.
        notes: warnings that every report must repeat.
        excluded: what was left out for its faults, one str per fault: the file, the fault
            and the way out.
        faults: what is wrong with the set as a whole, likewise; a table that has any is
            only fit for the audit, which adds to them (see `settle`).
        aligned: bool, whether all pictures show one kind of thing from one angle, so that they
            look like copies of each other and only equal pixels count as such.
        region: `(x, y, width, height)` of the ellipse about x, y in shares of the sides where,
            on aligned pictures, what tells the classes is expected; `None` where nobody knows.
        clean: function of a decoded picture, uint8 `(H, W)` or `(H, W, 3)`, to the same
            without borders, through which every picture is read; `None`: as stored.
    """

    name: str
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    group_unit: str = "patient"
    mask_source: str | None = None
    target: str = "class"
    notes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    aligned: bool = False
    region: tuple[float, float, float, float] | None = None
    clean: Callable | None = None

    def __len__(self):
        return len(self.samples)

    @property
    def labels(self):
        """Labels as an int64 array `(N,)`."""
        return np.array([s.label for s in self.samples], dtype=np.int64)

    @property
    def groups(self):
        """Groups as an array of str `(N,)`."""
        return np.array([s.group for s in self.samples], dtype=object)

    def facts(self):
        """Returns what a run's `config.json` says of the table, as a dict."""
        names = ("name", "target", "class_names", "group_unit", "mask_source", "notes", "excluded")
        return {name: getattr(self, name) for name in names}

    def select(self, indices: Iterable[int]):
        """Returns the table of the samples at `indices`, in that order."""
        return dataclasses.replace(self, samples=tuple(self.samples[i] for i in indices))


def settle(table, on_bad):
    """Ends the reading of a table by what the user wants done about faults.

    Args:
        table: `SampleTable`, with `excluded` and `faults`.
        on_bad: `"fail"`: any fault raises; `"skip"`: those of single samples do not;
            `"collect"`: none does, for the audit goes on with what can be read.

    Returns:
        `table`.

    Raises:
        DataError: with all faults, of the set first.
        ValueError: if `on_bad` is unknown.
    """
    if on_bad not in ON_BAD:
        raise ValueError(f"`on_bad` must be one of {ON_BAD}. Received: on_bad={on_bad!r}")
    wrong = table.faults or (table.excluded and (on_bad == "fail" or not table.samples))
    if wrong and on_bad != "collect":
        raise DataError(table.faults + table.excluded)
    return table
