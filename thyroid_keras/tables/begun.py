"""Whether a table may go on in a folder where something stands already."""

from thyroid_keras.preparation import check_same
from thyroid_keras.recipes import TABLES
from thyroid_keras.runs import Run, RunError
from thyroid_keras.tables.tasks import of_task


def check_own(folder, paper):
    """Refuses the folder of another table, whose pages would be written over.

    Args:
        folder: `pathlib.Path`.
        paper: `Table`; those that share its folder count as the same.

    Raises:
        RunError: naming the rows that are not this table's.
    """
    shares = [t for t in TABLES.values() if paper.shared and t.shared == paper.shared]
    rows = [(table, row) for table in (paper, *shares) for row in table.rows]
    own = {row.name for _, row in rows}
    own |= {of_task(row, task).name for table, row in rows for task in table.tasks}
    if others := sorted(p.name for p in (folder / "rows").glob("*/") if p.name not in own):
        raise RunError(
            f"{folder}: another table is in there, with the rows {', '.join(others)}. Choose "
            f"another folder with --out. Received: out={str(folder)!r}"
        )


def check_begun(cells, options):
    """Refuses to go on with trainings that were begun with other settings.

    Raises:
        RunError: naming every folder and what differs in it.
    """
    source = {"path": options.data, "format": options.format}
    source |= {"seed": options.seed, "on_bad": options.on_bad}
    problems = []
    for cell in cells:
        run = Run(cell.folder)
        if not run.config.exists():
            continue
        try:
            whole = source | {"folds": cell.folds, "fold": cell.fold}
            whole["target"] = cell.row.target or options.target
            precision = getattr(cell.recipe, "precision", options.precision)
            check_same(run.read_config(), cell.recipe, whole, options.seed, precision)
        except RunError as error:
            problems.append(f"{cell.folder}: {error}")
    if problems:
        raise RunError("\n".join(problems))
