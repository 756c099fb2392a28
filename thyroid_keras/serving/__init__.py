"""Trained networks as models that answer encoded pictures with TensorFlow alone."""

from thyroid_keras.serving.saved_model import export

__all__ = ["export"]
