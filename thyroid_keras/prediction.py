"""What a trained network says of images: class probabilities, masks, and places."""

import dataclasses

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.answers import array_of, class_probabilities, mask_of
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track
from thyroid_keras.explain import read_places, with_maps


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
        boxes: int64 `(B, 4)`, and
        evidence: float32 `(B, h, w)`, see `explain.Localisation`; `None` where not asked for.
    """

    indices: np.ndarray
    probabilities: np.ndarray
    spread: np.ndarray | None
    masks: np.ndarray | None
    true_masks: np.ndarray | None
    boxes: np.ndarray | None = None
    evidence: np.ndarray | None = None


def input_size(model):
    """Returns `((H, W), channels)` of the images that a model takes."""
    _, height, width, channels = model.input_shape
    return (height, width), channels


def predict(model, store, *, batch_size=16, label="Predicting", locate_at=None):
    """Predicts all samples of a store, a batch at a time.

    Args:
        model: `keras.Model` that takes images in [0, 1].
        store: `data.store.PixelStore` of the model's size.
        batch_size: int >= 1.
        label: what the progress bar calls the work.
        locate_at: threshold of the last of two classes, at which the class is named whose
            place is to be found, in the same pass; `None`: none is. Only where
            `explain.can_localise`.

    Yields:
        `Batch`.
    """
    network = model if locate_at is None else with_maps(model)
    for start in track(range(0, len(store.table), batch_size), label):
        chosen = np.arange(start, min(start + batch_size, len(store.table)))
        images, drawn = store.read(chosen)
        outputs = network.predict_on_batch(images * GREY_LEVEL)
        probabilities, boxes, evidence = class_probabilities(outputs), None, None
        if locate_at is not None:
            named = metrics.decide(probabilities, locate_at)
            boxes, evidence = read_places(outputs, store.size, named)
        yield Batch(
            indices=chosen,
            probabilities=probabilities,
            spread=array_of(outputs, "label_sd"),
            masks=mask_of(outputs),
            true_masks=None if drawn is None else drawn[..., 0] >= 128,
            boxes=boxes,
            evidence=evidence,
        )


def judge(model, store, mask_thresholds, *, look=lambda batch: None, **options):
    """Predicts all samples of a store and counts the pixels of their masks.

    Args:
        model, store, **options: as for `predict`.
        mask_thresholds: T floats; at or above which a pixel is in the predicted mask.
        look: function called with each `Batch` that has masks.

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
        look(batch)
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


def locate(model, store, threshold, *, look=lambda batch: {}, **options):
    """Predicts all samples of a store, and finds where the named class is seen.

    Args:
        model, store, **options: as for `predict`.
        threshold: of the last of two classes; of more the likeliest is named.
        look: function from each `Batch` to a dict of arrays `(B,)`, what its maps are
            worth; no map is kept.

    Returns:
        `(probabilities, boxes, columns)`: float64 `(N, K)`; int64 `(N, 4)`, see
        `explain.Localisation`; and the dict of arrays `(N,)` that `look` has found.
    """
    probabilities, boxes, looks = [], [], []
    for batch in predict(model, store, locate_at=threshold, **options):
        probabilities.append(batch.probabilities)
        boxes.append(batch.boxes)
        looks.append(look(batch))
    columns = {name: np.concatenate([one[name] for one in looks]) for name in looks[0]}
    return np.concatenate(probabilities), np.concatenate(boxes), columns
