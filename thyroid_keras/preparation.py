"""Which recipe, which data, which split: settled before anything is trained."""

import dataclasses

import keras

from thyroid_keras.borders import border_remover, borders_in, with_borders
from thyroid_keras.data.audit import audit
from thyroid_keras.data.copies import augment_before_split, leave_no_validation
from thyroid_keras.data.phantom import LEAKING, PHANTOMS
from thyroid_keras.data.readers import FORMATS, read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.split_file import read_split, write_split
from thyroid_keras.data.splits import make_folds, make_splits
from thyroid_keras.recipes import RECIPES
from thyroid_keras.runs import RunError
from thyroid_keras.spelling import suggestion
from thyroid_keras.training import SettingError, override, seed_problems
from thyroid_keras.training.backend import gpu_capability

SCALES = ("quick", "paper")
ON_BAD = ("fail", "skip")
NOT_BY_STEPS = ("pixel_classifier",)
# fields of a recipe that say which pictures there are, and how they are read
READING = ("borders", "views", "phantom_patients", "phantom_views", "phantom_typicality",
           "phantom_text_leak")  # fmt: skip


def choose_recipe(arch, scale, settings, *, check=True):
    """Returns the recipe of an architecture with settings replaced.

    Args:
        arch: one of `RECIPES`.
        scale: one of `SCALES`; `None`: quick without a GPU.
        settings, check: see `training.override`.

    Raises:
        SettingError: if the architecture, the scale or a setting is unknown.
    """
    if arch not in RECIPES:
        known = ", ".join(sorted(RECIPES))
        meant = suggestion(arch, RECIPES)
        raise SettingError(f"--arch must be one of {known}.{meant} Received: arch={arch!r}")
    if scale is None:
        scale = "paper" if gpu_capability() else "quick"
    if scale not in SCALES:
        raise SettingError(f"--recipe must be one of {SCALES}. Received: recipe={scale!r}")
    return override(RECIPES[arch][scale], settings, check=check)


def recipe_of(config):
    """Returns the recipe by which the data of a finished run is read, from its `config.json`.

    Raises:
        RunError: if it is a cross-validation of bottleneck features, which has none.
    """
    if "bottleneck" in config:
        raise RunError(
            "A run of bottleneck features is judged once, out of fold, when it is made; `predict`, "
            f"`compare` and `export` take it. Received: arch={config['arch']!r}"
        )
    format = config["data"]["source"].get("format")
    if format not in (None, *FORMATS):
        raise RunError(f"{config.path}: no such format, restore it. Received: {format=!r:.40}")
    # unchecked: weights that a training began with need not be there any more
    recipe = choose_recipe(config["arch"], config["scale"], (), check=False)
    reading = {name: config["recipe"][name] for name in READING if name in config["recipe"]}
    height, width, channels = config["image_shape"]
    return dataclasses.replace(recipe, image_size=(height, width), channels=channels, **reading)


def read_table(source, recipe):
    """Reads the data set of a run, or simulates it.

    Args:
        source: dict of `path` (`None`: the phantom), `format`, `target`, `seed`,
            `on_bad`, `folds` and `fold`, and `augment_before_split` where that is true.
        recipe: `Recipe`.

    Returns:
        `SampleTable`, with what is wrong with it: it is the audit's to judge.

    Raises:
        DataError: if nothing can be read at all.
        ModelError: if the recipe's borders name no network that finds them.
    """
    path, format, target = source["path"], source["format"], source["target"]
    clean = border_remover(recipe.borders)  # before anything that takes longer
    if path is None and format is not None:
        raise DataError([f"--format is of --data, which is not given. Received: format={format!r}"])
    if path is None:
        table = _simulate(target or recipe.target, recipe, source["seed"])
    else:
        if target is None and recipe.target in targets_of(path, format):
            target = recipe.target
        table = read(path, format=format, target=target, on_bad="collect")
    return with_borders(table, clean, recipe.views)


def _simulate(target, recipe, seed):
    if target not in PHANTOMS:
        known = ", ".join(PHANTOMS)
        raise DataError([f"phantom: has no such labels; choose among {known}. Received: {target=}"])
    more = {"typicality": recipe.phantom_typicality} if target == "malignancy" else {}
    if recipe.phantom_text_leak:
        if target not in LEAKING:
            fault = (
                f"phantom: no words can be burned into it for these labels; choose among "
                f"{', '.join(LEAKING)}. Received: target={target!r}, "
                f"phantom_text_leak={recipe.phantom_text_leak}"
            )
            raise DataError([fault])
        more |= {"border": True, "text": True, "text_leak": recipe.phantom_text_leak}
    return PHANTOMS[target](recipe.phantom_patients, views=recipe.phantom_views, seed=seed, **more)


def audit_data(source, recipe, *, split=True):
    """Reads the data set of a run, or simulates it, and lets it pass only without faults.

    Args:
        source: see `read_table`.
        recipe: `Recipe`.
        split: whether the data is meant to be split.

    Returns:
        `data.audit.Audit`.

    Raises:
        DataError: with everything that is wrong and not left out by `on_bad` of the source.
        ModelError: if the recipe's `borders` names no network that finds them.
    """
    found = audit(read_table(source, recipe), num_folds=source.get("folds"), split=split)
    found.accept(source.get("on_bad", "fail"))
    return found


def targets_of(path, format=None):
    """Returns the kinds of labels of a data set, to choose among; empty where it has one."""
    try:
        name = format or recognise(path)
    except OSError:  # which `read` will say
        return ()
    return () if name is None else FORMATS[name].targets


def split_data(run, source, recipe, seed):
    """Splits the data of a run, or reads and verifies the split it was begun with.

    `split.csv` holds the pictures themselves and the groups of the data, of which those that
    share pictures are one here. Copies of a leak are made anew each time.

    Returns:
        `data.splits.Splits`.

    Raises:
        DataError: with everything that is wrong with the data or its split.
    """
    recipe = dataclasses.replace(recipe, borders=borders_in(run, recipe.borders))
    found, leaks = audit_data(source, recipe), source.get("augment_before_split", False)
    known = {"hashes": found.hashes, "copies": found.copies}
    if run.split.exists():
        splits = read_split(run.split, found.table, **known)
    else:
        if source["folds"] is None:
            splits = make_splits(found.table, seed=seed, **known)
        else:
            splits = make_folds(found.table, source["folds"], source["fold"], seed=seed, **known)
        splits = leave_no_validation(splits) if leaks or recipe.learns_from_validation else splits
        write_split(run.split, splits)
    splits = splits.joined()
    options = {"size": recipe.size, "channels": recipe.channels, "seed": seed}
    return augment_before_split(splits, **options) if leaks else splits


def run_problems(seed, resume, out):
    """Returns what is wrong with how a run is asked for, as a list of str."""
    found = seed_problems(seed)
    if resume and out is None:
        found.append("--resume needs the folder to go on with, --out DIR. Received: out=None")
    return found


def fold_problems(folds, fold):
    """Returns what is wrong, a list of str, unless `fold` is one of `folds`, or both are None."""
    if folds is None and fold is None:
        return []
    if folds is None or fold is None or folds < 2 or not 0 <= fold < folds:
        return [
            "--folds K (at least 2) and --fold I (0 to K-1) go together. "
            f"Received: folds={folds}, fold={fold}"
        ]
    return []


def check_devices(recipe, devices):
    """Refuses what several devices cannot learn together.

    Args:
        recipe: `Recipe`.
        devices: `training.Distribution`.

    Raises:
        SettingError: naming why.
    """
    if devices.num_devices == 1:
        return
    if recipe.batch_size < devices.num_devices:
        raise SettingError(
            f"--distribute: {devices.num_devices} devices cannot share a batch of fewer images. "
            f"Raise it with --set batch_size. Received: batch_size={recipe.batch_size}"
        )
    if recipe.arch in NOT_BY_STEPS:
        raise SettingError(
            f"--distribute: {recipe.arch} is fitted by scikit-learn, at once and on this host "
            f"alone; leave --distribute out. Received: arch={recipe.arch!r}"
        )


def check_same(config, recipe, source, seed, precision, *, flag="--set "):
    """Refuses to resume a run with other settings than it was begun with.

    Args:
        config: `config.json` of the run.
        recipe, source, seed, precision: of the command now given; `flag`: before its settings.

    Raises:
        RunError: naming everything that differs.
    """
    now = {
        "arch": recipe.arch,
        "seed": seed,
        "data": source,
        "precision": precision,
        "backend": keras.backend.backend(),
    }
    then = config | {
        "data": config["data"]["source"],
        "backend": config["environment"]["backend"],
    }
    changed = [name for name, value in now.items() if then[name] != value]
    for name, value in recipe.settings().items():
        value = list(value) if isinstance(value, tuple) else value
        if config["recipe"].get(name) != value:
            changed.append(flag + (name if flag.endswith(" ") else name.replace("_", "-")))
    if changed:
        raise RunError(
            "--resume goes on with a run as it was begun, but these differ: "
            f"{', '.join(changed)}. Repeat the first command with --resume added, or choose "
            "another --out."
        )
