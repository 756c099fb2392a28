"""Deals whole groups into parts with alike shares of every class."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def deal_folds(labels, groups, num_folds, seed):
    """Deals samples into folds.

    Args:
        labels: int array `(N,)`.
        groups: array `(N,)`.
        num_folds: int >= 2, at most the number of groups.
        seed: int.

    Returns:
        List of `num_folds` boolean arrays `(N,)`, the members of each fold. A fold may
        lack a class that is rare or sits in few groups.
    """
    # without groups it deals the same where no group has two samples, ten times as fast
    alone = len(np.unique(groups)) == len(groups)
    dealer = (StratifiedKFold if alone else StratifiedGroupKFold)(
        num_folds, shuffle=True, random_state=seed
    )
    with warnings.catch_warnings():
        # it warns of classes with few samples: callers count groups, and refuse
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = [held for _, held in dealer.split(labels, labels, None if alone else groups)]
    return [np.isin(np.arange(len(labels)), held) for held in folds]


def hold_out(labels, groups, share, seed):
    """Holds out about `share` of the samples: of the folds of one deal the nearest.

    Args:
        labels: int array `(N,)`.
        groups: array `(N,)`.
        share: float in (0, 1).
        seed: int.

    Returns:
        Boolean array `(N,)`.
    """
    most = min(len(np.unique(groups)), np.bincount(labels).max())
    num_folds = int(np.clip(round(1 / share), 2, most))
    members = [labels == label for label in np.unique(labels)]

    def misfit(held):
        shares = [held[own].mean() for own in members]
        one_sided = sum(s in (0, 1) for s in shares)
        return one_sided, sum(abs(s - share) for s in shares)

    return min(deal_folds(labels, groups, num_folds, seed), key=misfit)
