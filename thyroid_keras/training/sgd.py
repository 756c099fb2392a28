"""Stochastic gradient descent with a penalty on the weights that goes through the momentum,
in one fused operation per weight where the backend has one."""

import keras
from keras import ops

PENALISED = ("kernels", "all")


@keras.saving.register_keras_serializable(package="thyroid_keras")
class SGD(keras.optimizers.SGD):
    """Keras's SGD for the loss plus l2 / 2 * ||w||^2.

        g = gradient + l2 * w
        v = momentum * v - learning_rate * g
        w = w + momentum * v - learning_rate * g    with `nesterov`, else w + v

    This is what PyTorch calls `weight_decay`; Keras's argument of that name shrinks the
    weights beside the momentum instead. The reported loss does not include the penalty.

    Args:
        *args, **kwargs: of `keras.optimizers.SGD`.
        l2: float >= 0.
        penalised: `"kernels"`, or `"all"`: biases and normalisations too.

    Raises:
        ValueError: if `l2` is negative or `penalised` unknown.
    """

    def __init__(self, *args, l2=0.0, penalised="kernels", **kwargs):
        super().__init__(*args, **kwargs)
        if not l2 >= 0:
            raise ValueError(f"`l2` must be at least 0. Received: l2={l2}")
        if penalised not in PENALISED:
            raise ValueError(
                f"`penalised` must be one of {PENALISED}. Received: penalised={penalised!r}"
            )
        self.l2 = l2
        self.penalised = penalised

    def build(self, variables):
        # by name here: a backend's own variables, which the steps see, have other names
        self._shrinks = [self.penalised == "all" or v.name == "kernel" for v in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        if self.l2 and self._shrinks[self._get_variable_index(variable)]:
            gradient = ops.add(gradient, ops.multiply(variable, self.l2))
        if keras.backend.backend() != "tensorflow" or not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf  # only on its own backend

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].handle,
            lr=ops.cast(learning_rate, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )

    def get_config(self):
        return super().get_config() | {"l2": self.l2, "penalised": self.penalised}
