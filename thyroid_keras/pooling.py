"""From the folds' answers to pooled figures, and from their models to one."""

import types

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.progress import track
from thyroid_keras.ensemble import MEMBER, ensemble
from thyroid_keras.evaluation import figures_of
from thyroid_keras.loading import load
from thyroid_keras.nodules import figures_of_maps, pooled_facts
from thyroid_keras.places import CONSTANT
from thyroid_keras.report import read_answers, write_plots, write_report
from thyroid_keras.runs import Run, RunError, atomic, read_csv, write_csv, write_json
from thyroid_keras.training import own_session, set_precision

OUT_OF_FOLD = "out-of-fold"
FIGURES = (
    "roc_auc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "f1",
    "average_precision",
    "brier",
    "ece",
    "dice",
)
POOLED = (
    "Out of fold: every image is answered by the one model that neither was trained on it nor "
    "had anything chosen by it."
)
ONE_RANKING = "ranks the scores of {} models together, though their scales may differ"
SPREAD = "mean and SD over folds, not a confidence interval"


def fold_run(run, fold):
    """Returns the `Run` of a fold of a cross-validation."""
    return Run(run.folder / MEMBER.format(fold))


def pool(run):
    """Judges the answers of all folds together, and joins their models.

    Writes `config.json`, `split.csv` (which image is in which fold), `predictions.csv`
    (out of fold), `folds.csv`, `metrics.json`, `model.keras` (the ensemble), plots, page.

    Args:
        run: `Run` in whose folder are the finished runs `fold_0` and so on.

    Returns:
        The dict that is in `metrics.json`: the pooled figures, laid out as a single
        run's, with `folds`, those of each fold, and `mean_sd`, over the folds. The
        thresholds are the means of the folds', for new images; here each fold's answers
        are taken at its own.

    Raises:
        RunError: if a fold is missing, not finished or made of other data.
    """
    source = Run.open(fold_run(run, 0).folder).read_config()["data"]["source"]
    needs = ("model", "split", "predictions", "metrics")
    runs = [Run.open(fold_run(run, i).folder, *needs) for i in range(source["folds"] or 1)]
    configs = [one.read_config() for one in runs]
    begun = run.read_config() if run.config.exists() else configs[0]
    config = configs[0] | {key: begun[key] for key in ("command", "environment")}
    config |= {"data": config["data"] | {"source": source | {"fold": None}}}
    config.pop("finished", None)  # that was the fold
    config |= {"folds": len(runs), "seconds": round(sum(c["seconds"] for c in configs), 1)}
    split = _joined_split(runs)
    write_csv(run.predictions, _out_of_fold(runs))
    found = _pooled_figures(run, runs, config)
    steps = (
        (write_json, (run.config, config)),
        (write_csv, (run.split, split)),
        (write_csv, (run.folder / "folds.csv", [_fold_row(fold) for fold in found["folds"]])),
        (write_json, (run.metrics, found)),
        (_join_models, (run, runs)),
        (write_plots, (run,)),
        (write_report, (run,)),
    )
    for step, arguments in track(steps, "Pooling the folds"):
        step(*arguments)
    return found


def _join_models(run, runs):
    with own_session():
        set_precision("float32")
        model = ensemble([load(one.folder) for one in runs])
        with atomic(run.model) as temporary:
            model.save(temporary)


def _joined_split(runs):
    """The rows of a `split.csv` that names for each image the fold that tests it."""
    first, tested, changed = None, {}, set()
    for fold, run in enumerate(runs):
        rows = read_csv(run.split)
        facts = {(row["image"], row["group"], row["label"], row["sha256"]) for row in rows}
        first = facts if first is None else first
        changed |= {image for image, *_ in facts ^ first}
        for row in rows:
            if row["split"] == "test":
                changed |= {row["image"]} & set(tested)
                tested[row["image"]] = row | {"split": MEMBER.format(fold)}
        if changed:
            raise RunError(
                f"{run.folder}: not a fold of the same data as {runs[0].folder}, e.g. "
                f"{min(changed)}. Cross-validate anew in another folder with `--out`. "
                f"Received: {len(changed)} images that differ"
            )
    if untested := {image for image, *_ in first} - set(tested):
        raise RunError(
            f"{runs[0].folder.parent}: {len(untested)} images are in no fold's test set, e.g. "
            f"{min(untested)}. Cross-validate anew in another folder with `--out`. "
            f"Received: {len(runs)} folds"
        )
    return list(tested.values())


def _out_of_fold(runs):
    """The rows of `predictions.csv`."""
    return [
        row | {"split": OUT_OF_FOLD, "fold": fold}
        for fold, run in enumerate(runs)
        for row in read_csv(run.predictions)
    ]


def _pooled_figures(run, runs, config):
    """The content of `metrics.json`, from `predictions.csv` and the folds' own."""
    names, each = config["data"]["class_names"], [one.read_metrics() for one in runs]
    answers = read_answers(run, names, OUT_OF_FOLD)
    # of more than two classes the likeliest wins
    cuts = np.array([0.5 if m["threshold"] is None else m["threshold"] for m in each])
    # a fold whose test images have no mask says nothing of its threshold
    masks = [m["segmentation"]["threshold"] for m in each if "segmentation" in m] or [0.5]
    origin = (
        f"mean of the {len(each)} folds' thresholds, each chosen on its validation images; for "
        "new images, since out of fold each fold's own is used"
    )
    found = {"split": OUT_OF_FOLD, "group_unit": config["data"]["group_unit"], "pooled": POOLED}
    found |= figures_of(
        types.SimpleNamespace(
            labels=answers.labels,
            groups=answers.groups,
            class_names=names,
            mask_source=config["data"]["mask_source"],
        ),
        answers.probabilities,
        answers.counts,
        {
            "label": cuts[answers.folds],
            "label_origin": origin,
            "mask": float(np.mean(masks)),
            "mask_origin": origin,
        },
        config["seed"],
    )
    if found["threshold"] is not None:
        found["threshold"] = float(cuts.mean())
    found["roc_auc"]["note"] = ONE_RANKING.format(len(each))
    if answers.ious is not None:
        arrays = answers.ious, answers.labels, answers.groups, names
        places = next(m["localisation"] for m in each if "localisation" in m)
        places |= metrics.localisation_metrics(*arrays, seed=config["seed"])
        boxes = [m["localisation"].get("usual_box") for m in each if "localisation" in m]
        boxes = [box for box in boxes if box is not None]
        places["usual_box"] = np.mean(boxes, axis=0).tolist() if boxes else None
        own = metrics.missing("each fold has its own")
        found["localisation"] = places | dict.fromkeys(CONSTANT, own)
    if answers.maps:
        facts = pooled_facts([m["maps"] for m in each if "maps" in m], origin)
        found["maps"] = figures_of_maps(answers.maps, answers.groups, facts, config["seed"])
    found |= {name: each[0][name] for name in ("excluded", "shortcuts") if name in each[0]}
    kept = ("n", "groups", "threshold", "threshold_origin", *FIGURES)
    found["folds"] = [
        {"fold": fold, "folder": MEMBER.format(fold)} | {k: m[k] for k in kept if k in m}
        for fold, m in enumerate(each)
    ]
    found["mean_sd"] = {"note": SPREAD} | {
        name: _mean_sd([m[name]["value"] for m in each]) for name in FIGURES if name in each[0]
    }
    return found


def _mean_sd(values):
    values = [v for v in values if v is not None]
    if not values:
        return metrics.missing("no fold has this figure")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "n": len(values)}


def _fold_row(fold):
    """One row of `folds.csv`."""
    figures = {name: fold[name]["value"] for name in FIGURES if name in fold}
    return {name: fold[name] for name in ("fold", "n", "groups", "threshold")} | figures
