"""Shape key: B batch, N training images, H W grid, C channels."""

import keras
from keras import layers, ops

REDUCTIONS = ("mean", "sum")


@keras.saving.register_keras_serializable(package="thyroid_keras")
class GlobalAttention(layers.Layer):
    """Multiplies every image by one map, that of the whole data set.

        y = x * map,    loss = loss + penalty * mean |map|

    The map is a weight, 1 at first. With a `pixel_cnn` each training step computes it anew
    from the stack of the training images, which `attach` gives and nothing ever saves; what
    is not training takes the map of the last step. `settle` ends that: from then on, and in
    whatever is loaded from a file, the map is a constant. So it is while the layer is
    not trainable. With `learn_map` each pixel's weight is learned by itself.

    Args:
        pixel_cnn: `PixelCNN` or `None`.
        num_images: int >= 1, N, with a `pixel_cnn`.
        learn_map: bool, whether gradients reach the map; not with a `pixel_cnn`.
        penalty: float >= 0, lambda; counts only where the map is being learned.
        reduction: `"mean"` or `"sum"` of |map| over the pixels.
        has_prior: bool, whether the `pixel_cnn` adds the weight `prior`, 0 at first, to its
            logits; nothing trains it.

    Call arguments:
        images: `(B, H, W, C)`; H and W static.

    Returns:
        The same shape.

    Raises:
        ValueError: if an argument is out of range, the stack has another shape, or a
            training step lacks it.

    Reference: Xu et al., A Novel Global Spatial Attention Mechanism in Convolutional Neural
        Network for Medical Image Classification, Eq. 1, and Sec. 4.3 for `learn_map`.
    Deviation: the mean, where the text leaves open how |M| is summed up; a sum over 224x224
        pixels would make each of its lambdas a large one.
    """

    def __init__(
        self,
        pixel_cnn=None,
        num_images=None,
        learn_map=False,
        penalty=0.0,
        reduction="mean",
        has_prior=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        given = num_images is not None
        if given != (pixel_cnn is not None) or (given and num_images < 1):
            raise ValueError(
                "`num_images` must be at least 1 with a `pixel_cnn`, and None without. "
                f"Received: num_images={num_images}"
            )
        if learn_map and pixel_cnn is not None:
            raise ValueError(
                "The map is learned by a `pixel_cnn` or by itself. Received: learn_map=True"
            )
        if has_prior and pixel_cnn is None:
            raise ValueError("A prior is added by a `pixel_cnn`. Received: has_prior=True")
        if not penalty >= 0:
            raise ValueError(f"`penalty` must be at least 0. Received: penalty={penalty}")
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"`reduction` must be one of {REDUCTIONS}. Received: reduction={reduction!r}"
            )
        self.pixel_cnn = pixel_cnn
        self.num_images = num_images
        self.learn_map = learn_map
        self.penalty = penalty
        self.reduction = reduction
        self.has_prior = has_prior
        self.prior = None
        self._stack = None

    def build(self, images_shape):
        _, height, width, channels = images_shape
        self.map = self.add_weight(
            shape=(1, height, width, 1),
            initializer="ones",
            trainable=self.learn_map,
            name="map",
        )
        if self.has_prior:
            self.prior = self.add_weight(
                shape=self.map.shape, initializer="zeros", trainable=False, name="prior"
            )
        if self.pixel_cnn is not None:
            self._stack_shape = (1, height, width, self.num_images * channels)
            if not self.pixel_cnn.built:  # as it is when it comes from a configuration
                self.pixel_cnn.build(self._stack_shape)

    def attach(self, stack):
        """Takes the training images, to be held until `settle`, in the layer's precision.

        Args:
            stack: `(1, H, W, N C)`, as the layer would be given the images.
        """
        if self.pixel_cnn is None or tuple(stack.shape) != self._stack_shape:
            wanted = None if self.pixel_cnn is None else self._stack_shape
            raise ValueError(
                f"`stack` must have the shape {wanted} of this layer's pixel CNN. "
                f"Received: stack.shape={tuple(stack.shape)}"
            )
        self._stack = ops.convert_to_tensor(stack, dtype=self.compute_dtype)

    def look(self):
        """Makes the map what the pixel CNN says now, and keeps the stack."""
        self.map.assign(self._say())

    def settle(self):
        """Makes the map what the pixel CNN says now, and lets go of the stack."""
        self.look()
        self._stack = None

    def call(self, images, training=False):
        learning = training and self.trainable and (self.learn_map or self.pixel_cnn is not None)
        return images * ops.cast(self._learned() if learning else self.map, images.dtype)

    def _learned(self):
        """The map with its way back to what learns it."""
        attention = self.map
        if self.pixel_cnn is not None:
            attention = self._say()
            self.map.assign(attention)
        reduce = ops.mean if self.reduction == "mean" else ops.sum
        self.add_loss(self.penalty * reduce(ops.abs(ops.cast(attention, "float32"))))
        return attention

    def _say(self):
        return self.pixel_cnn(self._attached(), self.prior)

    def _attached(self):
        if self._stack is None:
            raise ValueError(
                f"{self.name}: no training images to learn the map from; give them by `attach`, "
                "or set `trainable` to False to keep the map as it is. Received: stack=None"
            )
        return self._stack

    def compute_output_shape(self, images_shape):
        return images_shape

    def get_config(self):
        return super().get_config() | {
            "pixel_cnn": keras.saving.serialize_keras_object(self.pixel_cnn),
            "num_images": self.num_images,
            "learn_map": self.learn_map,
            "penalty": self.penalty,
            "reduction": self.reduction,
            "has_prior": self.has_prior,
        }

    @classmethod
    def from_config(cls, config):
        pixel_cnn = keras.saving.deserialize_keras_object(config["pixel_cnn"])
        return cls(**config | {"pixel_cnn": pixel_cnn})
