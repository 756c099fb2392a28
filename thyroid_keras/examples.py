"""Test images that a run shows, with all that its network says of them."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.answers import mask_of
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.boxes import true_boxes
from thyroid_keras.explain import attention_maps, can_localise, localise
from thyroid_keras.report import Example, choose_examples, gallery, save_figure

GATES = {
    "attention, gate 3 of the mask": "mask_gate3",
    "attention, gate 1 of the label": "label_gate1",
}


def write_gallery(run, model, store, probabilities, thresholds, *, count=2):
    """Draws `plots/gallery.png`: successes and failures with masks, maps and boxes.

    Args:
        run: `runs.Run`.
        model: `keras.Model` that takes images in [0, 1].
        store: `data.store.PixelStore` of the test images, of the model's size.
        probabilities: `(N, K)`, the answers to all of them.
        thresholds: dict, `label` and, where the network draws masks, `mask`.
        count: of each kind, see `report.choose_examples`.
    """
    table = store.table
    picks = choose_examples(table.labels, probabilities, threshold=thresholds["label"], count=count)
    examples = read_examples(model, store, picks, probabilities, thresholds)
    save_figure(gallery(examples, class_names=table.class_names), run.plots / "gallery.png")


def read_examples(model, store, picks, probabilities, thresholds, *, boxes=True):
    """Asks a network where it looks on a few images.

    Args:
        model, store, probabilities, thresholds: as for `write_gallery`.
        picks: sequence of `(kind, index)`: why an image is shown, and which it is.
        boxes: bool, whether boxes are wanted too, the network's and the true one, where
            the network finds any.

    Returns:
        List of `report.Example`.
    """
    table, indices = store.table, np.array([index for _, index in picks])
    pixels, masks = store.read(indices)
    decided = metrics.decide(probabilities[indices], thresholds["label"])
    maps, predicted_masks, found = _ask(model, pixels * GREY_LEVEL, decided)
    truth = None
    if found is not None and boxes:
        truth = true_boxes(store, indices)
    examples = []
    for row, (kind, i) in enumerate(picks):
        sample = table.samples[i]
        drawn = masks is not None and sample.mask is not None
        examples.append(
            Example(
                name=sample.name,
                kind=kind,
                image=pixels[row],
                label=sample.label,
                predicted=int(decided[row]),
                probabilities=probabilities[i],
                mask=masks[row, ..., 0] >= 128 if drawn else None,
                maps={name: values[row] for name, values in maps.items()},
                predicted_mask=None if predicted_masks is None else predicted_masks[row],
                mask_threshold=thresholds.get("mask", 0.5),
                mask_name="weak mask" if "weak" in (table.mask_source or "") else "true mask",
                box=None if truth is None else found[row],
                true_box=None if truth is None else truth[row],
            )
        )
    return examples


def _ask(model, images, class_indices):
    """What a network has to show: maps by name, its masks, its boxes; `None` where it has none."""
    if can_localise(model):
        found = localise(model, images, class_indices)
        return found.maps, None, found.boxes
    maps = attention_maps(model, images)
    shown = {title: maps[name] for title, name in GATES.items() if name in maps}
    return shown, mask_of(model.predict_on_batch(images)), None
