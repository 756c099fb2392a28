"""95 % confidence intervals: Wilson's for proportions, a bootstrap over groups for the rest.

A figure is a dict, `{"value": 0.84, "ci95": [0.73, 0.92], ...}`, or, where it cannot be
computed, `{"value": None, "reason": "..."}`.
"""

import math
import sys

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy import stats

# keeps one block of weights below 16 MB whatever the number of images
BLOCK_SIZE = 2_000_000
# so many blocks take long enough for the user to wonder
SLOW_BLOCKS = 5


def missing(reason):
    """Returns the figure that cannot be computed, and why."""
    return {"value": None, "reason": reason}


def proportion(successes, trials, reason="there is no image to count"):
    """A share with Wilson's score interval, which takes the trials for independent.

        value = successes / trials

    Args:
        successes: int in [0, trials].
        trials: int >= 0.
        reason: str, what to say where `trials` is 0.

    Returns:
        `{"value", "ci95", "n"}`, all shares in [0, 1], n = `trials`.

    Reference: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    successes, trials = int(successes), int(trials)
    if trials == 0:
        return missing(reason)
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return {
        "value": successes / trials,
        "ci95": [float(interval.low), float(interval.high)],
        "n": trials,
    }


def widest_interval(figure):
    """The interval to quote in a sentence: by image or by group, whichever is wider.

    By image it is too narrow where a group's images resemble each other, by group where
    the groups are few or all answers right.

    Args:
        figure: dict, see the head of this file.

    Returns:
        `[low, high]`, or `None` where the figure has no interval.
    """
    found = [figure[k] for k in ("ci95", "ci95_groups") if figure.get(k)]
    return max(found, key=lambda interval: interval[1] - interval[0], default=None)


def group_weights(groups, draws, seed):
    """Resamples whole groups with replacement.

    Args:
        groups: `(N,)`, the group of each image.
        draws: int >= 1.
        seed: int >= 0.

    Yields:
        Blocks of float64 weights `(D, N)`, `draws` rows in all: how often each draw
        holds each image. All images of a group have one weight.
    """
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    num_groups = member.max() + 1
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_SIZE // len(member))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        counts = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=size)
        yield counts[:, member].astype(float)


def bootstrap(statistics, groups, *, draws=1000, seed=0, reasons=None, level=0.95):
    """Percentile intervals of any statistics, from resampled groups.

    Images of one patient resemble each other, so it is patients that are drawn. All
    statistics see the same draws. A draw on which a statistic is undefined, such as an
    AUC on one class, is dropped and counted.

    Args:
        statistics: function from weights `(D, N)` to a dict of `(D,)` float arrays, NaN
            where undefined; it is also called once with weights of 1.
        groups: `(N,)`, the group of each image, N >= 1.
        draws: int >= 1.
        seed: int >= 0.
        reasons: optional dict from a statistic's name to why it may be undefined.
        level: in (0, 1), of each interval; above 0.95 where so many together shall have it.

    Returns:
        Dict from name to figure `{"value", "ci95", "n", "groups", "draws", "dropped"}`.
        `ci95` is `None`, with a `"reason"`, for a single group or where most draws were
        dropped. A `"note"` warns of an interval without width.

    Reference: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x (the randomised
    cluster bootstrap).
    """
    num_images, num_groups = len(groups), len(np.unique(np.asarray(groups, dtype=str)))
    values = {k: float(v[0]) for k, v in statistics(np.ones((1, num_images))).items()}
    num_blocks = math.ceil(draws / max(1, BLOCK_SIZE // num_images))
    blocks = [
        statistics(weights)
        for weights in track(
            group_weights(groups, draws, seed),
            "Resampling groups",
            total=num_blocks,
            transient=True,
            console=Console(stderr=True),
            disable=num_blocks < SLOW_BLOCKS or not sys.stderr.isatty(),
        )
    ]
    figures, tails = {}, [50 * (1 - level), 50 * (1 + level)]
    for name, value in values.items():
        if not np.isfinite(value):
            figures[name] = missing((reasons or {}).get(name, "undefined on these images"))
            continue
        drawn = np.concatenate([block[name] for block in blocks])
        drawn = drawn[np.isfinite(drawn)]
        figure = {
            "value": value,
            "ci95": None,
            "n": num_images,
            "groups": num_groups,
            "draws": draws,
            "dropped": draws - len(drawn),
        }
        if num_groups < 2:
            figure["reason"] = "no interval: all images belong to one group"
        elif len(drawn) <= draws / 2:
            figure["reason"] = "no interval: most resampled sets hold a single class"
        else:
            figure["ci95"] = np.percentile(drawn, tails).tolist()
            if np.ptp(figure["ci95"]) == 0:
                figure["note"] = "every resampled set gave the same figure: do not trust the width"
        figures[name] = figure
    return figures
