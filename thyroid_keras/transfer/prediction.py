"""A bottleneck run on somebody's pictures."""

from thyroid_keras.inspection import open_pictures
from thyroid_keras.loading import load as load_network
from thyroid_keras.metrics import decide
from thyroid_keras.runs import Run, require_table, threshold_of, write_csv
from thyroid_keras.spelling import counted
from thyroid_keras.transfer.experiment import CLASSIFIER, NETWORK
from thyroid_keras.transfer.features import features_of
from thyroid_keras.transfer.svm import load


def is_bottleneck(folder):
    """Whether a folder holds a classifier of features, as `bottleneck` leaves it."""
    return (Run(folder).folder / CLASSIFIER).exists()


def predict(folder, images, *, out="predictions.csv", say=print):
    """Predicts pictures by the classifier of a bottleneck run: a CSV row each.

    Args:
        folder: of the run.
        images: paths of pictures, or of folders of pictures.
        out: `.csv` to write, none of a run's own: image, predicted class, and a probability per
            class.
        say: function of one line of text.

    Returns:
        List of the rows.

    Raises:
        RunError, ModelError: if the run is not finished or damaged, or `out` cannot be
            written.
        DataError: with every file that is not a picture; nothing is written then.
    """
    require_table(out)
    run = Run.open(folder, "metrics")
    network, fitted = load_network(run.folder / NETWORK), load(run.folder / CLASSIFIER)
    store = open_pictures(images, network, fitted.class_names, run)
    probabilities = fitted.probabilities(features_of(network, store, "Predicting"))
    threshold = threshold_of(run, len(fitted.class_names))
    decided = decide(probabilities, threshold)  # as an export does
    rows = [
        {"image": store.table.samples[i].name, "predicted": fitted.class_names[decided[i]]}
        | {f"p_{n}": p for n, p in zip(fitted.class_names, probabilities[i], strict=True)}
        for i in range(len(store.table))
    ]
    write_csv(out, rows)
    say(f"{counted(len(rows), 'picture')} predicted: {out}")
    return rows
