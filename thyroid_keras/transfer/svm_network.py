"""A support vector machine that is linear as layers of a network: the same probabilities."""

import keras
import numpy as np

LABEL = "label"


def is_linear(fitted):
    """Whether a `svm.Classifier` is a sum of features: of two classes, with a linear kernel."""
    return len(fitted.class_names) == 2 and fitted.classifier.estimator[-1].kernel == "linear"


def join_svm(network, fitted):
    """Puts a linear machine on the network whose features it has learned from.

        p = mean_m sigmoid(-(a_m (w_m x + b_m) + c_m))

    over its three machines, each w, b with the a, c that Platt's calibration has found for it.
    No image is in it: a linear machine keeps a weight for each feature, and needs no support
    vectors.

    Args:
        network: result of `network.feature_network`.
        fitted: `svm.Classifier` with `is_linear`.

    Returns:
        `keras.Model` from images in [0, 1] to a dict of `label`, probabilities, float32 `(B, 2)`.
    """
    machines = fitted.classifier.calibrated_classifiers_
    kernels, biases = zip(*map(_line, machines), strict=True)
    exact = {"dtype": "float32"}
    sigmoids = keras.layers.Dense(len(machines), activation="sigmoid", name="machines", **exact)
    mean = keras.layers.Dense(2, name=LABEL, **exact)  # of what speaks for either class
    label = mean(sigmoids(network.output))
    sigmoids.set_weights([np.stack(kernels, axis=1), np.array(biases)])
    share = np.full((len(machines), 1), 1 / len(machines))
    mean.set_weights([np.concatenate([-share, share], axis=1), np.array([1.0, 0.0])])
    return keras.Model(network.input, {LABEL: label})


def _line(machine):
    """Weights `(F,)` and bias of what is put through a machine's sigmoid."""
    *scalers, svm = (step for _, step in machine.estimator.steps)
    (calibrator,) = machine.calibrators
    kernel, bias = svm.coef_[0].astype(np.float64), svm.intercept_[0]
    for scaler in scalers:
        kernel = kernel / scaler.scale_
        bias = bias - kernel @ scaler.mean_
    return -calibrator.a_ * kernel, -(calibrator.a_ * bias + calibrator.b_)
