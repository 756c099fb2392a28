"""What a trained network says of images: class probabilities and masks."""

import dataclasses

import numpy as np
from keras import ops

from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers for N images.

    Args:
        probabilities: float64 `(N, K)`, rows adding up to 1.
        masks: float16 `(N, H, W)` in [0, 1]; `None` where the network draws none.
    """

    probabilities: np.ndarray
    masks: np.ndarray | None


def input_size(model):
    """Returns `((H, W), channels)` of the images that a model takes."""
    _, height, width, channels = model.input_shape
    return (height, width), channels


def predict(model, store, *, batch_size=16, label="Predicting"):
    """Predicts all samples of a store.

    Args:
        model: `keras.Model` that takes images in [0, 1].
        store: `data.store.PixelStore` of the model's size.
        batch_size: int >= 1.
        label: what the progress bar calls the work.

    Returns:
        `Predictions`.
    """
    probabilities, masks = [], []
    steps = range(0, len(store.table), batch_size)
    for start in track(steps, label):
        chosen = np.arange(start, min(start + batch_size, len(store.table)))
        images = store.read(chosen)[0] * GREY_LEVEL
        outputs = model.predict_on_batch(images)
        probabilities.append(class_probabilities(outputs))
        if (mask := mask_of(outputs)) is not None:
            masks.append(mask.astype(np.float16))
    return Predictions(
        probabilities=np.concatenate(probabilities),
        masks=np.concatenate(masks) if masks else None,
    )


def mask_of(outputs):
    """The mask among a model's outputs, `(B, H, W)`, or `None`."""
    if isinstance(outputs, dict) and "mask" in outputs:
        return ops.convert_to_numpy(outputs["mask"])[..., 0]
    return None


def class_probabilities(outputs):
    """Class probabilities `(B, K)` in float64 from whatever a model puts out.

    `label` are probabilities already; anything else are logits. A network that only
    draws a mask is asked for its most certain pixel: an image is as positive as that.
    """
    if not isinstance(outputs, dict):
        return _softmax(outputs)
    if "label" in outputs:
        label = ops.convert_to_numpy(outputs["label"]).astype(np.float64)
        return label / label.sum(axis=1, keepdims=True)
    if "logits" in outputs:
        return _softmax(outputs["logits"])
    if "mask" in outputs:
        highest = mask_of(outputs).max(axis=(1, 2)).astype(np.float64)
        return np.stack([1 - highest, highest], axis=1)
    return np.mean([_softmax(votes) for votes in outputs.values()], axis=0)


def _softmax(logits):
    logits = ops.convert_to_numpy(logits).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
