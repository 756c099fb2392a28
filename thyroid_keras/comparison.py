"""Two runs on the same test images: which one is better, and how sure that is."""

import dataclasses
import pathlib

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.copies import CHOSEN_BY_COPIES
from thyroid_keras.data.labels import listed
from thyroid_keras.narration import COMPARED, verdict, versus
from thyroid_keras.report import Answers, paired_roc, read_answers, save_figure
from thyroid_keras.report.style import counted
from thyroid_keras.runs import Run, RunError, read_csv, require_writable, write_json
from thyroid_keras.training import refuse, seed_problems

RESULT = "comparison.json"
NO_DELONG = "DeLong's test is for two classes; the macro AUC has an interval by {}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """What a run has to say of its test images.

    Args:
        folder: of the run.
        config, found: its `config.json` and `metrics.json`.
        answers: `report.Answers`, in the order of the images' names.
        hashes: dict from image to the hash of its pixels; empty where not recorded.
    """

    folder: pathlib.Path
    config: dict
    found: dict
    answers: Answers
    hashes: dict

    @property
    def dice(self):
        """Dice of each image `(N,)`, NaN where it has no true mask; `None` without masks."""
        counts = self.answers.counts
        if counts is None:
            return None
        return np.where(counts[1] > 0, metrics.dice_scores(counts), np.nan)


def compare(folder_a, folder_b, *, json=None, out=None, seed=0, say=print):
    """Compares two runs, or cross-validations, that judged the same images.

    Args:
        folder_a, folder_b: of the runs; differences are the first minus the second.
        json: file for the result; `None`: none.
        out: folder for `comparison.json` and, for two classes, `roc.png`; `None`: none.
        seed: of the bootstrap.
        say: function of one line of text.

    Returns:
        dict: `runs` (folder, what it is, its figures), `n`, `groups`, `group_unit`,
        `differences` (figures, by group), `delong`, `mcnemar` (both by image),
        `settings`, what differs in how they were made, and `conclusion`, a sentence.

    Raises:
        SettingError: if there is no such seed.
        RunError: if a run is not finished or its network names no class, or with all that
            differs in their images.
    """
    refuse(seed_problems(seed))
    require_writable(json, out and pathlib.Path(out) / RESULT)
    a, b = _read(folder_a), _read(folder_b)
    if problems := _misfits(a, b):
        raise RunError("\n".join(problems))
    truth, groups = a.answers.labels, a.answers.groups
    unit = a.config["data"].get("group_unit") or "group"
    binary = len(a.answers.class_names) == 2
    result = {
        "runs": [_summary(one) for one in (a, b)],
        "n": len(truth),
        "groups": len(set(groups)),
        "group_unit": unit,
        "class_names": a.answers.class_names,
        "differences": metrics.paired_differences(
            truth,
            *((one.answers.predicted, one.answers.probabilities) for one in (a, b)),
            groups,
            seed=seed,
        ),
        "delong": metrics.delong(truth == 1, *(one.answers.probabilities[:, 1] for one in (a, b)))
        if binary
        else metrics.missing(NO_DELONG.format(unit)),
        "mcnemar": metrics.mcnemar(*(one.answers.predicted == truth for one in (a, b))),
        "settings": _settings(a.config, b.config),
    }
    if a.dice is not None and b.dice is not None:
        both = np.isfinite(a.dice) & np.isfinite(b.dice)
        if both.any():
            result["differences"]["dice"] = metrics.paired_mean(
                a.dice[both], b.dice[both], groups[both], seed=seed
            )
    elif "dice" in a.found and "dice" in b.found:
        result["differences"]["dice"] = metrics.missing(
            "predictions.csv has no Dice of each image; evaluate both runs once more"
        )
    result["conclusion"] = verdict(result)
    for line in versus(result):
        say(line)
    if json is not None:
        write_json(json, result)
    if out is not None:
        _write(pathlib.Path(out), result, a, b, seed)
        say(f"Written: {out}")
    return result


def _read(folder):
    run = Run.open(folder, "metrics", "predictions")
    config, found = run.read_config(), run.read_metrics()
    answers = read_answers(run, config["data"]["class_names"], found["split"])
    if answers is None:
        raise RunError(
            f"{run.folder}: its network names no class, so there is nothing to compare; choose "
            f"a run of a classifier. Received: folder={str(folder)!r}"
        )
    if len(answers.images) != found["n"]:
        raise RunError(
            f"{run.folder}: metrics.json and predictions.csv are of different images. Evaluate "
            f"the run once more. Received: folder={str(folder)!r}"
        )
    order = np.argsort(answers.images)
    arrays = {
        f.name: getattr(answers, f.name)[..., order]
        for f in dataclasses.fields(answers)
        if f.name in ("images", "groups", "labels", "predicted", "counts")
        and getattr(answers, f.name) is not None
    }
    answers = dataclasses.replace(
        answers, probabilities=answers.probabilities[order], folds=None, **arrays
    )
    rows = read_csv(run.split) if run.split.exists() else []
    hashes = {row.get("image"): row["sha256"] for row in rows if row.get("sha256")}
    return Judged(folder=run.folder, config=config, found=found, answers=answers, hashes=hashes)


def _misfits(a, b):
    """A sentence for each way in which the runs did not judge the same images."""
    problems = []
    first, second = a.answers, b.answers
    if first.class_names != second.class_names:
        problems.append(
            f"other classes: {first.class_names} in {a.folder}, {second.class_names} in {b.folder}"
        )
    images = {one.folder: set(one.answers.images) for one in (a, b)}
    for one, other in ((a, b), (b, a)):
        if only := sorted(set(one.answers.images) - set(other.answers.images)):
            problems.append(f"{counted(len(only), 'image')} only in {one.folder}: {listed(only)}")
    shared = set.intersection(*images.values())
    facts = [
        {
            "label": dict(zip(one.answers.images, one.answers.labels, strict=True)),
            "group": dict(zip(one.answers.images, one.answers.groups, strict=True)),
            "picture": one.hashes,
        }
        for one in (a, b)
    ]
    for name in () if first.class_names != second.class_names else facts[0]:
        ours, theirs = facts[0][name], facts[1][name]
        known = (image for image in shared if image in ours and image in theirs)
        if other := sorted(image for image in known if ours[image] != theirs[image]):
            problems.append(
                f"{counted(len(other), 'image')} with another {name} in {b.folder}: {listed(other)}"
            )
    if problems:
        problems.append(
            "Compare runs that judged the same images: the same --data, --target, --seed, --folds "
            "and --fold; where groups alone differ, evaluate the older run once more. "
            f"Received: {a.folder} and {b.folder}"
        )
    return problems


def _summary(one):
    facts = {"folder": str(one.folder), "arch": one.config.get("arch")}
    facts |= {"data": one.config["data"].get("name"), "split": one.found["split"]}
    if (one.config["data"].get("source") or {}).get("augment_before_split"):
        facts["warning"] = CHOSEN_BY_COPIES
    return facts | {name: one.found[name] for name in COMPARED if name in one.found}


def _settings(a, b):
    """What differs in how two runs were made, as sentences."""
    pairs = [(name, a.get(name), b.get(name)) for name in ("arch", "scale", "seed", "precision")]
    recipes = a.get("recipe") or {}, b.get("recipe") or {}
    names = [n for n in dict.fromkeys([*recipes[0], *recipes[1]]) if n not in ("arch", "scale")]
    pairs += [(name, *(recipe.get(name, "none") for recipe in recipes)) for name in names]
    return [f"{name}: {x} against {y}" for name, x, y in pairs if x != y]


def _write(folder, result, a, b, seed):
    write_json(folder / RESULT, result)
    names = a.answers.class_names
    if len(names) == 2 and len(set(a.answers.labels)) == 2:
        scores = {
            f"{word}, {one.folder.name}": one.answers.probabilities[:, 1]
            for word, one in (("first", a), ("second", b))
        }
        labels, groups = a.answers.labels, a.answers.groups
        unit = result["group_unit"]
        figure = paired_roc(labels, scores, groups, class_names=names, unit=unit, seed=seed)
        save_figure(figure, folder / "roc.png")
