"""What a paper's table is: rows that say what to train, and what the paper says of them."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Args:
        name: of its folder, and what `table --rows` takes; unique in its table.
        label: what a reader is shown.
        arch: name of the architecture, one of `RECIPES`.
        settings: sequence of `"field=value"` that replace fields of its recipe.
        reported: dict from a figure's name in `metrics.json` to the paper's value; what
            the paper does not say is left out, never made up.
    """

    name: str
    label: str
    arch: str
    settings: tuple[str, ...] = ()
    reported: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper, as the trainings that it takes.

    Args:
        name: what the command calls it.
        title: what it shows.
        paper: the publication, and which table and figures of it.
        stub: heading of the column of row labels.
        rows: of `Row`.
        figures: names in `metrics.json`, the columns.
        folds: of the cross-validation at the paper's scale; `None`: one split.
        quick: settings at the quick scale, beside each recipe's own.
        reference: name of the row that the others are compared with.
        maps: names of the rows whose attention maps are drawn.
        gate: name of the layer whose maps they are.
        notes: what a reader must know about the paper's figures.
    """

    name: str
    title: str
    paper: str
    stub: str
    rows: tuple[Row, ...]
    figures: tuple[str, ...] = ("accuracy", "sensitivity", "specificity", "roc_auc")
    folds: int | None = None
    quick: tuple[str, ...] = ()
    reference: str | None = None
    maps: tuple[str, ...] = ()
    gate: str = "mask_gate3"
    notes: tuple[str, ...] = ()
