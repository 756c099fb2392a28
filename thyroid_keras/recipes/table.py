"""What a paper's table is: rows that say what to train, and what the paper says of them."""

import dataclasses
from typing import Literal

GRAD_CAM = "grad-cam"  # where a gate is named: the map that any network has


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Args:
        name: of its folder, and what `table --rows` takes; unique in its table.
        label: what a reader is shown.
        arch: name of the architecture, one of `RECIPES`; of `bottleneck` the features'.
        command: `train`, or `bottleneck`, whose settings then take the recipe's place.
        settings: sequence of `"field=value"` that replace fields of its recipe.
        usual: the same, where nobody asks for other values.
        quick: the same at the quick scale alone, beside those of the table.
        paper: the same at the paper's scale alone.
        paper_only: whether the quick scale leaves it out unless it is asked for. A row that
            is not trained is shown where the paper has a figure of it.
        against: name of the row that it is compared with; `None`: the table's `reference`.
        target: which labels of the data; `None`: as the command says. Rows of a table with
            `tasks` are trained once for each task.
        reported: dict from a figure's name in `metrics.json`, or a task's, to the paper's
            value; what the paper does not say is left out, never made up.
    """

    name: str
    label: str
    arch: str
    command: Literal["train", "bottleneck"] = "train"
    settings: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()
    paper_only: bool = False
    against: str | None = None
    target: str | None = None
    reported: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says of two rows, to be judged on ours.

    Args:
        row, other: their names.
        margin: `None`: the paper says that `row` is better; a float: that it is about as
            good, which here means to differ by less than this in `Table.compared`.
        at_least: with a margin, whether being better by more than it is as well.
    """

    row: str
    other: str
    margin: float | None = None
    at_least: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture of where one row's network looks, image by image.

    Args:
        name: of the file in `plots`.
        row: name of the row.
        title: what it shows.
        per_class: images of each class with a true box; the first of so many patients.
        maps: names of the maps shown.
        boxes: whether boxes are shown, the network's and the true one.
    """

    name: str
    row: str
    title: str
    per_class: int = 1
    maps: tuple[str, ...] = ("AG1", "AG2", "AG3", "AG-all")
    boxes: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """A picture of where the networks of several rows look in the same images.

    Args:
        name: of the file in `plots`.
        title: what it shows.
        rows: names of the rows, a column each.
        gate: name of the layer whose maps are drawn; `None`: what each place says for or
            against the last of two classes, see `explain.evidence_map`; `GRAD_CAM`: what
            speaks for it, see `explain.grad_cam`.
        gates: dict from the name of a row to its own, where that is another.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    gate: str | None = None
    gates: dict = dataclasses.field(default_factory=dict)

    def gate_of(self, row):
        """Returns the gate of a row, by its name."""
        return self.gates.get(row, self.gate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A column of the paper: one kind of labels of one data set.

    Args:
        name: of the paper's figures in `Row.reported`, with `<name>_sd`.
        label: heading of the column.
        target: what the labels are called in our reader; `None`: nobody can read them.
    """

    name: str
    label: str
    target: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """How the figure that is compared depends on one setting.

    Args:
        field: of the recipe, the axis.
        title: what it is called there.
        rows: names of the rows that differ in it, in any order.
    """

    field: str
    title: str
    rows: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper, as the trainings that it takes.

    Args:
        name: what the command calls it.
        title: what it shows.
        paper: the publication, and which table and figures of it.
        stub: heading of the column of row labels.
        rows: of `Row`.
        lines: what a line of the table is: one of the `rows`; one of the `classes`, as the
            last row tells it and against `reference`; one of the `places`, the same
            classes, as the maps of the last row localise them; one of the rows over all
            `tasks`.
        figures: names in `metrics.json`, the columns.
        compared: name of the figure whose difference between rows is shown.
        target: which labels, where the data has several and none is asked for; `None`: each
            recipe's own choice.
        folds: of the cross-validation at the paper's scale; `None`: one split.
        quick_folds: likewise, at the quick scale.
        quick: settings at the quick scale, beside each recipe's own.
        reference: name of the row that the others are compared with.
        claims: of `Claim`.
        by_class: dict from a class to a dict of the paper's figures of it.
        timed: whether the passes of each row's network are timed.
        tested: whether DeLong's and McNemar's tests of each row against `reference` are shown.
        shared: name of the folder that several tables share, so that a row which two of
            them have is trained once; `None`: one of its own.
        names: dict from a figure to what it is called here, where not as usual.
        comparisons: of `Comparison`.
        tasks: of `Task`; those whose labels the data has are trained.
        curves: of `Curve`.
        sheets: of `Sheet`.
        notes: what a reader must know about the paper's figures.
    """

    name: str
    title: str
    paper: str
    stub: str
    rows: tuple[Row, ...]
    lines: Literal["rows", "classes", "places", "tasks"] = "rows"
    figures: tuple[str, ...] = ("accuracy", "sensitivity", "specificity", "roc_auc")
    compared: str = "roc_auc"
    target: str | None = None
    folds: int | None = None
    quick_folds: int | None = None
    quick: tuple[str, ...] = ()
    reference: str | None = None
    claims: tuple[Claim, ...] = ()
    by_class: dict = dataclasses.field(default_factory=dict)
    timed: bool = False
    tested: bool = False
    shared: str | None = None
    names: dict = dataclasses.field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    tasks: tuple[Task, ...] = ()
    curves: tuple[Curve, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    notes: tuple[str, ...] = ()
