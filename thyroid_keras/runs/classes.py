"""What a run says of its classes, held against its model."""

from thyroid_keras.runs.files import RunError


def classes_of(run, num_classes):
    """Returns the names of a run's classes, a list of str.

    Args:
        run: `Run`.
        num_classes: of its model.

    Raises:
        RunError: if the model tells more classes, or fewer, apart.
    """
    names = run.read_config()["data"]["class_names"]
    if len(names) != num_classes:
        raise RunError(
            f"{run.config}: names {len(names)} classes, and {run.model.name} tells {num_classes} "
            f"apart. Restore the file or repeat the run. Received: class_names={names!r:.200}"
        )
    return names


def threshold_of(run, num_classes):
    """Returns the threshold of the last of two classes; `None` where there are more.

    Args:
        run: `Run`.
        num_classes: of its model.

    Raises:
        RunError: if there are two classes and no threshold.
    """
    threshold = run.read_metrics()["threshold"]
    if num_classes == 2 and threshold is None:
        raise RunError(
            f"{run.metrics}: two classes need a threshold. Evaluate the run once more. "
            "Received: threshold=None"
        )
    return threshold
