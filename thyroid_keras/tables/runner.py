"""From the name of a table to the table; what `table` does."""

import contextlib
import functools
import math
import os
import pathlib
import signal
import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from thyroid_keras.data.readers import format_of
from thyroid_keras.preparation import targets_of
from thyroid_keras.recipes import TABLES
from thyroid_keras.runs import Run, RunError, command_line
from thyroid_keras.signals import SignalGuard
from thyroid_keras.spelling import suggestion
from thyroid_keras.tables.begun import check_begun, check_own
from thyroid_keras.tables.cells import (
    Options,
    check_limits,
    choose_recipes,
    chosen_scale,
    plan,
)
from thyroid_keras.tables.cluster import run_on_ray
from thyroid_keras.tables.contents import contents
from thyroid_keras.tables.costs import costs_table, measure_costs
from thyroid_keras.tables.figures import write_figures
from thyroid_keras.tables.pages import write_pages
from thyroid_keras.tables.processes import run_here, usual_jobs
from thyroid_keras.tables.results import called, check_comparable, read_result, text_of
from thyroid_keras.tables.tasks import by_task
from thyroid_keras.training import Diverged, Interrupted, SettingError, set_precision

REFUSED, DIVERGED = 2, 3  # see `cli.run`
WEEK_SECONDS = 7 * 24 * 3600
WAY_ON = "Repeat the command to go on."


def table(
    name,
    *,
    data=None,
    target=None,
    format=None,
    scale=None,
    rows=None,
    out=None,
    settings=(),
    seed=0,
    precision="auto",
    on_bad="fail",
    jobs=None,
    ray=None,
    minutes=None,
    say=print,
):
    """Makes a paper's table: trains what is not trained yet, and sets ours beside theirs.

    Called again, it goes on where it was: finished rows are read, begun ones resumed.

    Args:
        name: one of `recipes.TABLES`.
        data, target, format, settings, seed, precision, on_bad: as for `experiment.train`,
            for all rows.
        scale: `"quick"` or `"paper"`; `None`: quick without a GPU.
        rows: names of the rows wanted; `None`: all, at the quick scale without the largest.
        out: folder; `None`: `tables/<name>-<scale>`, or the one that it shares with others,
            e.g. `tables/fan-<scale>`, in which it has a folder of its name.
        jobs: int >= 1, trainings at a time; `None`: see `processes.usual_jobs`, on a cluster
            one per machine.
        ray: address of a Ray cluster, `"auto"` or `"local"`; `None`: this machine.
        minutes: after which trainings are stopped as by a signal; `None`: never.
        say: function of one line of text, told what a person wants to know.

    Returns:
        `(run, results)`: the `Run` of the folder, which holds `table.csv`, `table.md`,
        `report.html` and `plots/` (and `costs.csv` and `costs.md` where networks are
        timed), and a list of `results.Result`.

    Raises:
        SettingError, DataError, RunError: if the user's input is wrong.
        Diverged: if a training did; the table is written without it.
        Interrupted: if a signal came or the minutes are over; everything can be resumed.
    """
    until = math.inf if minutes is None else time.monotonic() + 60 * minutes
    scale = chosen_scale(scale)
    paper, wanted = _choose(name, rows, scale)
    check_limits(jobs, minutes, seed)
    if data is not None:
        format_of(data, format)  # before the first training is begun
    options = Options(
        scale=scale,
        data=None if data is None else os.path.abspath(data),
        target=target or _target(paper, data, format),
        format=format,
        settings=tuple(settings),
        seed=seed,
        precision=_resolved(precision),
        on_bad=on_bad,
    )
    wanted = by_task(paper, wanted, options)
    recipes = choose_recipes(paper, wanted, options)
    folder = pathlib.Path(out or pathlib.Path("tables") / f"{paper.shared or name}-{scale}")
    with SignalGuard(WAY_ON) as guard, Run.create(folder, resume=True) as run:
        check_own(folder, paper)
        cells = plan(paper, wanted, options, folder)
        check_begun(cells, options)
        if run.config.exists():
            raise RunError(
                f"{folder}: a run is in there, not a table. Choose another folder with --out. "
                f"Received: out={str(folder)!r}"
            )
        run.log(command_line())
        if jobs is None and ray is None:
            jobs = usual_jobs(scale)
        failures = _train(cells, paper, jobs, ray, guard, until, say)
        pairs = zip(wanted, recipes, strict=True)
        results = [
            read_result(row, recipe, folder / "rows" / row.name, failures.get(row.name))
            for row, (recipe, _) in pairs
        ]
        check_comparable(results)
        made = Run(folder / name) if paper.shared else run
        found = contents(paper, results, seed)
        say("Drawing the figures")
        figures = write_figures(made, paper, results)
        costs = costs_table(results, measure_costs(made, results, say)) if paper.timed else None
        write_pages(made, paper, results, found, options, figures, costs)
        say(f"Table: {made.folder / 'table.md'}, {made.folder / 'table.csv'}, {made.report}")
    _raise_failures(failures, folder)
    return made, results


def _choose(name, rows, scale):
    """The table, and those of its rows that are wanted, in its order."""
    if name not in TABLES:
        raise SettingError(
            f"no such table; choose among {', '.join(TABLES)}.{suggestion(name, TABLES)} "
            f"Received: name={name!r}"
        )
    paper = TABLES[name]
    known = [row.name for row in paper.rows]
    if unknown := [row for row in rows or () if row not in known]:
        raise SettingError(
            f"--rows: {name} has no such rows; choose among {', '.join(known)}. "
            f"Received: rows={unknown}"
        )
    if not rows:
        return paper, [row for row in paper.rows if scale == "paper" or not row.paper_only]
    return paper, [row for row in paper.rows if row.name in rows]


def _target(paper, data, format):
    """The labels that a table is about, where the data has several."""
    return paper.target if data is None or paper.target in targets_of(data, format) else None


def _resolved(precision):
    """What `auto` stands for on this machine, which all rows must then use."""
    before = keras.config.dtype_policy()
    try:
        return set_precision(precision)
    finally:
        keras.config.set_dtype_policy(before)


def _train(cells, paper, jobs, ray, guard, until, say):
    """Runs the cells that are not finished; returns why rows failed, by name."""
    waiting = [cell for cell in cells if not cell.finished]
    say(f"{len(cells) - len(waiting)} of {len(cells)} trainings are finished")
    failed, refused = {}, []

    def stopped():
        late = time.monotonic() > until
        return guard.received() or (signal.SIGTERM if refused or late else None)

    run = run_here if ray is None else functools.partial(run_on_ray, address=ray)
    with guard.deferring(), _bar(waiting, jobs or 1) as advance:
        for cell, status in run(waiting, jobs, stopped):
            advance(cell)
            if status == 0:
                found = Run(cell.folder).read_metrics()
                figure = text_of(found[paper.compared])
                say(f"{cell.label}: {called(paper, paper.compared)} {figure}")
            elif status == DIVERGED:
                failed[cell.row.name] = "diverged"
                say(f"{cell.label}: diverged, see {cell.log}")
            elif status == REFUSED:
                refused.append(cell)  # so would the others be: nothing more is begun
            elif not stopped():
                failed[cell.row.name] = f"ended with status {status}"
                say(f"{cell.label}: ended with status {status}, see {cell.log}")
    if refused:
        raise RunError(f"{refused[0].label}: {_last_error(refused[0].log)}")
    if left := sum(not cell.finished and cell.row.name not in failed for cell in waiting):
        raise Interrupted(signal.SIGTERM, f"The minutes are over with {left} to train. {WAY_ON}")
    return failed


def _last_error(log):
    """What a command that refused its input said last."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return f"\n{text}".rpartition("\nerror: ")[2].strip()


def _raise_failures(failures, folder):
    if not failures:
        return
    rows = ", ".join(f"{name} {why}" for name, why in failures.items())
    said = f"{folder}: the table lacks rows: {rows}. What they said is in {folder / 'logs'}"
    if set(failures.values()) == {"diverged"}:
        raise Diverged(f"{said}.")
    raise RunError(f"{said}; repeat the command to go on with them.")


@contextlib.contextmanager
def _bar(cells, jobs):
    """Shows which cells are at work and the time left; lends a function that ends one."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=WEEK_SECONDS,
        disable=not sys.stderr.isatty(),
    )
    left = {id(cell): cell.label for cell in cells}

    def at_work():
        return f"Training {'; '.join(list(left.values())[:jobs])}"

    def advance(cell):
        left.pop(id(cell))
        progress.update(task, advance=1, description=at_work())

    with progress:
        task = progress.add_task(at_work(), total=len(cells))
        yield advance
