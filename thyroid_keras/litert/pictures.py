"""Pictures that tell what range a network's activations take, and whether files agree."""

import dataclasses

import numpy as np

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.store import PixelStore
from thyroid_keras.inspection import open_pictures
from thyroid_keras.prediction import input_size
from thyroid_keras.preparation import recipe_of, split_data
from thyroid_keras.runs import Run

CALIBRATION, TRIAL = 128, 200  # at the most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images as a network takes them, and what they are.

    Args:
        calibration: float32 `(N, H, W, C)` in [0, 1].
        trial: likewise `(M, H, W, C)`.
        calibrated_with, tried_on: e.g. `"128 training images"`.
    """

    calibration: np.ndarray
    trial: np.ndarray
    calibrated_with: str
    tried_on: str


def read_pictures(run, model, calibration=None):
    """Reads a run's own pictures, those of its training and of its test split, or others.

    Args:
        run: `Run`.
        model: its `keras.Model`.
        calibration: path of a picture or of a folder of pictures, to be used for both
            instead; `None`: the run's.

    Returns:
        `Pictures`.

    Raises:
        RunError: if the run's own are wanted and its `split.csv` is missing.
        DataError: with everything that is wrong with them.
    """
    config = run.read_config()
    if calibration is not None:
        store = open_pictures([calibration], model, config["data"]["class_names"], run)
        table = store.table
        used, tried = (_read(table, model, most) for most in (CALIBRATION, TRIAL))
        word = "given pictures"
        return _describe(used, tried, word, word)
    try:
        if "bottleneck" in config:
            return _of_folds(model, config)
        Run.open(run.folder, "split")  # else it would be made anew, in a folder that is only read
        splits = split_data(run, config["data"]["source"], recipe_of(config), config["seed"])
    except DataError as error:
        ways = (
            f"{run.folder}: its data is needed to calibrate; or give pictures: --calibration PATH"
        )
        raise DataError([*error.problems, ways]) from error
    used, tried = _read(splits.train, model, CALIBRATION), _read(splits.test, model, TRIAL)
    return _describe(used, tried, "training images", "test images")


def _of_folds(model, config):
    """Those of a model of all folds, which none is held out of: one fold, and the others."""
    from thyroid_keras.transfer.data import deal  # with it comes what else reads SVMs
    from thyroid_keras.transfer.settings import Settings

    fields = [f.name for f in dataclasses.fields(Settings)]
    dealt = deal(
        config["bottleneck"]["sets"], Settings(**{name: config["recipe"][name] for name in fields})
    )
    used, tried = (
        _read(dealt.table.select(np.flatnonzero(of)), model, most)
        for of, most in ((dealt.folds > 0, CALIBRATION), (dealt.folds == 0, TRIAL))
    )
    return _describe(used, tried, "of its images", "others of its images")


def _read(table, model, most):
    """At most so many images of a table, evenly from its beginning to its end."""
    chosen = np.linspace(0, len(table) - 1, min(len(table), most)).astype(int)
    store = PixelStore(table.select(chosen), *input_size(model))
    return store.read(np.arange(len(chosen)))[0] * GREY_LEVEL


def _describe(used, tried, calibrated_with, tried_on):
    return Pictures(
        calibration=used,
        trial=tried,
        calibrated_with=f"{len(used)} {calibrated_with}",
        tried_on=f"{len(tried)} {tried_on}",
    )
