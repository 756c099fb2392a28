"""Where the networks of a table look: the paper's figures of maps and boxes."""

import dataclasses

from thyroid_keras.data.store import PixelStore
from thyroid_keras.examples import read_examples
from thyroid_keras.loading import load
from thyroid_keras.preparation import recipe_of, split_data
from thyroid_keras.report import map_sheet, save_figure
from thyroid_keras.report.gallery import draw_panel, map_columns
from thyroid_keras.report.style import BLUE, VERMILION, counted, new_figure, plain
from thyroid_keras.runs import Run

PANEL_INCHES = 2.2
RULE = "of each {what} the first test image of the first {patients}, right or wrong"


def write_sheets(run, table, results):
    """Draws `plots/<name>.png` for each of a table's sheets.

    Args:
        run: `Run` of the table's folder.
        table: `Table`.
        results: sequence of `Result`.

    Returns:
        dict from the picture's name to its caption.
    """
    whole = {result.row.name: result for result in results if result.found}
    sheets = {sheet: whole[sheet.row] for sheet in table.sheets if sheet.row in whole}
    if not sheets:
        return {}
    chosen = {sheet: choose_by_class(result, sheet.per_class) for sheet, result in sheets.items()}
    names = dict.fromkeys(name for images in chosen.values() for name in images)
    test = named_samples(Run(next(iter(sheets.values())).folder), list(names))
    captions = {}
    for sheet, result in sheets.items():
        save_figure(draw_sheet(sheet, result, chosen[sheet], test), run.plots / f"{sheet.name}.png")
        captions[sheet.name] = caption_of(sheet, result)
    return captions


def choose_by_class(result, per_class):
    """Chooses test images by rule: of each class the first of each of the first patients.

    Args:
        result: `Result`.
        per_class: int >= 1, how many patients.

    Returns:
        List of names, class by class; where images have true boxes, of the classes of those.
    """
    answers = result.answers
    rows = (result.found.get("localisation") or {}).get("per_class")
    classes = [row["class"] for row in rows] if rows else answers.class_names
    chosen = []
    for name in classes:
        of_class = answers.labels == answers.class_names.index(name)
        pairs = zip(answers.groups[of_class], answers.images[of_class], strict=True)
        first = {}
        for group, image in pairs:
            first.setdefault(group, image)
        chosen += list(first.values())[:per_class]
    return chosen


def draw_sheet(sheet, result, names, test=None):
    """Draws images with what the network of a row sees in them.

    Args:
        sheet: `Sheet`.
        result: `Result` of its row.
        names: of test images.
        test: `SampleTable` that holds them; `None`: they are read once more.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        DataError: if the data is no longer what the run saw.
    """
    run, answers = Run(result.folder), result.answers
    test = test or named_samples(run, names)
    place = {sample.name: i for i, sample in enumerate(test.samples)}
    known = {name: i for i, name in enumerate(answers.images)}
    probabilities = answers.probabilities[[known[sample.name] for sample in test.samples]]
    *size, channels = run.read_config()["image_shape"]
    store = PixelStore(test, tuple(size), channels)
    picks = [(answers.class_names[answers.labels[known[n]]], place[n]) for n in names]
    examples = read_examples(
        load(result.folder), store, picks, probabilities, {"label": 0.5}, boxes=sheet.boxes
    )
    examples = [
        dataclasses.replace(e, maps={n: m for n, m in e.maps.items() if n in sheet.maps})
        for e in examples
    ]
    if sheet.per_class == 1:
        return map_sheet(examples, class_names=answers.class_names)
    return _grid(examples, answers.class_names)


def _grid(examples, class_names):
    """A row per class, a column per patient, in each place the image under its last map."""
    rows = {}
    for example in examples:
        rows.setdefault(example.label, []).append(example)
    draw = map_columns(examples)[-1]
    height, width = examples[0].image.shape[:2]
    panel_height = PANEL_INCHES * height / width + 0.25
    columns = max(len(shown) for shown in rows.values())
    size = PANEL_INCHES * columns + 0.4, panel_height * len(rows)
    figure, axes = new_figure(*size, len(rows), columns)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, (label, shown) in zip(axes, rows.items(), strict=True):
        for ax, example in zip(line, shown, strict=False):
            ax.set_axis_on()
            said = draw_panel(ax, example, draw).partition(", ")[2]
            right = example.predicted == label
            said += "" if right else f", called {class_names[example.predicted]}"
            ax.set_xlabel(plain(said), fontsize=8, color=BLUE if right else VERMILION)
        line[0].set_ylabel(plain(class_names[label], 22), fontsize=9)
    return figure


def caption_of(sheet, result):
    """Returns what a reader must know of a sheet: what it shows, and by which rule."""
    unit = result.config["data"]["group_unit"]
    patients = unit if sheet.per_class == 1 else counted(sheet.per_class, unit)
    boxed = (result.found.get("localisation") or {}).get("per_class")
    rule = RULE.format(what="class with a true box" if boxed else "class", patients=patients)
    boxes = " Red: the box that the maps give; blue: the true one." if sheet.boxes else ""
    return f"{sheet.title}. Chosen by rule: {rule}.{boxes}"


def named_samples(run, names):
    """Returns the named test images of a run as a `SampleTable`, verified, in that order."""
    config = run.read_config()
    source = config["data"]["source"]
    test = split_data(run, source, recipe_of(config), config["seed"]).test
    place = {sample.name: i for i, sample in enumerate(test.samples)}
    return test.select([place[name] for name in names])
