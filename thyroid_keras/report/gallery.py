"""Images with what the model saw in them: successes and failures alike."""

import dataclasses
import functools

import cv2
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from thyroid_keras import metrics
from thyroid_keras.report.style import BLUE, RED, SKY, VERMILION, new_figure, plain

SIGNED = ListedColormap(["#0082FF", "#FF6E00"])  # cold below 0, warm above


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One row of the gallery.

    Args:
        name: of the image.
        kind: why it is shown, e.g. `"wrong, farthest from the threshold"`.
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`; uint8, or float in [0, 1].
        label: int in [0, K), the truth.
        predicted: int in [0, K), the answer.
        probabilities: `(K,)`.
        threshold: of the last of two classes.
        mask: bool `(H, W)`, the truth; `None` where nobody has drawn one.
        maps: dict from name to attention map `(h, w)`, any scale.
        signed: names of the maps that have a meaning on either side of 0, which are drawn
            in warm tones above it and cold ones below.
        predicted_mask: `(H, W)` in [0, 1], probabilities; `None` where the model has none.
        mask_name: what to call `mask`, which may be weak.
        mask_threshold: from which a pixel is outlined, the one that Dice is taken at.
        box: `(left, top, width, height)` in pixels of `image`, where the model sees the
            class; `None` or negative where it says nothing.
        true_box: likewise, the truth; `None` or NaN where nobody knows.
    """

    name: str
    kind: str
    image: np.ndarray
    label: int
    predicted: int
    probabilities: np.ndarray
    threshold: float = 0.5
    mask: np.ndarray | None = None
    maps: dict = dataclasses.field(default_factory=dict)
    signed: tuple[str, ...] = ()
    predicted_mask: np.ndarray | None = None
    mask_threshold: float = 0.5
    mask_name: str = "true mask"
    box: np.ndarray | None = None
    true_box: np.ndarray | None = None


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
    sure, unsure = "surest", "least sure"
    if np.shape(probabilities)[1] == 2:  # p = 0.45 may be sure of the class, by its threshold
        sure, unsure = "farthest from the threshold", "nearest to the threshold"
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    confidence = confidences(probabilities, threshold)
    right = metrics.decide(probabilities, threshold) == labels
    order = np.argsort(-confidence, kind="stable")
    firsts = {labels[i]: i for i in order[::-1] if right[i]}.values()
    best = [*sorted(firsts, key=lambda i: -confidence[i]), *order[right[order]]]
    chosen = {}
    for kind, indices in (
        (f"right, {sure}", best),
        (f"wrong, {sure}", order[~right[order]]),
        (unsure, order[::-1]),
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

    Each map is scaled to its own range, so colours compare places of one map, never two
    maps. Boxes are on the last map, the model's red, the true one blue.

    Args:
        examples: sequence of `Example`, at least one.
        class_names: K strings.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns = [lambda ax, example: "image"]
    if any(e.mask is not None for e in examples):
        columns.append(_draw_true_mask)
    columns += map_columns(examples)
    if any(e.predicted_mask is not None for e in examples):
        columns.append(_draw_predicted_mask)
    height, width = np.shape(examples[0].image)[:2]
    row_inches = 2.1 * height / width + 0.85
    figure, axes = new_figure(
        2.1 * len(columns) + 0.2, row_inches * len(examples), len(examples), len(columns)
    )
    figure.get_layout_engine().set(hspace=0.06)
    for row, example in zip(axes, examples, strict=True):
        for ax, draw in zip(row, columns, strict=True):
            ax.set_xlabel(plain(draw_panel(ax, example, draw), 30))
        _entitle(row[0], example, class_names)
    return figure


def map_columns(examples):
    """Returns a drawing function for each map of the examples, the last one with boxes."""
    names = list(dict.fromkeys(name for e in examples for name in e.maps))
    return [functools.partial(_draw_map, name=name, boxes=name == names[-1]) for name in names]


def draw_panel(ax, example, draw):
    """Draws an example's image and over it what `draw` draws; returns what that says."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.imshow(_picture(example.image), cmap="gray", vmin=0, vmax=1)
    limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    said = draw(ax, example)
    ax.set(**limits)
    return said


def _entitle(ax, example, class_names):
    right = example.label == example.predicted
    truth, answer = (plain(class_names[k], 22) for k in (example.label, example.predicted))
    verdict = f"p = {example.probabilities[example.predicted]:.2f}"
    if len(class_names) == 2:
        p = example.probabilities[1]
        verdict = f"p of {plain(class_names[1], 22)} {p:.2f}, threshold {example.threshold:.2f}"
    ax.set_title(
        f"{plain(example.kind)}\n{plain(example.name, 34)}\n"
        f"truth: {truth}, called {answer}\n{verdict}",
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


def _draw_map(ax, example, name, boxes=False):
    if name not in example.maps:
        return f"{name}: none"
    said = _draw_boxes(ax, example) if boxes else ""
    attention = np.nan_to_num(np.asarray(example.maps[name], dtype=float).squeeze())
    span = np.ptp(attention)
    if span == 0:
        return f"{name}: the same everywhere"
    if name in example.signed:
        _overlay(ax, example, attention / np.abs(attention).max(), SIGNED)
    else:
        _overlay(ax, example, (attention - attention.min()) / span, "inferno")
    return name + said


def _draw_boxes(ax, example):
    """Draws the true box and the model's; returns what to say of them."""
    drawn = {}
    for name, box, colour in (("true", example.true_box, SKY), ("own", example.box, RED)):
        if box is not None and np.isfinite(box).all() and box[2] > 0:
            left, top, width, height = drawn[name] = box
            style = {"fill": False, "edgecolor": colour, "linewidth": 1.6, "zorder": 3}
            ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, **style))
    if len(drawn) == 2:
        return f", IoU {metrics.box_iou([drawn['true']], [drawn['own']])[0]:.2f}"
    if example.box is None and example.true_box is None:
        return ""
    return ", no box found" if "true" in drawn else ", no true box"


def _overlay(ax, example, share, cmap):
    """Colours what is high and leaves the rest of the image as it is."""
    height, width = np.shape(example.image)[:2]
    # while it has its sign: between cells of 1 and -1 the map is 0, not 1
    share = cv2.resize(np.float32(share), (width, height))
    style = {"vmin": -1 if cmap is SIGNED else 0, "vmax": 1, "interpolation": "bilinear"}
    ax.imshow(share, cmap=cmap, alpha=0.7 * np.abs(share), **style)


def _draw_predicted_mask(ax, example):
    if example.predicted_mask is None:
        return "no predicted mask"
    probability = np.asarray(example.predicted_mask, dtype=float).squeeze()
    if probability.max() < example.mask_threshold:
        return f"predicted: empty (max {probability.max():.2f})"
    _outline(ax, probability >= example.mask_threshold, VERMILION)
    return "predicted mask"
