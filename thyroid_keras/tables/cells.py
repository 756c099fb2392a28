"""The trainings that a table takes: a command, a run folder and a log file each."""

import dataclasses
import pathlib

from thyroid_keras.preparation import SCALES, choose_recipe
from thyroid_keras.recipes import RECIPES, Row
from thyroid_keras.runs import Run
from thyroid_keras.training import Recipe, SettingError, override, refuse, seed_problems
from thyroid_keras.training.backend import gpu_capability
from thyroid_keras.transfer import Settings


def chosen_scale(scale):
    """Returns the scale asked for; for `None` the paper's where there is a GPU, else the quick one.

    Raises:
        SettingError: if there is no such scale.
    """
    scale = scale or ("paper" if gpu_capability() else "quick")
    if scale not in SCALES:
        raise SettingError(f"--scale must be one of {SCALES}. Received: scale={scale!r}")
    return scale


def check_limits(jobs, minutes, seed):
    """Refuses fewer than one training at a time, no time at all, and a seed that is none.

    Raises:
        SettingError: with all that are wrong; of `jobs` and `minutes` `None` is no limit.
    """
    problems = seed_problems(seed)
    if jobs is not None and jobs < 1:
        problems.append(f"--jobs must be at least 1. Received: jobs={jobs}")
    if minutes is not None and not minutes > 0:
        problems.append(f"--minutes must be above 0. Received: minutes={minutes}")
    refuse(problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What all trainings of a table share.

    Args:
        scale: `"quick"` or `"paper"`.
        data, target, format, seed, on_bad: as for `experiment.train`.
        settings: sequence of `"field=value"`, stronger than those of the rows; each goes to
            the rows whose recipe has the field.
        precision: name of a policy; never `"auto"`, which may differ between machines.
    """

    scale: str
    data: str | None
    target: str | None
    format: str | None
    settings: tuple[str, ...]
    seed: int
    precision: str
    on_bad: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One command that fills one folder.

    Args:
        row: `Row`.
        recipe: `Recipe` of the row, or `transfer.Settings`.
        folder: of the run.
        log: file for what the command says.
        command: name of the command, and its arguments.
        fold, folds: of the cross-validation, or `None`.
    """

    row: Row
    recipe: Recipe
    folder: pathlib.Path
    log: pathlib.Path
    command: tuple[str, ...]
    fold: int | None = None
    folds: int | None = None

    @property
    def label(self):
        """What a reader is shown."""
        fold = f", fold {self.fold + 1} of {self.folds}" if self.fold is not None else ""
        return f"{self.row.label}{fold}"

    @property
    def finished(self):
        """Whether the folder holds all that the command leaves; the report comes last."""
        return Run(self.folder).report.exists()


def folds_of(table, options):
    """Returns of how many folds a table is; `None`: of one split."""
    return table.folds if options.scale == "paper" else table.quick_folds


def recipe_of(table, row, options, settings, *, scale=None, check=True):
    """Returns the recipe of a row, or the `transfer.Settings` of one that `bottleneck` makes.

    Args:
        table, row, options: as for `choose_recipes`.
        settings, scale, check: see `preparation.choose_recipe`; `None`: the scale of the options.
    """
    if row.command == "train":
        return choose_recipe(row.arch, scale or options.scale, settings, check=check)
    shared = {name: getattr(options, name) for name in ("target", "format", "seed", "on_bad")}
    if folds := folds_of(table, options):
        shared["folds"] = folds
    return override(Settings(**shared), settings, check=check)


def choose_recipes(table, rows, options):
    """Returns the recipe of each row.

    Args:
        table: `Table`.
        rows: the `Row`s wanted.
        options: `Options`.

    Returns:
        List of `(recipe, settings)`, the latter as `--set` takes them.

    Raises:
        SettingError: with everything that is wrong with the settings.
    """
    fixed = {_field(s) for row in table.rows for s in row.settings + row.paper}
    fields = {
        row.name: {f.name for f in dataclasses.fields(_kind(row, options.scale))} for row in rows
    }
    anywhere = set().union(*fields.values())
    problems = {
        f"--set {setting}: the rows of {table.name} differ in it. Leave it out, or choose "
        f"among the rows with --rows. Received: settings={setting!r}": None
        for setting in options.settings
        if _field(setting) in fixed
    }
    chosen = []
    for row in rows:
        settings = (*table.quick, *row.quick) if options.scale == "quick" else row.paper
        others = anywhere - fields[row.name]
        wanted = tuple(s for s in options.settings if _field(s) not in others)
        settings = row.usual + settings + row.settings + wanted
        try:
            chosen.append((recipe_of(table, row, options, settings), settings))
        except SettingError as error:
            problems |= dict.fromkeys(str(error).splitlines())
    refuse(problems)
    return chosen


def _kind(row, scale):
    return Settings if row.command == "bottleneck" else RECIPES[row.arch][scale]


def _field(setting):
    return setting.partition("=")[0].strip()


def plan(table, rows, options, folder):
    """Says which trainings make a table: one per row, or per row and fold.

    `bottleneck` deals its folds itself, the same ones.

    Args:
        table, rows, options: as for `choose_recipes`.
        folder: of the table.

    Returns:
        List of `Cell`.
    """
    folds = folds_of(table, options)
    data = ["--data", options.data] if options.data is not None else []
    common = ["--recipe", options.scale, "--seed", str(options.seed), "--resume", *data]
    common += ["--precision", options.precision, "--on-bad", options.on_bad]
    common += ["--format", options.format] if options.format is not None else []
    cells = []
    chosen = zip(rows, choose_recipes(table, rows, options), strict=True)
    for row, (recipe, settings) in chosen:
        if row.command == "bottleneck":
            run = folder / "rows" / row.name
            cells.append(
                Cell(
                    row=row,
                    recipe=recipe,
                    folder=run,
                    log=folder / "logs" / f"{row.name}.txt",
                    command=("bottleneck", "--out", str(run), "--resume", *data, *recipe.flags()),
                    folds=recipe.folds,
                )
            )
            continue
        for fold in range(folds) if folds else (None,):
            run, log, words = folder / "rows" / row.name, row.name, list(common)
            if fold is not None:
                run, log = run / f"fold_{fold}", f"{log}_fold_{fold}"
                words += ["--folds", str(folds), "--fold", str(fold)]
            target = row.target or options.target
            words += [] if target is None else ["--target", target]
            words += ["--set", *settings] if settings else []
            cells.append(
                Cell(
                    row=row,
                    recipe=recipe,
                    folder=run,
                    log=folder / "logs" / f"{log}.txt",
                    command=("train", "--arch", row.arch, "--out", str(run), *words),
                    fold=fold,
                    folds=folds,
                )
            )
    return cells
