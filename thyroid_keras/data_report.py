"""What `check_data` says of a data set."""

import dataclasses
import os

import rich.box
import rich.console
import rich.table
import rich.text

from thyroid_keras.borders import border_remover
from thyroid_keras.data.audit import audit
from thyroid_keras.runs import require_writable, write_json
from thyroid_keras.shortcuts import audit_shortcuts
from thyroid_keras.spelling import counted
from thyroid_keras.training import SettingError

_SHOWN = 50  # items of one kind of warning; --json has all


def check_data(
    path,
    *,
    target=None,
    format=None,
    folds=None,
    shortcuts=False,
    borders="none",
    on_bad="fail",
    json=None,
):
    """Audits a data set, prints what it holds and what may be wrong, and raises what is.

    Args:
        path: of the data set.
        target: which labels, where it has several; `None`: the first kind.
        format: one of `FORMATS`; `None`: recognised by the layout.
        folds: int >= 2, of a cross-validation; `None`: training, validation and test.
        shortcuts: bool, whether to measure how well the label can be told by what lies
            outside the nodule, see `shortcuts.audit_shortcuts`, where the data has no faults.
        borders: see `borders.border_remover`; applied before shortcuts are looked for.
        on_bad: `"fail"`, or `"skip"`: faults of single files are no errors.
        json: path of a file to write all of it to; `None`: none.

    Returns:
        `data.audit.Audit`.

    Raises:
        DataError: with every fault.
        SettingError: if `folds` is below 2.
        ModelError: if `borders` names no network that finds them.
        RunError: if `json` cannot be written.
    """
    if folds is not None and folds < 2:
        raise SettingError(f"--folds must be at least 2. Received: folds={folds}")
    require_writable(json)
    clean = border_remover(borders)
    found = audit(os.fspath(path), target=target, format=format, num_folds=folds)
    console = _Console(highlight=False, soft_wrap=True)
    console.print(_table(found), markup=False)
    for kind, items in found.warnings.items():
        _list(console, kind, items)
    _list(console, "Notes", found.reader_notes)
    told = None
    if shortcuts and found.table.samples and not (found.problems and on_bad == "fail"):
        told = audit_shortcuts(dataclasses.replace(found.joined_table(), clean=clean))
        _print_shortcuts(console, told, borders)
    if json is not None:
        facts = {
            "faults": found.table.faults,
            "excluded": found.table.excluded,
            "warnings": found.warnings,
            "notes": found.table.notes,
        }
        write_json(json, found.summary | facts | ({"shortcuts": told} if told else {}))
    found.accept(on_bad)
    _list(console, "Left out", found.table.excluded)
    console.print("\nThe rest has no faults." if found.problems else "\nNo faults.")
    return found


class _Console(rich.console.Console):
    def on_broken_pipe(self):
        raise  # rich calls this as it handles the error, and would exit with 1


def _print_shortcuts(console, told, borders):
    removed = "" if borders == "none" else f", borders removed ({borders})"
    console.print(f"\nShortcuts{removed}", style="bold", markup=False)
    if "reason" in told:
        console.print(f"  none looked for: {told['reason']}", markup=False)
        return
    groups = counted(told["groups"], "group")
    n = f"{counted(told['n'], 'sample')} in {groups} ({told['group_unit']})"
    console.print(f"  AUC with 95 % interval by group, cross-validated, {n}", markup=False)
    for entry in told["features"]:
        line = f"  {entry['name']:<20} {_auc(entry['roc_auc']):<22} {entry['what']}"
        console.print(line, markup=False)
    name, figure = told["largest"]["name"], told["largest"]["roc_auc"]
    console.print(f"  largest: {name}, {_auc(figure)}; {figure['note']}", markup=False)


def _auc(figure):
    if figure["value"] is None:
        return figure["reason"]
    interval = figure.get("ci95")
    return f"{figure['value']:.3f}" + (" ({:.3f} to {:.3f})".format(*interval) if interval else "")


def _list(console, title, items):
    if not items:
        return
    console.print(f"\n{title}: {len(items)}", style="bold", markup=False)
    for item in items[:_SHOWN]:
        console.print(f"  {item}", markup=False)
    if len(items) > _SHOWN:
        console.print(f"  … and {len(items) - _SHOWN} more; --json FILE has all")


def _table(found):
    """A rich table of two columns: what, and how much of it."""
    title = f"{found.summary['name']}: {found.summary['target']}"
    table = rich.table.Table(
        title=rich.text.Text(title, style="table.title"),  # a str would be read as markup
        box=rich.box.SIMPLE_HEAD,
        show_header=False,
        title_justify="left",
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts(found.summary):
        table.add_row(name, value)
    return table


def _facts(summary):
    groups, masks, grey = summary["groups"], summary["masks"], summary["grey_levels"]
    pictures = summary["pictures"]
    yield "Samples", f"{summary['samples']} from {counted(pictures, 'picture')}"
    yield "Distinct pictures", f"{summary['distinct_pictures']}"
    last = list(summary["classes"])[-1:] if len(summary["classes"]) == 2 else ()
    for name, counts in summary["classes"].items():
        share = counts["samples"] / max(1, summary["samples"])
        yield (
            f"Class {name!r}",
            f"{counts['samples']} ({share:.0%}) in {counted(counts['groups'], 'group')}"
            f"{', the positive class' if name in last else ''}",
        )
    yield (
        "Groups",
        f"{groups['count']} ({groups['unit']}), of {groups['smallest']} to {groups['largest']} "
        f"samples, median {groups['median']}",
    )
    if set(summary["splits"]) - {"none"}:
        yield "Given splits", ", ".join(f"{n}: {c}" for n, c in summary["splits"].items())
    yield "Sizes", _most_common(summary["sizes"])
    yield "Stored in", ", ".join(f"{name} ({n})" for name, n in summary["channels"].items())
    if masks["count"]:
        share = masks["median_share"]
        size = "" if share is None else f"; the others mark {share:.1%} of the picture (median)"
        yield "Masks", f"{masks['count']}, {masks['empty']} of them empty{size}"
        yield "Masks come from", str(masks["source"])
    else:
        yield "Masks", "none"
    if grey:
        yield (
            "Grey levels",
            f"{grey['darkest']} to {grey['brightest']}, mean {grey['mean']:.0f} (of a picture: "
            f"{grey['darkest_picture']:.0f} to {grey['brightest_picture']:.0f}); black "
            f"{grey['black_share']:.1%}, saturated {grey['saturated_share']:.1%} of all pixels",
        )
    burned = summary["burned_in"]
    yield (
        "Burned in",
        f"text in {burned['text']} of {pictures} pictures, long lines in {burned['long_lines']}; "
        f"plain margins in {burned['plain_margins']}",
    )
    yield (
        "Stored again",
        f"{len(summary['copies'])} recompressed or rescaled, "
        f"{len(summary['near_duplicates'])} near-duplicates",
    )


def _most_common(counts, limit=4):
    shown = [f"{size} ({count})" for size, count in list(counts.items())[:limit]]
    rest = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {rest} other sizes" if rest > 0 else "")
