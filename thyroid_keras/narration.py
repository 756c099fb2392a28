"""What the commands tell a person, in a few lines."""

from thyroid_keras.metrics import widest_interval
from thyroid_keras.recipes import RECIPES
from thyroid_keras.report.first_look import first_look_sentence
from thyroid_keras.report.shortcuts import against_shortcuts
from thyroid_keras.report.style import FEW_GROUPS, counted, counted_images, doubt, with_interval
from thyroid_keras.report.transfer import leak_sentence
from thyroid_keras.training import differences, in_vain

NAMES = {
    "roc_auc": "AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "dice": "Dice of images with a mask",
    "sector_iou": "IoU of the sector",
    "text_removed": "text removed",
    "text_in_sector_removed": "of that inside the sector",
    "sector_lost": "sector lost",
}
COMPARED = {
    "roc_auc": "AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "f1": "F1",
    "dice": "Dice",
}


def introduction(recipe, splits, precision, run, *, simulated):
    """Returns lines that say what is trained on what, `simulated` data or other."""
    table, counts = splits.train, {n: len(t) for n, t in splits.parts.items()}
    apart = f"split by {table.group_unit}"
    if splits.leaked is not None:
        apart = f"the latter kept apart by {table.group_unit}, the others mixed"
    target = "borders" if recipe.arch == "border_unet" else table.target
    yield (
        f"{recipe.arch} ({recipe.scale} recipe, {precision}) learns {target} from "
        f"{table.name}: {counts['train']} training, {counts['val']} validation and "
        f"{counts['test']} test images, {apart}"
    )
    if recipe.arch != "border_unet":
        yield f"Classes: {', '.join(table.class_names)}{_positive(table.class_names)}"
    paper = RECIPES[recipe.arch]["paper"]
    if changes := differences(recipe, paper, simulated=simulated):
        yield f"Unlike the paper: {'; '.join(changes)}"
    if changes := in_vain(recipe, RECIPES[recipe.arch][recipe.scale], simulated=simulated):
        yield f"Set, but without effect: {'; '.join(changes)}"
    for note in table.notes:
        yield f"Note: {note}"
    yield f"Run folder: {run.folder}"


def conclusion(found, run):
    """Returns lines that say how good the model is and where the report lies."""
    classes, names = run.read_config()["data"].get("class_names") or (), dict(NAMES)
    if len(classes) == 2:
        names["sensitivity"] += f" (of {classes[-1]})"
    parts = [f"{word} {_figure(found[name])}" for name, word in names.items() if name in found]
    yield (
        f"{found['split'].capitalize()}, "
        f"{counted_images(found['n'], found['groups'], found['group_unit'])}, 95 % intervals: "
        + ", ".join(parts)
    )
    if reason := doubt(found.get("roc_auc"), found["group_unit"]):
        yield f"The interval of the AUC is rough: {reason}"
    if "majority" in found and "sentence" in found["majority"]:
        yield found["majority"]["sentence"]
    if sentence := first_look_sentence(found):
        yield sentence
    if sentence := against_shortcuts(found):
        yield sentence
    if (places := found.get("localisation")) and places["n"]:
        yield (
            f"Boxes of what its maps agree on, {counted(places['n'], 'image')} with a true one: "
            f"mean IoU {_figure(places['iou'])}, above 0.5 in {_figure(places['correct'])}; "
            f"the validation images' mean box as every answer: {_figure(places['constant'])}"
        )
    if maps := found.get("maps"):
        own, centre = (
            f"pointing game {_figure(part['pointing'])}, Dice {_figure(part['dice'])}"
            for part in (maps, maps["centre"])
        )
        yield (
            f"Class maps against the masks, {counted(maps['n'], 'image')}: {own}; the image's "
            f"centre as every answer: {centre}"
        )
    if sentence := leak_sentence(found):
        yield sentence
    yield f"Report: {run.report}"


def _positive(class_names):
    """Says which of two classes is the positive one; "" of more."""
    return f"; of these the positive one is {class_names[-1]}" if len(class_names) == 2 else ""


def spread(found):
    """Returns a line on how far the folds of a cross-validation differ."""
    each = {n: found["mean_sd"][n] for n in NAMES if "mean" in found["mean_sd"].get(n, {})}
    parts = [
        f"{NAMES[name]} {of['mean']:.3f}" + (f" ± {of['sd']:.3f}" if of["sd"] is not None else "")
        for name, of in each.items()
    ]
    return f"Over the {len(found['folds'])} folds, {', '.join(parts)}: {found['mean_sd']['note']}"


def _figure(figure):
    if figure["value"] is None:
        return f"none ({figure['reason']})"
    interval = widest_interval(figure)
    return f"{figure['value']:.3f}" + (" ({:.3f} to {:.3f})".format(*interval) if interval else "")


def verdict(result):
    """Returns one sentence that says which run is better, by patients, and how sure that is."""
    difference, unit = result["differences"]["roc_auc"], result["group_unit"]
    n = counted_images(result["n"], result["groups"], unit)
    if difference["value"] is None or difference["ci95"] is None:
        return f"On {n} it cannot be said which run is better: {difference['reason']}."
    low, high = difference["ci95"]
    found = f"AUC {difference['value']:+.3f}, {low:+.3f} to {high:+.3f} by {unit}"
    if low > 0 or high < 0:
        better = "first" if low > 0 else "second"
        sentence = f"On {n} the {better} run tells the classes better ({found})"
    else:
        sentence = f"On {n} neither run is reliably better ({found})"
    if result["groups"] < result["n"]:
        sentence += (
            f"; the p-values take the images for independent, which those of one {unit} are not, "
            f"so this interval decides"
        )
    if result["groups"] < FEW_GROUPS:
        sentence += f"; with {counted(result['groups'], unit)} it is rough itself"
    return f"{sentence}."


def versus(result):
    """Returns lines that hold two runs against each other, from what `compare` found."""
    for name, run in zip(("First", "Second"), result["runs"], strict=True):
        yield f"{name + ':':<8}{run['folder']} ({run['arch']} on {run['data']}, {run['split']})"
        if "warning" in run:
            yield f"{'':<8}{run['warning']}"
    unit = result["group_unit"]
    yield f"Both on the same {counted_images(result['n'], result['groups'], unit)}"
    yield f"{'':<13}{'first':<22}{'second':<22}difference, 95 % interval by {unit}"
    for name, figure in result["differences"].items():
        each = "".join(f"{with_interval(run.get(name)):<22}" for run in result["runs"])
        yield f"{COMPARED[name]:<13}{each}{_signed(figure)}"
    test = result["delong"]
    p = f", p = {test['p_value']:.2g}, by image" if test.get("p_value") is not None else ""
    yield f"DeLong, difference in AUC: {_signed(test)}{p}"
    test = result["mcnemar"]
    yield (
        f"McNemar (exact), decisions: only the first right {test['only_a']}, only the second "
        f"{test['only_b']}, p = {test['p_value']:.2g}, by image"
    )
    yield f"They differ in {'; '.join(result['settings']) or 'no setting'}"
    yield result["conclusion"]


def _signed(figure):
    if figure["value"] is None:
        return f"none ({figure['reason']})"
    interval = figure.get("ci95")
    reach = " ({:+.3f} to {:+.3f})".format(*interval) if interval else " (no interval)"
    return f"{figure['value']:+.3f}{reach}"
