"""What the networks of a table cost: parameters, and time for one image, forward and backward."""

import statistics

import keras
import numpy as np
from keras import ops

from thyroid_keras.benchmarking.measure import time_in_turns
from thyroid_keras.loading import load
from thyroid_keras.runs import Run, environment, read_csv, write_csv

TURNS = 30


def measure_costs(run, results, say):
    """Counts and times the networks of all rows, or reads what was measured before.

    All in one process and in turns, so that whatever else the machine does meets all of
    them alike. What is measured is kept in `costs.csv`: remove it to measure once more.

    Args:
        run: `Run` of the table's folder.
        results: sequence of `Result`; those without a network are left out.
        say: function of one line of text.

    Returns:
        List of dicts, one per row, of text: the columns of `costs.csv`.
    """
    folders = {r.row.name: r.folder for r in results if r.found and Run(r.folder).model.exists()}
    path = run.folder / "costs.csv"
    known = {row["row"]: row for row in read_csv(path)} if path.exists() else {}
    if folders and not set(folders) <= set(known):
        say(f"Timing the passes of {len(folders)} networks")
        machine = environment()
        about = {"batch_size": 1, "turns": TURNS, "precision": "float32"}
        about |= {"backend": keras.backend.backend()}
        about |= {name: machine[name] for name in ("cpu", "cores")}
        about["gpus"] = " ".join(map(str, machine["gpus"]))
        measured = measure({name: load(folder) for name, folder in folders.items()})
        write_csv(path, [{"row": name} | figures | about for name, figures in measured.items()])
        known = {row["row"]: row for row in read_csv(path)}
    return [known[name] for name in folders]


def costs_table(results, rows):
    """Sets what `measure_costs` returns beside the paper's figures.

    Args:
        results: sequence of `Result`.
        rows: see `measure_costs`.

    Returns:
        `(header, rows of text, sentence)`, or `None` where nothing was timed.
    """
    if not rows:
        return None
    header, names = ["network", "parameters: paper", "parameters: ours"], ("forward", "backward")
    for name in names:
        header += [f"{name}, ms: paper", f"{name}, ms: ours"]
    known = {result.row.name: result.row for result in results}
    lines = []
    for row in rows:
        reported = known[row["row"]].reported
        millions = reported.get("parameters")
        cells = [known[row["row"]].label, "–" if millions is None else f"{millions / 1e6:.2f}M"]
        cells.append(f"{int(row['parameters']):,}")
        for name in names:
            paper = reported.get(f"{name}_ms")
            cells.append("–" if paper is None else f"{paper:.2f}")
            cells.append(f"{float(row[f'{name}_ms']):.2f}")
        lines.append(cells)
    machine = rows[0]["gpus"] or f"{rows[0]['cpu']}, {rows[0]['cores']} cores"
    said = (
        f"Parameters: those that are trained. Time: one image of {rows[0]['image_size']}, "
        f"{rows[0]['precision']}, {rows[0]['backend']} on {machine}; medians of "
        f"{rows[0]['turns']} turns. Forward: in training mode; backward: what a training step "
        "takes beyond it. Either holds what Keras spends on a call. The paper does not name its "
        "machine."
    )
    return header, lines, said


def measure(models, turns=TURNS):
    """Counts the parameters of networks, and times them in turns, one image at a time.

    Forward is a pass in training mode, with the statistics of the batch; backward is what
    a training step takes beyond it, for the sum of the outputs as loss.

    Args:
        models: dict from name to `keras.Model`; they are compiled and trained on noise at
            a rate of 0, so do not use them afterwards.
        turns: int >= 1.

    Returns:
        dict from name to a dict of `parameters`, those that are trained; `forward_ms` and
        `backward_ms`, medians; and `image_size`.
    """
    tasks = {}
    for name, model in models.items():
        tasks[name, "forward"], tasks[name, "step"] = _passes(model)
    median = {task: statistics.median(t) for task, t in time_in_turns(tasks, 0, turns).items()}
    return {
        name: {
            "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
            "forward_ms": round(1e3 * median[name, "forward"], 3),
            "backward_ms": round(1e3 * (median[name, "step"] - median[name, "forward"]), 3),
            "image_size": "x".join(map(str, model.input_shape[1:3])),
        }
        for name, model in models.items()
    }


def _passes(model):
    image = np.random.default_rng(0).random((1, *model.input_shape[1:]), dtype=np.float32)
    # compiled by every backend's `predict`, in training mode all the same
    forward = keras.Model(model.input, model(model.input, training=True))
    outputs = forward.predict_on_batch(image)
    model.compile(
        keras.optimizers.SGD(0.0),
        keras.tree.map_structure(lambda _: lambda truth, said: ops.sum(said), outputs),
    )
    return (
        lambda: forward.predict_on_batch(image),
        lambda: model.train_on_batch(image, outputs),
    )
