"""How well class maps find the nodule: figures of a run, and columns of `predictions.csv`."""

import functools

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.progress import track
from thyroid_keras.explain import (
    can_localise,
    evidence_map,
    perturbation_curves,
    resize_maps,
    unit_maps,
)
from thyroid_keras.explain.faithfulness import STEPS, blur_sigma
from thyroid_keras.prediction import predict

FOLLOWED = 32  # test images for deletion and insertion, which take 20 passes each
OVER = "images with a mask, by the map of the class that the network names"
FIGURES = {
    "hit": "pointing",
    "ap": "average_precision",
    "dice": "dice",
    "iou": "iou",
    "deletion": "deletion",
    "insertion": "insertion",
}
OWN, CENTRE, RANDOM = "map", "centre", "random"


def has_nodules(model, table):
    """Whether a model has class maps of two classes, and a table masks of nodules."""
    masked = any(sample.mask is not None for sample in table.samples)
    of_nodules = table.target != "calcification" and len(table.class_names) == 2
    return masked and of_nodules and can_localise(model)


def choose_map_thresholds(model, store, threshold, **options):
    """Chooses from which share of its maximum a map is the nodule's mask.

    Args:
        model: `keras.Model`, see `has_nodules`.
        store: `data.store.PixelStore` of the validation images.
        threshold: of the last of two classes, at which the class is named.
        **options: of `prediction.predict`.

    Returns:
        dict: `map` and `centre`, floats, and for each `<name>_origin`, a sentence.
    """
    counts = {OWN: [], CENTRE: []}
    options |= {"label": "Choosing the threshold of maps", "locate_at": threshold}
    for batch in predict(model, store, **options):
        for who, (_, unit) in _contestants(batch.evidence, store.size).items():
            masks = (metrics.overlaps(batch.true_masks, unit >= t) for t in metrics.MASK_THRESHOLDS)
            counts[who].append(np.stack(list(masks), axis=-1))
    chosen = {}
    for who, parts in counts.items():
        best = metrics.best_threshold(np.concatenate(parts, axis=1))
        chosen |= dict(zip((who, f"{who}_origin"), best, strict=True))
    return chosen


def look(batch, thresholds):
    """Judges the maps of a batch of images.

    Args:
        batch: `prediction.Batch` with `evidence` and true masks.
        thresholds: see `choose_map_thresholds`.

    Returns:
        dict from column to float `(B,)`, NaN where an image has no mask of a nodule:
        `map_hit`, `map_ap`, `map_dice`, `map_iou`, the same of a Gaussian about the centre
        of each image, `centre_...`, and `random_hit`, `random_ap`, of a random pixel.
    """
    truth = batch.true_masks
    size, known = truth.shape[1:], truth.any(axis=(1, 2))
    tolerance_px = metrics.pointing_tolerance(size)
    near = metrics.within(truth, tolerance_px)
    columns = {
        f"{RANDOM}_hit": np.where(known, near.mean(axis=(1, 2)), np.nan),
        f"{RANDOM}_ap": np.where(known, truth.mean(axis=(1, 2)), np.nan),
    }
    for who, (signed, unit) in _contestants(batch.evidence, size).items():
        counts = metrics.overlaps(truth, unit >= thresholds[who]).astype(float)
        dice = np.where(known, metrics.dice_scores(counts), np.nan)
        columns |= {
            f"{who}_hit": metrics.pointing_hits(signed, truth, tolerance_px),
            f"{who}_ap": metrics.pixel_average_precision(signed, truth),
            f"{who}_dice": dice,
            f"{who}_iou": dice / (2 - dice),
        }
    return columns


def follow(model, store, named, *, seed=0):
    """Judges on a few images, drawn by the seed, how far answers rest on what maps name.

    Args:
        model, store: as for `choose_map_thresholds`, of the test images.
        named: `(N,)` ints, the class that the network names of each image.
        seed: int >= 0.

    Returns:
        `(columns, curves)`: dict from column to float `(N,)`, NaN where an image was not
        drawn: `map_deletion`, `map_insertion`, and `centre_...`, the areas below the curves
        of `explain.perturbation_curves`; and by the same names the mean curves, lists.
    """
    count = len(store.table)
    drawn = np.sort(np.random.default_rng(seed).permutation(count)[:FOLLOWED])
    images = store.read(drawn)[0] * GREY_LEVEL
    maps = _contestants(evidence_map(model, images, named[drawn]), store.size)
    curves = {f"{who}_{name}": [] for who in maps for name in ("deletion", "insertion")}
    for row in track(range(len(drawn)), "Blurring what maps name"):
        one = slice(row, row + 1)
        for who, (signed, _) in maps.items():
            found = perturbation_curves(model, images[one], signed[one], named[drawn[one]])
            for name, curve in zip(("deletion", "insertion"), found, strict=True):
                curves[f"{who}_{name}"] += list(curve)
    columns = {name: np.full(count, np.nan) for name in curves}
    for name, each in curves.items():
        columns[name][drawn] = metrics.curve_area(np.array(each))
    return columns, {name: np.mean(each, axis=0).tolist() for name, each in curves.items()}


def figures_of_maps(columns, groups, facts, seed):
    """What `metrics.json` says of maps.

    Args:
        columns: of `look` and `follow`.
        groups: `(N,)`, the patient of each image.
        facts: dict of what else belongs there, see `facts_of`.
        seed: of the bootstrap.

    Returns:
        dict: `n` images with a nodule's mask; `pointing`, `average_precision`, `dice`,
        `iou`, `deletion`, `insertion`: figures; the same in `centre` and, as far as it has
        them, in `random`; and the facts.
    """
    found = metrics.mean_figures(columns, groups, seed=seed)
    named = {
        who: {n: found[f"{who}_{c}"] for c, n in FIGURES.items() if f"{who}_{c}" in found}
        for who in (OWN, CENTRE, RANDOM)
    }
    masked = int(np.isfinite(columns[f"{OWN}_hit"]).sum())
    return {"n": masked} | named.pop(OWN) | named | {"over": OVER} | facts


def facts_of(store, thresholds):
    """What a reader must know of `figures_of_maps`: the truth and the rule, fit for JSON."""
    rule = {name: thresholds[name] for name in (OWN, f"{OWN}_origin", CENTRE)}
    rule |= {
        "tolerance_px": round(metrics.pointing_tolerance(store.size), 2),
        "blur_sigma_px": round(blur_sigma(store.size), 2),
        "steps": STEPS,
        "followed": min(FOLLOWED, len(store.table)),
    }
    return {"truth": store.table.mask_source, "rule": rule}


def pooled_facts(found, origin):
    """Returns `facts_of` several runs together; thresholds are the means of theirs.

    Args:
        found: list of what their `metrics.json` say of maps.
        origin: sentence on those means.
    """
    rules = [one["rule"] for one in found]
    means = {who: float(np.mean([rule[who] for rule in rules])) for who in (OWN, CENTRE)}
    rule = rules[0] | means | {f"{OWN}_origin": origin}
    rule["followed"] = sum(rule["followed"] for rule in rules)
    return {"truth": found[0]["truth"], "rule": rule}


def map_thresholds(found):
    """Returns the thresholds that `metrics.json` holds, as `choose_map_thresholds` does."""
    rule = found.get("maps", {}).get("rule", {})
    return {name: rule[name] for name in (OWN, f"{OWN}_origin", CENTRE) if name in rule}


def _contestants(evidence, size):
    """By name the signed maps and those in [0, 1], `(B, H, W)` each: the network's, the centre."""
    centre = np.broadcast_to(_centred_gaussian(size), (len(evidence), *size))
    own = resize_maps(evidence, size), unit_maps(evidence, size)
    return {OWN: own, CENTRE: (centre, centre)}


@functools.lru_cache
def _centred_gaussian(size):
    """What somebody who never saw an image would draw; its SD is a quarter of each side."""
    axes = [np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in size]
    return np.exp(-2 * np.add.outer(*axes))
