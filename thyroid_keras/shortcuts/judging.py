"""A small classifier on each kind of feature, cross-validated by group.

Shape key: N samples, F features, K classes, D draws of the bootstrap.
"""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thyroid_keras import metrics
from thyroid_keras.data.dealing import deal_folds
from thyroid_keras.shortcuts.features import MEANINGS, read_features
from thyroid_keras.spelling import counted

MIN_GROUPS = 10  # of each class; below that no figure means anything
_FOLDS = 5
_STRENGTHS = np.logspace(0, 5, 6)  # of the ridge, of which each fold chooses
_NOTE = (
    "the largest of {count} AUCs is too good by chance; its interval is widened (Bonferroni), so "
    "that all {count} hold the true figures in 95 of 100 cases"
)


def audit_shortcuts(table, *, limit=None, seed=0, progress=True):
    """Measures how well the label can be told by all that is not the nodule.

    For each of `MEANINGS` a ridge classifier on standardised features is cross-validated by
    group, and the AUC of the answers to held-out groups gets its interval by resampling
    groups. A classifier of pictures can use whatever these could.

    Args:
        table: `SampleTable`; its pictures are read as a run reads them, `clean` included.
            Groups that share pictures must be one, else what is learned is tested.
        limit: int >= 1, samples at the most, whole groups drawn at random; `None`: all.
        seed: int >= 0, of the draw, the folds and the bootstrap.
        progress: whether to show progress bars.

    Returns:
        dict, fit for JSON: `n`, `groups`, `group_unit`; `features`, a list of dicts of
        `name`, `what` and `roc_auc` (figure; of more than two classes the mean of one
        against the rest); and `largest`: `name` and `roc_auc` of the largest, with an
        interval that allows for the choice. Where nothing can be told, `reason` alone.

    Raises:
        DataError: with every file that cannot be read.
    """
    table = _draw_groups(table, limit, seed)
    if reason := _too_few(table, np.ones(len(table), bool)):
        return {"reason": reason}
    entries, scored = [], {}
    for name, values in read_features(table, progress).items():
        known = np.isfinite(values).all(axis=1)
        if reason := _too_few(table, known):
            figure = metrics.missing(f"too few images whose nodule is marked: {reason}")
        else:
            labels, groups = table.labels[known], table.groups[known]
            scored[name] = _cross_validate(values[known], labels, groups, seed), labels, groups
            figure = _auc(*scored[name], seed)
        entries.append({"name": name, "what": MEANINGS[name], "roc_auc": figure})
    largest = max(
        (entry for entry in entries if entry["name"] in scored),
        key=lambda entry: entry["roc_auc"]["value"],
    )["name"]
    together = _auc(*scored[largest], seed, level=1 - 0.05 / len(scored))
    return {
        "n": len(table),
        "groups": len(np.unique(table.groups.astype(str))),
        "group_unit": table.group_unit,
        "features": entries,
        "largest": {
            "name": largest,
            "roc_auc": together | {"note": _NOTE.format(count=len(scored))},
        },
    }


def _draw_groups(table, limit, seed):
    """The samples of groups drawn until there would be more than `limit`."""
    if limit is None or len(table) <= limit:
        return table
    names, sizes = np.unique(table.groups.astype(str), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = names[order[np.cumsum(sizes[order]) <= limit]]
    return table.select(np.flatnonzero(np.isin(table.groups.astype(str), drawn)).tolist())


def _too_few(table, chosen):
    """Why nothing can be told from the chosen samples, or `None`."""
    labels, groups = table.labels[chosen], table.groups[chosen].astype(str)
    for label, name in enumerate(table.class_names):
        count = len(np.unique(groups[labels == label]))
        if count < MIN_GROUPS:
            return (
                f"{name!r} is in {counted(count, 'group')} ({table.group_unit}), of which there "
                f"must be {MIN_GROUPS} at least"
            )
    return None


def _cross_validate(values, labels, groups, seed):
    """Answers to held-out groups, `(N, K)`, of classifiers fitted to the others."""
    truth = np.eye(labels.max() + 1)[labels]
    scores = np.zeros(truth.shape)
    values = values[:, np.ptp(values, axis=0) > 0]
    if not values.size:  # what says nothing must not rank the folds
        return scores
    for held in deal_folds(labels, groups, _FOLDS, seed):
        model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS))
        scores[held] = model.fit(values[~held], truth[~held]).predict(values[held])
    return scores


def _auc(scores, labels, groups, seed, level=0.95):
    """The AUC of scores `(N, K)` as a figure, of more than two classes the mean of all."""
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])

    def auc(weights):
        each = [metrics.roc_auc(labels == k, scores[:, k], weights) for k in classes]
        return {"roc_auc": np.mean(each, axis=0)}

    return metrics.bootstrap(auc, groups, seed=seed, level=level)["roc_auc"]
