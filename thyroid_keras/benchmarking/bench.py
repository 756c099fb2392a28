"""What `bench` does: rehearse a recipe, time its step and the machine, report."""

import json

import keras

from thyroid_keras.benchmarking.ceiling import make_probes
from thyroid_keras.benchmarking.measure import figures, step_tasks, time_in_turns
from thyroid_keras.benchmarking.rehearsal import rehearse
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.runs import environment, unwritable, write_csv
from thyroid_keras.training import make_deterministic, refuse, set_precision

NO_FILE = (None, False, True)
MEANINGS = {
    "train_images_per_s": "training, median step",
    "train_images_per_s_best": "training, fastest step",
    "predict_images_per_s": "prediction, normalisations folded into convolutions; median",
    "pipeline_images_per_s": "making batches alone: read from memory, augmented; median",
    "forward_ms": "a batch through the network in training mode, median",
    "backward_ms": "the rest of the median step: losses, gradients, update",
    "peak_memory_mb": "of this process, framework and rehearsal included",
    "train_gflop": "convolutions and dense layers of one training step",
    "train_gflops": "the same per second, in the fastest step",
    "convolution_gflops": "a plain convolution, fastest of its samples",
    "matrix_product_gflops": "a matrix product, fastest of its samples",
    "ceiling_gflops": "the higher of these two",
    "convolution_share": "train_gflops / convolution_gflops",
    "ceiling_share": "train_gflops / ceiling_gflops",
}


def bench(
    arch,
    *,
    recipe=None,
    settings=(),
    precision="auto",
    seconds=60.0,
    steps=None,
    profile=None,
    as_json=False,
    say=print,
):
    """Measures the training step of a recipe's last phase, and what the machine could do.

    The recipe's own procedure is rehearsed on a few simulated images. Then are timed, in
    turns: a training step, a prediction, a forward pass, the making of a batch, and the
    two probes of the machine's ceiling. The forward pass is that of training, with the
    statistics of the batch; the backward pass is what a step takes beyond it.

    Args:
        arch: name, one of `RECIPES`.
        recipe: `"quick"` or `"paper"`; `None`: quick without a GPU.
        settings: sequence of `"field=value"`, fields of the recipe.
        precision: see `training.set_precision`.
        seconds: float > 0, how long to measure; three turns at the least.
        steps: int >= 1, how many turns to measure instead.
        profile: path of a CSV for the time of each operation of a step, or `True` for a
            table alone; on TensorFlow without a GPU only.
        as_json: whether to say one line of JSON instead of tables.
        say: function of one line of text.

    Returns:
        dict of what was measured on what, of the figures in `MEANINGS`, and with
        `profile` of the rows of `profile.profile_steps`.

    Raises:
        SettingError: if an argument is out of range, or there can be no profile.
        RunError: if the disk has no room for the CSV.
    """
    _check(seconds, steps, profile)
    recipe = choose_recipe(arch, recipe, settings)
    precision = set_precision(precision)
    make_deterministic(0, jit_compile=recipe.jit_compile)
    rehearsal = rehearse(recipe)
    tasks, probes = step_tasks(rehearsal), make_probes(keras.config.dtype_policy().compute_dtype)
    timed = tasks | {name: probe.run for name, probe in probes.items()}
    times = time_in_turns(timed, seconds, steps)
    found = _subject(recipe, precision, rehearsal) | {"turns": len(times["train"])}
    found |= figures(rehearsal, times, probes)
    if profile:
        found["profile"] = _profile(tasks["train"])
    for line in [json.dumps(found)] if as_json else _tables(found):
        say(line)
    if profile not in NO_FILE:
        write_csv(profile, found["profile"])
    return found


def _check(seconds, steps, profile):
    problems = []
    if not seconds > 0:
        problems.append(f"--seconds must be above 0. Received: seconds={seconds}")
    if steps is not None and steps < 1:
        problems.append(f"--steps must be at least 1. Received: steps={steps}")
    if profile and keras.backend.backend() != "tensorflow":
        problems.append(
            "--profile needs TensorFlow, whose own profiler it reads; leave it out, or unset "
            f"KERAS_BACKEND. Received: backend={keras.backend.backend()!r}"
        )
    if profile not in NO_FILE:
        problems += unwritable(profile)
    refuse(problems)


def _subject(recipe, precision, rehearsal):
    machine = environment()
    return {
        "arch": recipe.arch,
        "recipe": recipe.scale,
        "phase": rehearsal.phase.name,
        "image_size": recipe.image_size,
        "batch_size": recipe.batch_size,
        "parameters": rehearsal.network.count_params(),
        "precision": precision,
        "backend": keras.backend.backend(),
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "gpus": machine["gpus"],
    }


def _profile(step):
    from thyroid_keras.benchmarking.profile import profile_steps  # TensorFlow's alone

    return profile_steps(step)


def _tables(found):
    about = [f"{name} {found[name]}" for name in list(found)[: list(found).index("turns") + 1]]
    yield ", ".join(about)
    for name, meaning in MEANINGS.items():
        digits = 1 if found[name] >= 10 else 3
        yield f"  {name:<24}{found[name]:>10,.{digits}f}  {meaning}"
    if rows := found.get("profile"):
        yield f"\n  {'operation':<32}{'ms a step':>10}{'share':>8}{'calls a step':>14}"
        for row in rows:
            shown = f"{row['ms']:>10.1f}{row['share']:>8.1%}{row['calls']:>14.0f}"
            yield f"  {row['operation']:<32}{shown}"
