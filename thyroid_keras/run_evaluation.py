"""A run judged by what its network answers: classes, or where borders are."""

from thyroid_keras.borders import evaluate_borders, finds_borders
from thyroid_keras.evaluation import evaluate
from thyroid_keras.first_look import judge_first_look
from thyroid_keras.global_map import judge_global_map
from thyroid_keras.shortcuts import audit_shortcuts

SHORTCUT_IMAGES = 300  # at the most: some seconds


def evaluate_run(run, model, splits, *, seed=0, shortcuts=False):
    """Judges the network of a run on its test split, and writes what the folder says of it.

    Args:
        run: `runs.Run` with `config.json`.
        model: `keras.Model` that takes images in [0, 1].
        splits: `data.splits.Splits`.
        seed: of everything drawn.
        shortcuts: bool, whether to look for shortcuts in the images of all splits; else
            those that were found before are kept.

    Returns:
        The dict that is in `metrics.json`.

    Raises:
        DataError: with every file that cannot be read.
    """
    if finds_borders(model):
        return evaluate_borders(run, model, splits, seed=seed)
    facts = judge_global_map(run, model, splits) | judge_first_look(model, splits, seed=seed)
    if shortcuts:
        facts["shortcuts"] = audit_shortcuts(splits.whole(), limit=SHORTCUT_IMAGES, seed=seed)
    elif run.metrics.exists() and "shortcuts" in (before := run.read_metrics()):
        facts["shortcuts"] = before["shortcuts"]
    return evaluate(run, model, splits, facts=facts, seed=seed)
