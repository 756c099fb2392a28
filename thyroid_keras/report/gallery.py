"""Images with what the model saw in them: successes and failures alike."""

import dataclasses
import functools

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.report.style import BLUE, SKY, VERMILION, new_figure, plain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One row of the gallery.

    Args:
        name: of the image.
        kind: why it is shown, e.g. `"confident and wrong"`.
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`; uint8, or float in [0, 1].
        label: int in [0, K), the truth.
        predicted: int in [0, K), the answer.
        probabilities: `(K,)`.
        mask: bool `(H, W)`, the truth; `None` where nobody has drawn one.
        maps: dict from name to attention map `(h, w)`, any scale.
        predicted_mask: `(H, W)` in [0, 1], probabilities; `None` where the model has none.
        mask_name: what to call `mask`, which may be weak.
        mask_threshold: from which a pixel is outlined, the one that Dice is taken at.
    """

    name: str
    kind: str
    image: np.ndarray
    label: int
    predicted: int
    probabilities: np.ndarray
    mask: np.ndarray | None = None
    maps: dict = dataclasses.field(default_factory=dict)
    predicted_mask: np.ndarray | None = None
    mask_threshold: float = 0.5
    mask_name: str = "true mask"


def choose_examples(labels, probabilities, *, threshold=0.5, count=2):
    """Picks images that show the best and the worst: the most and the least confident.

    Confidence is the distance from the threshold, as a share of what was possible; with
    more than two classes the lead of the answer over the second.

    Args:
        labels: `(N,)` ints.
        probabilities: `(N, K)`.
        threshold: of the last of two classes.
        count: of each kind.

    Returns:
        List of `(kind, index)` without repetition: right (of different classes first),
        wrong, least sure.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    confidence = confidences(probabilities, threshold)
    right = metrics.decide(probabilities, threshold) == labels
    order = np.argsort(-confidence, kind="stable")
    firsts = {labels[i]: i for i in order[::-1] if right[i]}.values()
    sure = [*sorted(firsts, key=lambda i: -confidence[i]), *order[right[order]]]
    chosen = {}
    for kind, indices in (
        ("confident and right", sure),
        ("confident and wrong", order[~right[order]]),
        ("least sure", order[::-1]),
    ):
        fresh = [int(i) for i in dict.fromkeys(indices) if int(i) not in chosen]
        chosen |= dict.fromkeys(fresh[:count], kind)
    return [(kind, index) for index, kind in chosen.items()]


def confidences(probabilities, threshold=0.5):
    """How far each answer is from the other, `(N,)` in [0, 1]; see `choose_examples`."""
    if probabilities.shape[1] == 2:
        p = probabilities[:, 1]
        room = np.where(p >= threshold, 1 - threshold, threshold)
        return np.abs(p - threshold) / np.maximum(room, 1e-12)
    ranked = np.sort(probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def gallery(examples, *, class_names):
    """Draws one row per example: image, true outline, attention maps, predicted mask.

    Each attention map is scaled to its own range, so colours compare places of one map,
    never two maps.

    Args:
        examples: sequence of `Example`, at least one.
        class_names: K strings.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns = [lambda ax, example: "image"]
    if any(e.mask is not None for e in examples):
        columns.append(_draw_true_mask)
    for name in dict.fromkeys(name for e in examples for name in e.maps):
        columns.append(functools.partial(_draw_map, name=name))
    if any(e.predicted_mask is not None for e in examples):
        columns.append(_draw_predicted_mask)
    figure, axes = new_figure(
        2.1 * len(columns) + 0.2, 2.95 * len(examples), len(examples), len(columns)
    )
    figure.get_layout_engine().set(hspace=0.06)
    for row, example in zip(axes, examples, strict=True):
        for ax, draw in zip(row, columns, strict=True):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.imshow(_picture(example.image), cmap="gray", vmin=0, vmax=1)
            limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
            ax.set(xlabel=plain(draw(ax, example), 30), **limits)
        _entitle(row[0], example, class_names)
    return figure


def _entitle(ax, example, class_names):
    right = example.label == example.predicted
    truth, answer = (plain(class_names[k], 22) for k in (example.label, example.predicted))
    verdict = f"called {answer}, p = {example.probabilities[example.predicted]:.2f}"
    ax.set_title(
        f"{plain(example.kind)}\n{plain(example.name, 34)}\ntruth: {truth}\n{verdict}",
        fontsize=9.5,
        loc="left",
        color=BLUE if right else VERMILION,
    )


def _picture(image):
    image = np.asarray(image)
    if image.dtype == np.uint8:
        image = image / 255
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    return np.clip(np.nan_to_num(image.astype(float)), 0, 1)


def _outline(ax, mask, colour):
    """The border between the pixels that are in the mask and those that are not."""
    padded = np.pad(mask.astype(float), 1)
    height, width = padded.shape
    ax.contour(
        np.arange(width) - 1, np.arange(height) - 1, padded, [0.5], colors=colour, linewidths=1.4
    )


def _draw_true_mask(ax, example):
    if example.mask is None:
        return f"no {example.mask_name}"
    if not np.any(example.mask):
        return f"{example.mask_name}: empty"
    _outline(ax, np.asarray(example.mask) > 0, SKY)
    return example.mask_name


def _draw_map(ax, example, name):
    if name not in example.maps:
        return f"{name}: none"
    attention = np.nan_to_num(np.asarray(example.maps[name], dtype=float).squeeze())
    span = np.ptp(attention)
    if span == 0:
        return f"{name}: the same everywhere"
    _overlay(ax, example, (attention - attention.min()) / span, "inferno")
    return name


def _overlay(ax, example, share, cmap):
    """Colours what is high and leaves the rest of the image as it is."""
    height, width = np.shape(example.image)[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    style = {"vmin": 0, "vmax": 1, "interpolation": "bilinear", "extent": extent}
    ax.imshow(share, cmap=cmap, alpha=0.7 * share, **style)


def _draw_predicted_mask(ax, example):
    if example.predicted_mask is None:
        return "no predicted mask"
    probability = np.asarray(example.predicted_mask, dtype=float).squeeze()
    _overlay(ax, example, np.clip(probability, 0, 1), "viridis")
    if probability.max() < example.mask_threshold:
        return f"predicted: empty (max {probability.max():.2f})"
    _outline(ax, probability >= example.mask_threshold, VERMILION)
    return "predicted mask"
