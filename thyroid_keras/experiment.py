"""One training from the choice of data to the report; what `train` and `evaluate` do."""

import contextlib
import dataclasses
import datetime
import os

import keras

from thyroid_keras.answers import num_classes
from thyroid_keras.borders import borders_in, finds_borders, keep_network
from thyroid_keras.data.samples import DataError
from thyroid_keras.loading import float32_twin, load
from thyroid_keras.narration import conclusion, introduction
from thyroid_keras.other_data import describe_other, evaluation_folder, other_table
from thyroid_keras.preparation import (
    check_devices,
    check_same,
    choose_recipe,
    fold_problems,
    recipe_of,
    run_problems,
    split_data,
)
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recording import recorded, teller
from thyroid_keras.run_evaluation import evaluate_run
from thyroid_keras.runs import (
    Run,
    atomic,
    classes_of,
    default_folder,
    environment,
    way_on,
    write_json,
)
from thyroid_keras.signals import SignalGuard
from thyroid_keras.training import (
    SettingError,
    differences,
    find_devices,
    make_deterministic,
    own_session,
    refuse,
    set_precision,
)


def train(
    arch,
    *,
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
    folds=None,
    fold=None,
    augment_before_split=False,
    distribute=None,
    say=print,
):
    """Trains an architecture, judges it on the test split, and leaves a run folder.

    Args:
        arch: name, one of `RECIPES`.
        data: path of a data set; `None`: the phantom.
        target: which labels, where the data has several; `None`: the recipe's choice.
        format: of the data; `None`: recognised by its layout.
        recipe: `"quick"` or `"paper"`; `None`: quick without a GPU.
        out: run folder; `None`: a new one below `runs/`.
        settings: sequence of `"field=value"`, fields of the recipe.
        seed: int >= 0, of splits, weights and batches.
        precision: see `training.set_precision`.
        resume: whether to go on with the run in `out`.
        on_bad: `"fail"`: any fault in the data ends the run before it starts; `"skip"`:
            faulty samples are left out and counted.
        folds: int >= 2: the test set is one of so many grouped folds; `None`: one split.
        fold: int in [0, folds), which of them.
        augment_before_split: bool, whether to reproduce a leak on purpose, see
            `data.copies`: the network learns from, is chosen by and is tested on copies of the
            same images, which is wrong, and also on the test split, which is right.
        distribute: sequence of str: all devices of this host if empty, else `"hosts=..."` and
            `"process=..."`, see `training.find_devices`; `None`: one device.
        say: function of one line of text, told what a person wants to know.

    Returns:
        `(run, metrics)`: the `Run` and what is in its `metrics.json`; `(None, None)` in all
        processes but the first.

    Raises:
        SettingError, DataError, RunError: if the user's input is wrong.
        Diverged, Interrupted: if the training did not reach its end.
    """
    problems = run_problems(seed, resume, out) + fold_problems(folds, fold)
    if augment_before_split and arch == "border_unet":
        problems.append(
            "--augment-before-split is for networks that name classes; border_unet finds borders. "
            f"Received: arch={arch!r}"
        )
    if problems:  # then those of the settings, too, at once
        try:
            choose_recipe(arch, recipe, settings)
        except SettingError as error:
            problems += str(error).splitlines()
    refuse(problems)
    devices = find_devices(distribute, seed)  # before anything asks JAX for them
    recipe = choose_recipe(arch, recipe, settings)
    data = None if data is None else os.path.abspath(data)
    folder = out or default_folder(arch, datetime.datetime.now())
    guard = SignalGuard(way_on("train", folder))
    say = say if devices.first else (lambda line: None)
    with guard, devices, contextlib.ExitStack() as stack:
        with devices.agreeing():
            check_devices(recipe, devices)
            own = stack.enter_context(devices.own(folder))
            run = stack.enter_context(Run.create(own, resume=resume and devices.first))
            stack.enter_context(own_session())
            source = {"path": data, "format": format, "target": target, "seed": seed}
            source |= {"on_bad": on_bad, "folds": folds, "fold": fold}
            source |= {"augment_before_split": True} if augment_before_split else {}
            precision = set_precision(precision)
            begun = run.read_config() if run.config.exists() else {}
            if begun:
                check_same(begun, recipe, source, seed, precision)
            else:  # killed before it was told how the split came about
                run.split.unlink(missing_ok=True)
            finished = begun.get("finished") and run.is_whole()
        if devices.told(b"finished" if finished else b""):
            say(f"Finished before, and left as it is. Report: {run.report}")
            return (run, run.read_metrics()) if devices.first else (None, None)
        with devices.agreeing() as facts:
            splits = split_data(run, source, recipe, seed)
            if problems := recipe.data_problems(splits):
                if not begun:  # lest it stand in the way of another command
                    run.split.unlink()
                raise DataError(problems)
            keep_network(run, recipe.borders)
            facts |= {"settings": recipe.settings(), "precision": precision, "seed": seed}
            facts["images"] = splits.listing()
        make_deterministic(seed, jit_compile=recipe.jit_compile)
        config = _config(run, recipe, splits, source, seed, precision)
        config["environment"]["devices"] = devices.num_devices
        config["seconds"] = begun.get("seconds", 0.0)
        if begun:  # with what there was to say of the split when it was made
            config["data"]["notes"] = begun["data"]["notes"]
        write_json(run.config, config)
        tell = teller(run, say)
        tell(*introduction(recipe, splits, precision, run, simulated=data is None))
        tell(*devices.introduction())
        with devices.scope():
            training = recorded(run, recipe, config, guard, tell, devices)
            model = recipe.procedure(recipe, splits, training)
        model = float32_twin(model)
        devices.leave()
        if not devices.first:
            return None, None
        with atomic(run.model) as temporary:
            model.save(temporary)
        write_json(run.config, config | {"parameters": model.count_params()})
        shortcuts = fold in (None, 0) and not augment_before_split
        found = evaluate_run(run, model, splits, seed=seed, shortcuts=shortcuts)
        write_json(run.config, run.read_config() | {"finished": True})
        tell(*conclusion(found, run))
        return run, found


def evaluate(folder, *, data=None, say=print):
    """Judges the model of a run once more, on its own test split or on other data.

    Args:
        folder: of the run.
        data: path of another data set, all of which is the test set; the thresholds are
            still chosen on the run's own validation split. `None`: the run's own.
        say: as in `train`.

    Returns:
        `(run, metrics)`.

    Raises:
        RunError, DataError: if the run or the data is not what it should be.
    """
    Run.open(folder, "model", "split")
    with Run.create(folder, resume=True) as run, own_session():  # for the lock
        set_precision("float32")
        model = load(folder)
        if not finds_borders(model):
            classes_of(run, num_classes(model))
        config = run.read_config()
        recipe = recipe_of(config)
        recipe = dataclasses.replace(recipe, borders=borders_in(run, recipe.borders))
        splits = split_data(run, config["data"]["source"], recipe, config["seed"])
        if data is None:
            return run, _judge(run, model, splits, config, say)
        seen = splits.train.samples + splits.val.samples
        learned = {splits.hashes[sample.name]: sample.name for sample in seen}
        table = other_table(data, config, learned, recipe, seen)
        splits = dataclasses.replace(splits, test=table, leaked=None)
        below = evaluation_folder(run, data)
        with Run.create(below, resume=below.exists()) as other:
            write_json(other.config, describe_other(config, data, table))
            return other, _judge(other, model, splits, config, say)


def _judge(run, model, splits, config, say):
    found = evaluate_run(run, model, splits, seed=config["seed"])
    for line in conclusion(found, run):
        say(line)
    return found


def _config(run, recipe, splits, source, seed, precision):
    table = splits.train
    paper, simulated = RECIPES[recipe.arch]["paper"], source["path"] is None
    changes = differences(recipe, paper, simulated=simulated)
    machine = environment()
    return {
        "arch": recipe.arch,
        "scale": recipe.scale,
        "data": table.facts() | {"source": source},
        "recipe": recipe.settings(),
        "seed": seed,
        "precision": precision,
        "image_shape": [*recipe.size, recipe.channels],
        "command": machine["command"],
        "environment": machine | {"backend": keras.backend.backend()},
        "paper_results": {
            "source": recipe.paper,
            "figures": recipe.reported(recipe) if recipe.reported else {},
            "differences": ["other images", *changes],
        },
    }
