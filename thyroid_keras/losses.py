"""Losses that Keras lacks."""

import keras
from keras import ops

EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="thyroid_keras")
class FocalTversky(keras.losses.Loss):
    """Overlap loss for small objects, with separate prices for misses and false alarms.

        TI = (TP + s) / (TP + alpha FN + beta FP + s)
        loss = (1 - TI) ** (1 / gamma)

    with TP = sum(t p), FN = sum(t (1 - p)), FP = sum((1 - t) p) over the pixels.
    `gamma=1` is the Tversky loss; with `alpha=beta=0.5` also the (soft) Dice loss.

    Args:
        alpha: float >= 0, the price of a missed pixel (FN).
        beta: float >= 0, the price of a false pixel (FP).
        gamma: float in [1, 3]; above 1 raises the weight of nearly solved images.
        smooth: float > 0, s; gives TI a value where mask and prediction are empty.
        per: `"image"`, one TI per image, independent of the batch size; or
            `"batch"`, one TI over all pixels of the batch.

    Call arguments:
        y_true: masks `(B, H, W, 1)` in [0, 1].
        y_pred: probabilities of the same shape.

    Returns:
        float32, `(B,)` before the reduction over the batch, or a scalar for
        `per="batch"`; in [0, 1].

    Raises:
        ValueError: if an argument is out of range.

    Reference: Abraham and Khan 2018, arXiv:1810.07842, Eq. 3 and 4 (exponent 1 / gamma);
        Wang et al. (CS-AGnet), Eq. 2 and 3.
    Deviation: 1 - TI is clipped below at 1e-7, since the slope of the power at 0 is
        infinite and an empty or perfect mask would make the gradient NaN. Per image
        by default, where the peer code sums over the batch: an image without
        calcification then still counts.
    """

    def __init__(
        self,
        alpha=0.7,
        beta=0.3,
        gamma=4 / 3,
        smooth=1.0,
        per="image",
        name="focal_tversky",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        if not 1 <= gamma <= 3:
            raise ValueError(f"`gamma` must lie in [1, 3]. Received: gamma={gamma}")
        if min(alpha, beta) < 0:
            raise ValueError(
                f"`alpha` and `beta` must be at least 0. Received: alpha={alpha}, beta={beta}"
            )
        if smooth <= 0:
            raise ValueError(f"`smooth` must be above 0. Received: smooth={smooth}")
        if per not in ("image", "batch"):
            raise ValueError(f'`per` must be "image" or "batch". Received: per={per!r}')
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.smooth = smooth
        self.per = per

    def call(self, y_true, y_pred):
        t_BHW1 = ops.cast(y_true, "float32")
        p_BHW1 = ops.cast(y_pred, "float32")
        axes = tuple(range(0 if self.per == "batch" else 1, len(p_BHW1.shape)))
        hits = ops.sum(t_BHW1 * p_BHW1, axis=axes)
        misses = ops.sum(t_BHW1, axis=axes) - hits
        false_alarms = ops.sum(p_BHW1, axis=axes) - hits
        index = (hits + self.smooth) / (
            hits + self.alpha * misses + self.beta * false_alarms + self.smooth
        )
        loss = ops.maximum(1.0 - index, EPSILON)
        return loss if self.gamma == 1 else ops.power(loss, 1.0 / self.gamma)

    def get_config(self):
        return super().get_config() | {
            "alpha": self.alpha,
            "beta": self.beta,
            "gamma": self.gamma,
            "smooth": self.smooth,
            "per": self.per,
        }
