"""How a network's votes, one per scale, become one answer at test time."""

from keras import ops

RULES = ("mean", "max", "weighted_mean")


def combine_votes(votes, rule="mean", weights=None):
    """Combines the class probabilities of several votes.

        mean            p_k = mean_s softmax(z_s)_k
        weighted_mean   p_k = sum_s w_s softmax(z_s)_k / sum_s w_s
        max             p_k = max_s softmax(z_s)_k / sum_k max_s softmax(z_s)_k

    Args:
        votes: sequence of logits z, each `(B, K)`, arrays or symbolic tensors; or a dict
            of such, in its order.
        rule: `"mean"`, `"max"` or `"weighted_mean"`.
        weights: for `"weighted_mean"` a number >= 0 for each vote, not all 0.

    Returns:
        Tensor `(B, K)`, rows adding up to 1.

    Raises:
        ValueError: if the rule is unknown or the weights do not fit it.

    Reference: Schlemper et al. 2018, arXiv:1804.05338, Sec. 2, "Aggregation Strategy";
        the mean is what its AG-Sononet uses.
    Deviation: the maxima are divided by their sum, which leaves their order.
    """
    if rule not in RULES:
        raise ValueError(f"`rule` must be one of {RULES}. Received: rule={rule!r}")
    if (rule == "weighted_mean") != (weights is not None):
        raise ValueError(
            '`weights` go with rule="weighted_mean" and only with it. '
            f"Received: rule={rule!r}, weights={weights}"
        )
    votes = list(votes.values()) if isinstance(votes, dict) else list(votes)
    if weights is None:
        weights = [1.0] * len(votes)
    if len(weights) != len(votes) or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(
            f"`weights` must be {len(votes)} numbers >= 0, not all 0. Received: weights={weights}"
        )
    p_SBK = ops.stack([ops.softmax(vote) for vote in votes])
    if rule == "max":
        p_BK = ops.max(p_SBK, axis=0)
        return p_BK / ops.sum(p_BK, axis=-1, keepdims=True)
    w_S11 = ops.reshape(ops.convert_to_tensor(weights, p_SBK.dtype), (-1, 1, 1))
    return ops.sum(p_SBK * w_S11, axis=0) / sum(weights)
