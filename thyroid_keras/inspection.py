"""A trained model on somebody's pictures: opening them, and what `predict` does."""

import os
import re
from pathlib import Path

import numpy as np

from thyroid_keras.answers import num_classes
from thyroid_keras.borders import border_remover, borders_in, finds_borders, with_borders
from thyroid_keras.calcifications import rows_of, survey, with_numbers
from thyroid_keras.data.frames import open_paths
from thyroid_keras.data.picture_files import find_pictures
from thyroid_keras.data.samples import DataError, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import load
from thyroid_keras.metrics import decide
from thyroid_keras.prediction import input_size
from thyroid_keras.prediction import predict as predict_store
from thyroid_keras.runs import (
    Run,
    RunError,
    classes_of,
    require_table,
    require_writable,
    threshold_of,
    write_csv,
    write_png,
)
from thyroid_keras.spelling import counted

MASK_NAME = re.compile(r"\d{4,}_.*_mask\.png", re.DOTALL)
LONGEST = 200  # bytes of the name of a picture; a file's may have 255


def predict(folder, images, *, out="predictions.csv", say=print):
    """Predicts pictures: a CSV row each, and a mask each where the network draws one.

    Args:
        folder: of the run, or of a cross-validation, whose models answer together.
        images: paths of pictures, or of folders of pictures.
        out: `.csv` to write, none of a run's own: image, predicted class, a probability per
            class (of several models the mean, and their SD), and the share of the picture
            inside the mask. Masks (0 and 255, of the network's size) go into a folder of the
            same name ending in `_masks`, and what `calcifications.measure` finds in them into
            a CSV ending in `_calcifications.csv`. What a former call left there is replaced.
        say: function of one line of text.

    Returns:
        List of the rows.

    Raises:
        RunError: if the run is not finished, or `out` cannot be written.
        DataError: with every file that is not a picture; nothing is written then.
        ModelError: if a model, or what removes the borders, is missing, damaged or harmful.
    """
    require_table(out)
    run = Run.open(folder, "model", "metrics")
    model = fold_batch_norm(load(folder))
    store = open_pictures(images, model, run.read_config()["data"]["class_names"], run)
    class_names = classes_of(run, num_classes(model))
    threshold = threshold_of(run, len(class_names))
    mask_threshold = run.read_metrics().get("segmentation", {}).get("threshold", 0.5)
    masks = Path(f"{os.path.splitext(out)[0]}_masks")
    measured = f"{os.path.splitext(out)[0]}_calcifications.csv"
    if isinstance(model.output, dict) and "mask" in model.output:
        require_writable(masks / "mask.png", measured)
    rows, surveys = [], []
    for batch in predict_store(model, store):
        decided = decide(batch.probabilities, threshold)
        for row, i in enumerate(batch.indices):
            name = store.table.samples[i].name
            rows.append({"image": name, "predicted": class_names[decided[row]]})
            for prefix, values in (("p", batch.probabilities), ("sd", batch.spread)):
                if values is not None:
                    named = zip(class_names, values[row], strict=True)
                    rows[-1] |= {f"{prefix}_{n}": value for n, value in named}
            if batch.masks is not None:
                mask = batch.masks[row] >= mask_threshold
                path = masks / f"{stem(name, i)}_mask.png"
                write_png(path, mask.astype(np.uint8) * 255)
                rows[-1] |= {"mask_share": float(mask.mean()), "mask": path.name}
        if batch.masks is not None:
            surveys += survey(batch, store, mask_threshold)
    rows = with_numbers(rows, surveys)
    write_csv(out, rows)
    _remove_masks(masks, but={row.get("mask") for row in rows})
    say(f"{counted(len(rows), 'picture')} predicted: {out}")
    if surveys:
        write_csv(measured, rows_of(surveys, store.table))
        say(f"Masks: {masks}/; their calcifications: {measured}")
    else:
        Path(measured).unlink(missing_ok=True)  # of a former call
    return rows


def open_pictures(paths, model, class_names, run):
    """Opens pictures of unknown class, decoded as for training.

    Args:
        paths: of pictures or of folders of pictures.
        model: the `keras.Model` that they are for.
        class_names: of the model.
        run: `Run` of the model, with whose borders and views they are read.

    Returns:
        `PixelStore`.

    Raises:
        RunError: if the model names no class.
        DataError: with every path that is missing, empty or no picture.
        ModelError: if the network that removes the borders is missing or damaged.
    """
    files = find_pictures(paths)
    if finds_borders(model):
        raise RunError(
            f"{run.folder}: its network finds borders and names no class. Pictures without "
            "borders: python -m thyroid_keras.borders IMAGE --method RUN. "
            f"Received: folder={str(run.folder)!r}"
        )
    size, channels = input_size(model)
    samples, problems = open_paths(files)
    if problems:
        raise DataError(problems)
    table = SampleTable(name="pictures", class_names=tuple(class_names), samples=samples)
    recipe = run.read_config().get("recipe") or {}
    clean = border_remover(borders_in(run, recipe.get("borders", "none")))
    return PixelStore(with_borders(table, clean, recipe.get("views", "keep")), size, channels)


def stem(name, index):
    """A file name that no two pictures share."""
    base = os.path.splitext(os.path.basename(name))[0]
    while len(base.encode(errors="surrogatepass")) > LONGEST:
        base = base[:-1]
    return f"{index + 1:04d}_{base}"


def remove_drawings(folder, kinds, names, *, but):
    """Removes the drawings `<stem>_<kind>.png` of pictures that `but` does not name.

    Args:
        folder: where they are.
        kinds: sequence of str.
        names: of the pictures that were drawn, in their order.
        but: of those that are drawn now, likewise.
    """
    stems, kept = ({stem(name, i) for i, name in enumerate(of)} for of in (names, but))
    for former in stems - kept:
        for kind in kinds:
            path = Path(folder) / f"{former}_{kind}.png"
            if path.is_file():
                path.unlink()


def _remove_masks(folder, but):
    """Removes the masks of a former call, which no row names any more."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in but and MASK_NAME.fullmatch(path.name) and path.is_file():
            path.unlink()
