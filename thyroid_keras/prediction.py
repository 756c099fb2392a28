"""What a trained network says of images: class probabilities and masks."""

import dataclasses

import numpy as np
from keras import ops

from thyroid_keras import metrics
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """A network's answers to B images.

    Args:
        indices: `(B,)` ints, of the images within their table.
        probabilities: float64 `(B, K)`, rows adding up to 1.
        spread: float64 `(B, K)`, their SD over the members of an ensemble; `None` where
            the network is none.
        masks: float32 `(B, H, W)` in [0, 1]; `None` where the network draws none.
        true_masks: bool `(B, H, W)`, empty where nobody drew one; `None` where none of
            the table's images has one.
    """

    indices: np.ndarray
    probabilities: np.ndarray
    spread: np.ndarray | None
    masks: np.ndarray | None
    true_masks: np.ndarray | None


def input_size(model):
    """Returns `((H, W), channels)` of the images that a model takes."""
    _, height, width, channels = model.input_shape
    return (height, width), channels


def predict(model, store, *, batch_size=16, label="Predicting"):
    """Predicts all samples of a store, a batch at a time.

    Args:
        model: `keras.Model` that takes images in [0, 1].
        store: `data.store.PixelStore` of the model's size.
        batch_size: int >= 1.
        label: what the progress bar calls the work.

    Yields:
        `Batch`.
    """
    for start in track(range(0, len(store.table), batch_size), label):
        chosen = np.arange(start, min(start + batch_size, len(store.table)))
        images, drawn = store.read(chosen)
        outputs = model.predict_on_batch(images * GREY_LEVEL)
        yield Batch(
            indices=chosen,
            probabilities=class_probabilities(outputs),
            spread=_array(outputs, "label_sd"),
            masks=mask_of(outputs),
            true_masks=None if drawn is None else drawn[..., 0] >= 128,
        )


def judge(model, store, mask_thresholds, **options):
    """Predicts all samples of a store and counts the pixels of their masks.

    Args:
        model, store, **options: as for `predict`.
        mask_thresholds: T floats; at or above which a pixel is in the predicted mask.

    Returns:
        `(probabilities, counts)`: float64 `(N, K)`, and float64 `(3, N, T)`, see
        `metrics.overlaps`, NaN where nobody drew a true mask; `None` where the network
        draws none. No mask is kept.
    """
    probabilities, counts = [], []
    for batch in predict(model, store, **options):
        probabilities.append(batch.probabilities)
        if batch.masks is None:
            continue
        truth = batch.true_masks
        if truth is None:
            truth = np.zeros(batch.masks.shape, bool)
        found = [metrics.overlaps(truth, batch.masks >= t) for t in mask_thresholds]
        counts.append(np.stack(found, axis=-1).astype(float))
    if not counts:
        return np.concatenate(probabilities), None
    counts = np.concatenate(counts, axis=1)
    unknown = [sample.mask is None for sample in store.table.samples]
    counts[:2, unknown] = np.nan
    return np.concatenate(probabilities), counts


def mask_of(outputs):
    """The mask among a model's outputs, `(B, H, W)`, or `None`."""
    mask = _array(outputs, "mask")
    return None if mask is None else mask[..., 0]


def _array(outputs, name):
    if isinstance(outputs, dict) and name in outputs:
        return ops.convert_to_numpy(outputs[name])
    return None


def class_probabilities(outputs):
    """Class probabilities `(B, K)` in float64 from whatever a model puts out."""
    label = ops.convert_to_numpy(label_of(outputs)).astype(np.float64)
    return label / label.sum(axis=1, keepdims=True)


def label_of(outputs):
    """Class probabilities from a model's outputs, arrays or symbolic tensors.

    `label` are probabilities already; anything else are logits. A network that only
    draws a mask is asked for its most certain pixel: an image is as positive as that.

    Args:
        outputs: `(B, K)`, or a dict from name to such or, for `mask`, `(B, H, W, 1)`.

    Returns:
        Tensor `(B, K)`.
    """
    if not isinstance(outputs, dict):
        return ops.softmax(outputs)
    if "label" in outputs:
        return outputs["label"]
    if "logits" in outputs:
        return ops.softmax(outputs["logits"])
    if "mask" in outputs:
        highest = ops.max(outputs["mask"], axis=(1, 2))
        return ops.concatenate([1 - highest, highest], axis=1)
    return ops.mean(ops.stack([ops.softmax(votes) for votes in outputs.values()]), axis=0)
