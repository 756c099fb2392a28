"""Samplers: which images an epoch draws where one class is by far the most frequent.

Each makes an `order` for `data.batches.Batches`: the same draws for the same seed and
epoch, also after a restart.
"""

import numpy as np


def sampling_weights(labels, *, background=None):
    """Probability of each image to be drawn, so that every second one is background.

        p_i = w_i / sum w,    w_i = 1 / n_c, times C - 1 for the background

    Each of the other classes is then drawn with probability 1 / (2 (C - 1)).

    Args:
        labels: int `(N,)`, of C >= 2 classes; classes without images do not count.
        background: the label of the background; `None`: the most frequent, the first of
            equals.

    Returns:
        float64 `(N,)`, adding up to 1.

    Raises:
        ValueError: if there are fewer than two classes, or `background` is none of them.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, and the authors' code, where C is
    14 and the factor 13.
    """
    classes, inverse, counts = _classes(labels)
    weights = 1.0 / counts[inverse]
    weights[inverse == _background(classes, counts, background)] *= len(classes) - 1
    return weights / weights.sum()


def weighted_sampler(labels, *, background=None):
    """Draws N of N images with replacement, by `sampling_weights`.

    Args:
        labels, background: see `sampling_weights`; `labels` are those of the images that
            `Batches` takes, in its order.

    Returns:
        Function `(epoch, rng) -> int (N,)`, an `order` for `Batches`.
    """
    weights = sampling_weights(labels, background=background)
    return lambda epoch, rng: rng.choice(len(weights), len(weights), p=weights)


def stratified_sampler(labels, *, per_class=2, background=None):
    """Fills every batch alike: `per_class` images of each class, C - 1 times as many of background.

    Each class goes through all its images before one returns. An epoch has N draws, so the
    last batch may be cut.

    Args:
        labels, background: see `weighted_sampler`.
        per_class: int >= 1, images of each class in a batch.

    Returns:
        Function `(epoch, rng) -> int (N,)`, an `order` for `Batches`, whose `batch_size`
        must be `stratified_batch_size(labels, per_class)`.

    Raises:
        ValueError: as `sampling_weights`, or if `per_class` is below 1.
    """
    size = stratified_batch_size(labels, per_class)
    classes, inverse, counts = _classes(labels)
    shares = np.full(len(classes), per_class)
    shares[_background(classes, counts, background)] *= len(classes) - 1
    num_batches = -(-len(inverse) // size)
    members = [np.flatnonzero(inverse == c) for c in range(len(classes))]

    def order(epoch, rng):
        drawn = []
        for own, share in zip(members, shares, strict=True):
            rounds = -(-num_batches * share // len(own))
            cycle = np.concatenate([rng.permutation(own) for _ in range(rounds)])
            drawn.append(cycle[: num_batches * share].reshape(num_batches, share))
        batches = rng.permuted(np.concatenate(drawn, axis=1), axis=1)
        return batches.ravel()[: len(inverse)]

    return order


def stratified_batch_size(labels, per_class=2):
    """Images in a batch of `stratified_sampler`: 2 (C - 1) `per_class`; the paper's is 52."""
    if per_class < 1:
        raise ValueError(f"`per_class` must be at least 1. Received: per_class={per_class}")
    return 2 * (len(_classes(labels)[0]) - 1) * per_class


def _classes(labels):
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            "`labels` must be of at least two classes; read more data or choose another "
            f"sampler. Received: labels of {len(classes)} classes"
        )
    return classes, inverse, counts


def _background(classes, counts, background):
    """Position of the background among the classes."""
    if background is None:
        return int(np.argmax(counts))
    if background not in classes:
        raise ValueError(
            f"`background` must be one of the labels {classes.tolist()}. "
            f"Received: background={background}"
        )
    return int(np.flatnonzero(classes == background)[0])
