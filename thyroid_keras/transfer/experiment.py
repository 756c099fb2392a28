"""Bottleneck features and a classifier, cross-validated; what `bottleneck` does."""

import datetime
import functools
import hashlib
import os
import time

import keras

from thyroid_keras import metrics
from thyroid_keras.borders import keep_network, network_file
from thyroid_keras.borders.remover import METHODS
from thyroid_keras.data.augment import TRANSFER
from thyroid_keras.evaluation import figures_of, prediction_rows
from thyroid_keras.narration import conclusion
from thyroid_keras.preparation import check_same
from thyroid_keras.report import write_plots, write_report
from thyroid_keras.report.transfer import data_set_notes
from thyroid_keras.runs import Run, atomic, default_folder, environment, write_csv, write_json
from thyroid_keras.training import make_deterministic, own_session, set_precision
from thyroid_keras.transfer.data import deal
from thyroid_keras.transfer.fc import Head, fit_head, join
from thyroid_keras.transfer.features import extract
from thyroid_keras.transfer.network import feature_network
from thyroid_keras.transfer.settings import DIFFERENCES, PAPER, Settings
from thyroid_keras.transfer.svm import fit_svm, save
from thyroid_keras.transfer.svm_network import is_linear, join_svm
from thyroid_keras.transfer.validation import cross_validate, each_alone, leak

CACHE = os.path.join("runs", "features")
CLASSIFIER, NETWORK = "classifier.skops", "features.keras"
OUT_OF_FOLD = "out-of-fold"
POOLED = (
    "Out of fold: every image is answered by the classifier of the other folds, which has learned "
    "from their images and the copies of those. The classifier in this folder is made of all "
    "images, for new ones; no figure on this page is its own."
)
ORIGIN = (
    "mean of the folds' thresholds, each chosen on such of the fold's training images as the "
    "classifier had not learned from; out of fold each fold's own is used"
)


def bottleneck(data=None, *, out=None, cache=CACHE, resume=False, say=print, **settings):
    """Cross-validates a classifier of a known network's features, and leaves a run folder.

    Args:
        data: path of a data set, or a sequence of them, which are judged joined and alone;
            `None`: the phantom.
        out: run folder; `None`: a new one below `runs/`.
        cache: folder that keeps the features; `None`: none does.
        resume: bool, whether to begin again where an earlier run was stopped; features that
            are kept are not computed again.
        say: function of one line of text.
        **settings: see `settings.Settings`.

    Returns:
        `(run, metrics)`: the `Run`, and what is in its `metrics.json`. An SVM is in
        `classifier.skops`, beside `features.keras`. An FC layer, or a linear SVM of two classes,
        and the network of its features are `model.keras`, one network, which can be exported.

    Raises:
        SettingError, DataError, ModelError, RunError: if the user's input is wrong.
    """
    paths = [data] if isinstance(data, (str, os.PathLike)) else data or ()
    paths = [os.path.abspath(path) for path in paths]
    chosen = Settings(**settings)
    start = time.monotonic()
    folder = out or default_folder(f"bottleneck-{chosen.features}", datetime.datetime.now())
    with Run.create(folder, resume=resume) as run, own_session():
        if run.config.exists():
            begun, source = run.read_config(), _source(chosen, paths)
            check_same(begun, chosen, source, chosen.seed, "float32", flag="--")
        set_precision("float32")
        make_deterministic(chosen.seed)
        network = _network(chosen)
        dealt = deal(paths, chosen)
        keep_network(run, chosen.borders)
        config = _config(chosen, paths, dealt.table, network)
        write_json(run.config, config)
        write_csv(run.split, _split_rows(dealt))
        for line in _introduction(config, dealt.table, run):
            _tell(run, say, line)
        made = extract(
            network,
            dealt.table,
            cleaning=_identity(chosen.borders),
            copies=chosen.copies,
            seed=chosen.seed,
            cache=cache,
        )
        fit = _fit(chosen, dealt.table.class_names)
        found = _judge(run, dealt, made, chosen, fit)
        _keep(run, network, fit(made.features, dealt.table.labels, dealt.table.groups))
        write_json(run.config, config | {"seconds": round(time.monotonic() - start, 1)})
        write_plots(run)
        write_report(run)
    for line in (*conclusion(found, run), *data_set_notes(found)):
        _tell(run, say, line)
    return run, found


def _network(chosen):
    return feature_network(
        chosen.features,
        weights=None if chosen.weights == "none" else chosen.weights,
        image_size=chosen.image_size,
        alpha=chosen.alpha,
        pooling=chosen.pooling,
    )


def _fit(chosen, class_names):
    """The function that makes a classifier of features, labels and groups."""
    shared = {"class_names": class_names, "seed": chosen.seed}
    if chosen.classifier == "fc":
        return functools.partial(fit_head, **shared)
    return functools.partial(fit_svm, kernel=chosen.kernel, scale=chosen.scale, **shared)


def _keep(run, network, fitted):
    """Writes a classifier and the network of its features, as one network where it is one."""
    path = run.folder / NETWORK
    if isinstance(fitted, Head):
        network, path = join(network, fitted), run.model
    else:
        save(run.folder / CLASSIFIER, fitted)
        if is_linear(fitted):
            _save(join_svm(network, fitted), run.model)
    _save(network, path)


def _save(network, path):
    with atomic(path) as temporary:
        network.save(temporary)


def _judge(run, dealt, made, chosen, fit):
    """Cross-validates, and writes figures and answers."""
    table, labels, groups, seed = dealt.table, dealt.table.labels, dealt.table.groups, chosen.seed
    names = table.class_names
    answers = cross_validate(made.features, labels, groups, dealt.folds, fit)
    probabilities, thresholds = answers
    cuts = {"label": thresholds, "label_origin": ORIGIN}
    found = {"split": OUT_OF_FOLD, "group_unit": table.group_unit, "pooled": POOLED}
    found["excluded"] = {"count": len(table.excluded)}
    found |= figures_of(table, probabilities, None, cuts, seed)
    found["per_fold"] = [
        metrics.brief(labels[of], probabilities[of], thresholds[of], groups[of], names, seed)
        for of in (dealt.folds == fold for fold in range(chosen.folds))
    ]
    found["extraction"] = {"computed": made.computed, "seconds": round(made.seconds, 3)}
    if len(dealt.set_names) > 1:
        found["data_sets"] = each_alone(made.features, dealt, chosen.folds, fit, answers, seed)
    if chosen.augment_before_split:
        found["leak"] = leak(made.features, labels, groups, chosen.folds, fit, names, seed)
    write_json(run.metrics, found)
    rows = prediction_rows(table, probabilities, None, cuts)
    for row, fold in zip(rows, dealt.folds, strict=True):
        row |= {"split": OUT_OF_FOLD, "fold": int(fold)}
    write_csv(run.predictions, sorted(rows, key=lambda row: row["fold"]))  # as `crossval` does
    return found


def _config(chosen, paths, table, network):
    machine = environment() | {"backend": keras.backend.backend()}
    return {
        "arch": chosen.arch,
        "scale": "cross-validation",
        "data": table.facts() | {"source": _source(chosen, paths)},
        "bottleneck": {"features": network.output_shape[1], "sets": paths},
        "recipe": chosen.settings() | {"augmentation": repr(TRANSFER)},
        "parameters": network.count_params(),
        "seed": chosen.seed,
        "precision": "float32",
        "image_shape": network.input_shape[1:],
        "command": machine["command"],
        "environment": machine,
        "paper_results": {
            "source": PAPER,
            "figures": chosen.reported,
            "differences": DIFFERENCES,
        },
    }


def _source(chosen, paths):
    source = {"path": " ".join(paths) or None, "folds": chosen.folds, "fold": None}
    return source | {n: getattr(chosen, n) for n in ("format", "target", "seed", "on_bad")}


def _split_rows(dealt):
    names = dealt.table.class_names
    return [
        {
            "image": sample.name,
            "group": sample.group,
            "label": names[sample.label],
            "split": f"fold_{fold}",
            "sha256": dealt.hashes[sample.name],
        }
        for sample, fold in zip(dealt.table.samples, dealt.folds, strict=True)
    ]


def _introduction(config, table, run):
    yield (
        f"{config['arch']} ({config['bottleneck']['features']:,} of each image) on {table.name}: "
        f"{len(table)} images in {config['recipe']['folds']} folds, dealt by {table.group_unit}"
    )
    for note in table.notes:
        yield f"Note: {note}"
    yield f"Run folder: {run.folder}"


def _identity(borders):
    """What stands for a way of removing borders in the cache: of a network its content."""
    if borders in METHODS:
        return borders
    return hashlib.sha256(network_file(borders).read_bytes()).hexdigest()


def _tell(run, say, line):
    say(line)
    run.log(line)
