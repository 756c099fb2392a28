"""Grouped cross-validation; what `crossval` does, and `evaluate` with its folder."""

import contextlib
import dataclasses
import datetime
import os

import keras

from thyroid_keras import experiment
from thyroid_keras.answers import num_classes
from thyroid_keras.borders import borders_in, keep_network
from thyroid_keras.evaluation import evaluate_table
from thyroid_keras.loading import load
from thyroid_keras.narration import conclusion, spread
from thyroid_keras.nodules import map_thresholds
from thyroid_keras.other_data import describe_other, evaluation_folder, other_table
from thyroid_keras.pooling import fold_run, pool
from thyroid_keras.preparation import check_same, choose_recipe, recipe_of, run_problems
from thyroid_keras.runs import (
    Run,
    classes_of,
    default_folder,
    environment,
    read_csv,
    way_on,
    write_json,
)
from thyroid_keras.signals import SignalGuard
from thyroid_keras.training import Interrupted, own_session, refuse, set_precision


def crossval(
    arch,
    *,
    folds,
    data=None,
    target=None,
    format=None,
    recipe=None,
    out=None,
    settings=(),
    seed=0,
    precision="auto",
    resume=False,
    on_bad="fail",
    say=print,
):
    """Trains once for each of so many grouped folds, on the others, and pools the answers.

    Args:
        folds: int >= 2.
        out: folder of the cross-validation, with a run folder per fold, `fold_0` and so
            on, below it; `None`: a new one below `runs/`.
        resume: whether to go on with what is in `out`; finished folds stay as they are.
        arch, data, target, format, recipe, settings, seed, precision, on_bad, say: as
            for `experiment.train`.

    Returns:
        `(run, metrics)`: the outer `Run`, whose model is the ensemble of the folds', and
        what is in its `metrics.json`; see `pooling.pool`.

    Raises:
        SettingError, DataError, RunError: if the user's input is wrong.
        Diverged, Interrupted: if a training did not reach its end.
    """
    chosen = choose_recipe(arch, recipe, settings)
    problems = run_problems(seed, resume, out)
    if arch == "border_unet":
        problems.append(
            "border_unet has no classes whose answers could be pooled; `train` it with --folds K "
            f"--fold I. Received: arch={arch!r}"
        )
    if folds < 2:
        problems.append(f"--folds must be at least 2. Received: folds={folds}")
    refuse(problems)
    data = None if data is None else os.path.abspath(data)
    folder = out or default_folder(f"{arch}-crossval", datetime.datetime.now())
    how_on = way_on("crossval", folder)
    with SignalGuard(how_on), Run.create(folder, resume=resume) as run, own_session():
        source = {"path": data, "format": format, "target": target, "seed": seed}
        source |= {"on_bad": on_bad, "folds": folds, "fold": None}
        settled = set_precision(precision)
        if run.config.exists():
            check_same(run.read_config(), chosen, source, seed, settled)
        say(f"Cross-validation of {arch} over {folds} folds: {run.folder}")
        for fold in range(folds):
            with _saying(how_on):
                one, found = experiment.train(
                    arch,
                    data=data,
                    target=target,
                    format=format,
                    recipe=recipe,
                    out=fold_run(run, fold).folder,
                    settings=settings,
                    seed=seed,
                    precision=precision,
                    resume=True,
                    on_bad=on_bad,
                    folds=folds,
                    fold=fold,
                    say=run.log if fold else say,  # the others are told the same
                )
            if not run.config.exists():
                keep_network(run, chosen.borders)
                _write_config(run, chosen, source, seed, settled)
            if fold:
                say(f"Fold {fold}: {next(conclusion(found, one))}")
        return run, _pool(run, say)


def evaluate(folder, *, data=None, say=print):
    """Judges a run, or a cross-validation, once more, or on other data.

    Args:
        folder: of a run or a cross-validation. The ensemble of the latter's models is
            judged on images that none of them has learned from, at the thresholds that
            `metrics.json` names.
        data: path of another data set; `None`: the run's own; of a cross-validation the
            folds' answers are pooled once more, and of other data only pictures of equal
            pixels are refused: its own need not be there to be compared with.
        say: as for `experiment.train`.

    Returns:
        `(run, metrics)`.

    Raises:
        RunError, DataError: if the folder or the data is not what it should be.
    """
    config = Run.open(folder).read_config()
    if not config.get("folds"):
        return experiment.evaluate(folder, data=data, say=say)
    with Run.create(folder, resume=True) as run:  # for the lock
        if data is None:
            return run, _pool(run, say)
        Run.open(folder, "model", "metrics", "split")
        with own_session():
            set_precision("float32")
            model, thresholds = load(run.folder), _thresholds(run.read_metrics())
            classes_of(run, num_classes(model))
            recipe = recipe_of(config)
            recipe = dataclasses.replace(recipe, borders=borders_in(run, recipe.borders))
            learned = {row["sha256"]: row["image"] for row in read_csv(run.split)}
            table = other_table(data, config, learned, recipe)
            below = evaluation_folder(run, data)
            with Run.create(below, resume=below.exists()) as other:
                write_json(other.config, describe_other(config, data, table))
                found = evaluate_table(other, model, table, thresholds, seed=config["seed"])
        for line in conclusion(found, other):
            say(line)
        return other, found


def _write_config(run, recipe, source, seed, precision):
    """Writes down what is done, once the first fold has found the data sound."""
    machine = environment() | {"backend": keras.backend.backend()}
    config = {"arch": recipe.arch, "scale": recipe.scale, "recipe": recipe.settings()}
    config |= {"seed": seed, "precision": precision, "data": {"source": source}}
    write_json(run.config, config | {"command": machine["command"], "environment": machine})


@contextlib.contextmanager
def _saying(how_on):
    """Has a fold that is stopped say how all of them go on."""
    try:
        yield
    except Interrupted as error:
        raise Interrupted(error.signal_number, how_on) from None


def _pool(run, say):
    found = pool(run)
    for line in (*conclusion(found, run), spread(found)):
        say(line)
        run.log(line)
    return found


def _thresholds(found):
    """Those of the ensemble, as `evaluation.choose_thresholds` returns them."""
    masks = found.get("segmentation") or {}
    return {
        "label": 0.5 if found["threshold"] is None else found["threshold"],
        "label_origin": found["threshold_origin"],
        "mask": masks.get("threshold", 0.5),
        "mask_origin": masks.get("threshold_origin", "0.5, since no image had a true mask"),
        "box": (found.get("localisation") or {}).get("usual_box"),
        **map_thresholds(found),
    }
