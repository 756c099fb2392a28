"""What the commands tell a person, in a few lines."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.recipes import RECIPES
from thyroid_keras.report.style import counted
from thyroid_keras.training import differences


def introduction(recipe, splits, precision, run):
    """Returns lines that say what is trained on what."""
    table, counts = splits.train, {n: len(t) for n, t in splits.parts.items()}
    yield (
        f"{recipe.arch} ({recipe.scale} recipe, {precision}) learns {table.target} from "
        f"{table.name}: {counts['train']} training, {counts['val']} validation and "
        f"{counts['test']} test images, split by {table.group_unit}"
    )
    paper = RECIPES[recipe.arch]["paper"]
    if changes := differences(recipe, paper):
        yield f"Unlike the paper: {'; '.join(changes)}"
    for note in table.notes:
        yield f"Note: {note}"
    yield f"Run folder: {run.folder}"


def conclusion(found, run):
    """Returns lines that say how good the model is and where the report lies."""
    names = {"roc_auc": "AUC", "accuracy": "accuracy", "sensitivity": "sensitivity"}
    names |= {"specificity": "specificity", "dice": "Dice of images with a mask"}
    parts = [f"{word} {_figure(found[name])}" for name, word in names.items() if name in found]
    yield (
        f"Test, {counted(found['n'], 'image')} of "
        f"{counted(found['groups'], found['group_unit'])}, 95 % intervals: " + ", ".join(parts)
    )
    if "majority" in found and "sentence" in found["majority"]:
        yield found["majority"]["sentence"]
    yield f"Report: {run.report}"


def _figure(figure):
    if figure["value"] is None:
        return f"none ({figure['reason']})"
    interval = widest_interval(figure)
    return f"{figure['value']:.3f}" + (" ({:.3f} to {:.3f})".format(*interval) if interval else "")
