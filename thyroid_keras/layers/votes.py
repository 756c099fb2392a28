"""How a network's votes, one per scale, become one answer at test time."""

import keras
from keras import layers, ops

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
    _check(rule, weights)
    votes = list(votes.values()) if isinstance(votes, dict) else list(votes)
    if weights is None:
        weights = [1.0] * len(votes)
    if len(weights) != len(votes):
        raise ValueError(f"`weights` must be {len(votes)} numbers. Received: weights={weights}")
    p_SBK = ops.stack([ops.softmax(vote) for vote in votes])
    if rule == "max":
        p_BK = ops.max(p_SBK, axis=0)
        return p_BK / ops.sum(p_BK, axis=-1, keepdims=True)
    w_S11 = ops.reshape(ops.convert_to_tensor(weights, p_SBK.dtype), (-1, 1, 1))
    return ops.sum(p_SBK * w_S11, axis=0) / sum(weights)


@keras.saving.register_keras_serializable(package="thyroid_keras")
class CombineVotes(layers.Layer):
    """`combine_votes` as a layer, so that a saved network gives one answer.

    Args:
        rule, weights: as for `combine_votes`.

    Call arguments:
        votes: list of logits, each `(B, K)`.

    Returns:
        float32 `(B, K)`, rows adding up to 1.

    Raises:
        ValueError: if the rule is unknown or the weights do not fit it.
    """

    def __init__(self, rule="mean", weights=None, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        _check(rule, weights)
        self.rule = rule
        self.vote_weights = None if weights is None else tuple(weights)

    def call(self, votes):
        return combine_votes(votes, self.rule, self.vote_weights)

    def compute_output_shape(self, votes_shape):
        return tuple(votes_shape[0])

    def get_config(self):
        return super().get_config() | {"rule": self.rule, "weights": self.vote_weights}


def _check(rule, weights):
    if rule not in RULES:
        raise ValueError(f"`rule` must be one of {RULES}. Received: rule={rule!r}")
    if (rule == "weighted_mean") != (weights is not None):
        raise ValueError(
            '`weights` go with rule="weighted_mean" and only with it. '
            f"Received: rule={rule!r}, weights={weights}"
        )
    if weights is not None and (min(weights, default=0) < 0 or not sum(weights) > 0):
        raise ValueError(f"`weights` must be numbers >= 0, not all 0. Received: weights={weights}")
