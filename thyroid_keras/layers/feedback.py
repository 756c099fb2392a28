"""Shape key: B batch, H W grid, K classes."""

import keras
from keras import layers, ops

EVIDENCES = ("margin", "class")
SCALES = ("unit", "literal", "standardise")
TARGETS = ("predicted", "last")
FORMS = ("2sigmoid", "sigmoid")
EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="thyroid_keras")
class FeedbackGate(layers.Layer):
    """Turns what each position said for a class into a gate on the features there.

        gate_ij = 2 sigmoid(s E_ij)

    The gate is a constant in the backward pass, like any map that is fed back.

    Args:
        evidence: `"margin"`: E of the class less the mean E of the others, which is all that
            a softmax can tell; `"class"`: E of the class alone.
        scale: `"unit"`: s = 1; `"literal"`: s = 1 / (H W), the paper's, with which the gate
            is constant to three digits; `"standardise"`: E to mean 0 and SD 1 per image.
        target: the class: the one `"predicted"` by the pass before, or always the `"last"`
            (malignant).
        form: `"2sigmoid"`, whose neutral value is 1, or the paper's `"sigmoid"`.

    Call arguments:
        logits: `(B, K)` of the pass before.
        evidence: `(B, H, W, K)` likewise, of `LAPClassifier`.

    Returns:
        float32 `(B, H, W, 1)` in (0, 2), or (0, 1).

    Raises:
        ValueError: if a name is unknown.

    Reference: Wang et al., FAN, Sec. 3.2, AM = sigmoid(M).
    Deviation: the defaults. The literal map is inert, for its mean over the grid is a logit
        divided by (kappa eta)^2; so it is not scaled. With 2 sigmoid, features with a map
        and features without have one scale. Whose map is fed back the paper does not say:
        of the class that is predicted, since of an image never seen before none else is
        known, and over the others, since a softmax does not fix a class alone.
    """

    def __init__(
        self, evidence="margin", scale="unit", target="predicted", form="2sigmoid", **kwargs
    ):
        super().__init__(**kwargs | {"dtype": "float32"})
        named = {
            "evidence": (evidence, EVIDENCES),
            "scale": (scale, SCALES),
            "target": (target, TARGETS),
            "form": (form, FORMS),
        }
        for name, (value, known) in named.items():
            if value not in known:
                raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")
        self.evidence, self.scale, self.target, self.form = evidence, scale, target, form

    def call(self, logits, evidence):
        num_classes = logits.shape[-1]
        # of whole numbers: Keras's argmax of floats has an operation that LiteRT lacks
        is_highest_BK = ops.equal(logits, ops.max(logits, axis=-1, keepdims=True))
        chosen_B = ops.argmax(ops.cast(is_highest_BK, "int32"), axis=-1)
        if self.target == "last":
            chosen_B = ops.full_like(chosen_B, num_classes - 1)
        chosen_BK = ops.one_hot(chosen_B, num_classes)
        weight_BK = chosen_BK
        if self.evidence == "margin":
            weight_BK = chosen_BK - (1 - chosen_BK) / max(1, num_classes - 1)
        e_BHW1 = ops.sum(evidence * weight_BK[:, None, None, :], axis=-1, keepdims=True)
        if self.scale == "literal":
            e_BHW1 = e_BHW1 / (evidence.shape[1] * evidence.shape[2])
        elif self.scale == "standardise":
            axes = (1, 2)
            centred = e_BHW1 - ops.mean(e_BHW1, axis=axes, keepdims=True)
            e_BHW1 = centred / (ops.std(centred, axis=axes, keepdims=True) + EPSILON)
        gate_BHW1 = ops.sigmoid(ops.stop_gradient(e_BHW1))
        return gate_BHW1 if self.form == "sigmoid" else 2 * gate_BHW1

    def compute_output_shape(self, logits_shape, evidence_shape):
        return (*evidence_shape[:-1], 1)

    def get_config(self):
        return super().get_config() | {
            "evidence": self.evidence,
            "scale": self.scale,
            "target": self.target,
            "form": self.form,
        }
