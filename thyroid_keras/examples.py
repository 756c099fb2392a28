"""Test images that a run shows, with all that its network says of them."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.answers import mask_of
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.boxes import true_boxes
from thyroid_keras.explain import attention_maps, can_localise, gates, localise, unit_maps
from thyroid_keras.report import Example, choose_examples, gallery, save_figure

CLASS_MAP = "class map"  # warm for the answer, cold against it
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
        thresholds: dict, `label` and, where the network draws masks, `mask`, or where its
            class map is made one, `map`.
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
    shown = _ask(model, pixels * GREY_LEVEL, decided)
    maps, predicted_masks, found = shown["maps"], shown.get("masks"), shown.get("boxes")
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
                threshold=thresholds["label"],
                mask=masks[row, ..., 0] >= 128 if drawn else None,
                maps={name: values[row] for name, values in maps.items()},
                signed=(CLASS_MAP,),
                predicted_mask=None if predicted_masks is None else predicted_masks[row],
                mask_threshold=thresholds.get("mask", thresholds.get("map", 0.5)),
                mask_name="weak mask" if "weak" in (table.mask_source or "") else "true mask",
                box=None if truth is None else found[row],
                true_box=None if truth is None else truth[row],
            )
        )
    return examples


def _ask(model, images, class_indices):
    """What a network has to show: `maps` by name and, where it has them, `masks` and `boxes`."""
    if not can_localise(model):
        maps = attention_maps(model, images)
        shown = {title: maps[name] for title, name in GATES.items() if name in maps}
        return {"maps": shown, "masks": mask_of(model.predict_on_batch(images))}
    found = localise(model, images, class_indices)
    if gates(model) or found.probabilities.shape[1] != 2:
        return {"maps": found.maps, "boxes": found.boxes}
    masks = unit_maps(found.evidence, images.shape[1:3])
    return {"maps": {CLASS_MAP: found.evidence}, "masks": masks, "boxes": found.boxes}
