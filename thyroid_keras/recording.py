"""What a training tells a person, and what it keeps in its run folder."""

import time

from thyroid_keras.recipes.feeding import feed
from thyroid_keras.runs import write_bytes, write_json
from thyroid_keras.training import PhaseProgress, Training


def teller(run, say):
    """Returns a function of lines of text that says them and writes them into the run's log."""

    def tell(*lines):
        for line in lines:
            say(line)
            run.log(line)

    return tell


def recorded(run, recipe, config, guard, tell, devices):
    """Returns the `Training` of a run, which keeps its states and history in the run's folder.

    Args:
        run: `Run`.
        recipe: `Recipe`.
        config: dict, the run's `config.json`; its `seconds` are brought up to date.
        guard: `signals.SignalGuard`.
        tell: see `teller`.
        devices: `training.Distribution`; only its first process shows progress, and reads files.
    """
    start = time.monotonic() - config["seconds"]  # of all legs together

    def report(history):
        run.write_history(
            [{"phase": phase} | row for phase, rows in history.items() for row in rows]
        )
        config["seconds"] = round(time.monotonic() - start, 1)
        write_json(run.config, config)

    def kept(name):
        file = run.folder / name
        return devices.told(file.read_bytes() if file.is_file() else b"") or None

    return Training(
        checkpoints=run.checkpoints,
        feed=feed,
        seed=config["seed"],
        jit_compile=recipe.jit_compile,
        report=report,
        say=tell,
        keep=lambda name, content: write_bytes(run.folder / name, content),
        kept=kept,
        watch=lambda phase, steps: [PhaseProgress(phase, steps, run.log)] if devices.first else [],
        deferring=guard.deferring,
        stop_signal=guard.received,
        distribution=devices,
    )
