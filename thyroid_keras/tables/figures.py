"""The pictures beside a table: ROC curves of its rows, and where its networks look."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import attention_maps, evidence_map, grad_cam
from thyroid_keras.loading import load
from thyroid_keras.recipes import GRAD_CAM
from thyroid_keras.report import Example, choose_examples, gallery, save_figure
from thyroid_keras.report.plots import roc_band
from thyroid_keras.report.results import read_answers
from thyroid_keras.report.style import CYCLE, GREY, new_figure, plain, unit_axes, with_interval
from thyroid_keras.runs import Run
from thyroid_keras.tables.curves import write_curves
from thyroid_keras.tables.sheets import named_samples, write_sheets

STYLES = ("-", "--", "-.", (0, (1, 1)))
RULE = "the surest right answer of either class, the surest wrong one and the least sure one"


def write_figures(run, table, results):
    """Draws `plots/roc.png` for two classes, and the maps and sheets that the table wants.

    Args:
        run: `Run` of the table's folder.
        table: `Table`.
        results: sequence of `Result`.

    Returns:
        dict from the picture's name to its caption; empty without any figures.
    """
    whole = [result for result in results if result.found]
    captions = {}
    if whole and len(whole[0].answers.class_names) == 2:
        save_figure(roc_by_row(whole, table), run.plots / "roc.png")
        captions["roc"] = (
            f"ROC curves by {table.stub}. AUC with its 95 % interval, resampled by "
            f"{whole[0].config['data']['group_unit']}; the band, pointwise, is that of the black "
            "curve."
        )
    for comparison in table.comparisons:
        shown = [result for result in whole if result.row.name in comparison.rows]
        if shown:
            judge = next((r for r in shown if r.row.name == table.reference), shown[-1])
            gates = {r.row.label: (r, comparison.gate_of(r.row.name)) for r in shown}
            save_figure(draw_maps(gates, judge), run.plots / f"{comparison.name}.png")
            captions[comparison.name] = _caption(comparison, gates, judge)
    return captions | write_sheets(run, table, results) | write_curves(run, table, results)


def _caption(comparison, columns, judge):
    gates, positive = {gate for _, gate in columns.values()}, judge.answers.class_names[-1]
    told = "Each map has its own scale: bright is where this network looks most."
    if None in gates:
        told = f"Warm: speaks for {positive}; cold: against it; each map has its own scale about 0."
    if len(gates) > 1:
        kinds = {None: "class map", GRAD_CAM: "Grad-CAM"}
        named = (f"{label}: {kinds.get(gate, gate)}" for label, (_, gate) in columns.items())
        told = f"Of a gate or of Grad-CAM, bright is most. Class map, {told.lower()} Shown are "
        told += f"{'; '.join(named)}."
    return (
        f"{comparison.title}. Images are chosen by rule, from the test images and answers of the "
        f"row {judge.row.label}{', first fold' if _folded(judge) else ''}: {RULE}. {told}"
    )


def roc_by_row(results, table):
    """Draws one ROC curve per row, with its AUC and interval; the reference in black.

    Args:
        results: sequence of `Result` with answers to two classes.
        table: their `Table`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, axes = new_figure(6.4, 6.4)
    ax = axes[0, 0]
    ax.set_aspect("equal")
    unit_axes(ax, "1 − specificity (false alarms / negatives)", "Sensitivity (found / positives)")
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    black = next((r for r in results if r.row.name == table.reference), results[-1])
    for turn, result in enumerate(results):
        truth, scores = result.answers.labels == 1, result.answers.probabilities[:, 1]
        x, y, _ = metrics.roc_points(truth, scores)
        style = {"color": CYCLE[turn % len(CYCLE)], "linestyle": STYLES[turn % len(STYLES)]}
        if result is black:
            style = {"color": "black", "linestyle": "-"}
            low, high = roc_band(truth, scores, result.answers.groups)
            ax.fill_between(np.linspace(0, 1, len(low)), low, high, color=GREY, alpha=0.2)
        label = f"{plain(result.row.label, 28)}: AUC {with_interval(result.found['roc_auc'])}"
        ax.plot(x[0], y[0], linewidth=1.8, label=label, **style)
    stub = plain(table.stub)
    ax.set_title(f"ROC by {stub}, {len(truth)} images, {truth.sum()} positive", fontsize=11)
    ax.legend(loc="lower right", fontsize=9, framealpha=0.9, title=stub)
    return figure


def draw_maps(columns, judge, names=None):
    """Draws a row per image: image, true outline, and maps of gates of one or more networks.

    Args:
        columns: dict from the name of a column to `(result, gate)`: the `Result` whose
            network it is, and what `recipes.Comparison.gate` says.
        judge: the `Result` on whose answers the images are chosen, and whose answers are
            written above them; of folds, the first.
        names: of test images of `judge`; `None`: the surest right answer of either class, the
            surest wrong one and the least sure one.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        DataError: if the data is no longer what the run saw.
    """
    run = _run(judge)
    answers, picks, threshold = _picks(run, names)
    test = named_samples(run, [answers.images[i] for _, i in picks])
    images, masks = _pixels(test, run)
    wanted = {}
    for result, gate in columns.values():
        wanted.setdefault(_run(result).folder, set()).add(gate)
    maps = {folder: _maps(Run(folder), test, gates) for folder, gates in wanted.items()}
    shown = {name: maps[_run(r).folder].get(gate) for name, (r, gate) in columns.items()}
    weak = "weak" in (test.mask_source or "")
    examples = [
        Example(
            name=answers.images[i],
            kind=kind,
            image=images[row],
            label=int(answers.labels[i]),
            predicted=int(answers.predicted[i]),
            probabilities=answers.probabilities[i],
            threshold=threshold,
            mask=None if test.samples[row].mask is None else masks[row, ..., 0] >= 128,
            maps={name: values[row] for name, values in shown.items() if values is not None},
            signed=tuple(name for name, (_, gate) in columns.items() if gate is None),
            mask_name="weak mask" if weak else "true mask",
        )
        for row, (kind, i) in enumerate(picks)
    ]
    return gallery(examples, class_names=answers.class_names)


def _maps(run, test, gates):
    """The maps of a run's network, by gate; see `recipes.Comparison.gate`."""
    model, pixels = load(run.folder), _pixels(test, run)[0] * GREY_LEVEL
    shown_class = 1 if len(test.class_names) == 2 else test.labels
    found = attention_maps(model, pixels) if gates - {None, GRAD_CAM} else {}
    for gate, of_class in ((None, evidence_map), (GRAD_CAM, grad_cam)):
        if gate in gates:
            found[gate] = of_class(model, pixels, shown_class)
    return found


def _picks(run, names):
    """The run's answers, `(kind, index)` of those to be shown, and the threshold."""
    found = run.read_metrics()
    answers = read_answers(run, run.read_config()["data"]["class_names"], found["split"])
    threshold = 0.5 if found["threshold"] is None else found["threshold"]
    if names is not None:
        picks = [("chosen", list(answers.images).index(name)) for name in names]
        return answers, picks, threshold
    picks = choose_examples(answers.labels, answers.probabilities, threshold=threshold)
    kinds = [kind for kind, _ in picks]
    first = [i for i, k in enumerate(kinds) if k.startswith("right") or k not in kinds[:i]]
    return answers, [picks[i] for i in first], threshold


def _pixels(table, run):
    """Images and masks of a table, as the network of a run takes them."""
    *size, channels = run.read_config()["image_shape"]
    return PixelStore(table, tuple(size), channels).read(np.arange(len(table)))


def _folded(result):
    return bool((result.found or {}).get("folds"))


def _run(result):
    """The run of a row, or that of its first fold."""
    return Run(result.folder / "fold_0" if _folded(result) else result.folder)
