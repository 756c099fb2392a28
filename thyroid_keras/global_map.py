"""Where the one map of a whole data set lies: before learning, after, and in the region expected.

Shape key: H W pixels of the network's image.
"""

import keras
import numpy as np

from thyroid_keras import metrics
from thyroid_keras.data.pixel_maps import draw_region, read_region
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.store import PixelStore
from thyroid_keras.recipes.cut_off import ATTENTION, BEFORE, PRIOR, fault
from thyroid_keras.report import save_figure
from thyroid_keras.report.global_map import draw_global_map

LEAST = 1e-6  # from 0 and 1, where logits are not finite
MOST_IMAGES = 200  # of the mean image


def judge_global_map(run, model, splits):
    """Draws `plots/global_map.png` and says how the map's weight lies, where a network has one.

    The prior is no part of what was learned, and is taken out of both maps.

    Args:
        run: `runs.Run`, with the files that `recipes.cut_off` kept.
        model: `keras.Model`, as a run's is.
        splits: `data.splits.Splits`.

    Returns:
        dict for `metrics.json`, empty without such a map: `least`, `most` and `mean` of the map
        that was learned, its `fault` (see `recipes.cut_off`) where it has one and, of those with
        a region, `before` and `after`, see `weigh`.

    Raises:
        DataError, ImageError: if the region of the recipe cannot be read.

    Reference: Xu et al., A Novel Global Spatial Attention Mechanism in Convolutional Neural
        Network for Medical Image Classification, Sec. 4.7. Deviation: figures for what is
        looked at there.
    """
    layer = next((layer for layer in model.layers if layer.name == ATTENTION), None)
    if layer is None:
        return {}
    maps = {"before": _read(run, BEFORE), "after": keras.ops.convert_to_numpy(layer.map)[0, ..., 0]}
    prior = _read(run, PRIOR)
    if prior is not None:
        maps = {name: None if m is None else _without(m, prior) for name, m in maps.items()}
    maps = {name: values for name, values in maps.items() if values is not None}
    learned = maps["after"]
    found = {name: float(f(learned)) for name, f in
             (("least", np.min), ("most", np.max), ("mean", np.mean))}  # fmt: skip
    if said := fault(learned):
        found["fault"] = said
    # of training images a run keeps none, not even mixed
    store = PixelStore(splits.test, learned.shape, 3, label="Reading images under the map")
    region, source = _region(run, store)
    if region is not None:
        found["region"] = {"source": source, "share": float(region.mean())}
        for name, values in maps.items():
            found[name] = weigh(values, region)
    shown = store.read(np.arange(min(len(store.table), MOST_IMAGES)))[0].mean(axis=0)
    figure = draw_global_map(
        maps | ({} if prior is None else {"prior": 1 / (1 + np.exp(-prior))}),
        region,
        shown / 255,
        found,
    )
    save_figure(figure, run.plots / "global_map.png")
    return {"global_map": found}


def weigh(values, region):
    """Means of a map inside and outside of a region.

    Args:
        values: `(H, W)`, at least 0.
        region: bool `(H, W)`, neither empty nor everything.

    Returns:
        dict of `inside`, `outside` and `ratio`, inside / outside, `None` where that is 0; and
        `rank`, the probability that a pixel inside has the higher value of two, one inside and
        one outside, .5 by chance.
    """
    inside, outside = float(values[region].mean()), float(values[~region].mean())
    rank = metrics.roc_auc(region.ravel(), values.ravel())
    ratio = inside / outside if outside > 0 else None
    return {"inside": inside, "outside": outside, "ratio": ratio, "rank": float(np.ravel(rank)[0])}


def _without(values, prior):
    values = np.clip(values, LEAST, 1 - LEAST)
    return 1 / (1 + np.exp(prior - np.log(values / (1 - values))))


def _read(run, name):
    # other data is judged in a folder below that of the run, which has the map's files
    paths = [folder / name for folder in (run.folder, run.folder.parent)]
    path = next((path for path in paths if path.is_file()), None)
    try:
        return None if path is None else np.load(path, allow_pickle=False)
    except ValueError as error:
        raise DataError([f"{path}: damaged ({error}); train anew"]) from error


def _region(run, store):
    """Where the map is expected to be high, and who says so; `(None, None)` where nobody does."""
    asked = (run.read_config().get("recipe") or {}).get("region")
    if asked is not None:
        return read_region(asked, store.size), f"given: {asked}"
    if store.table.region is not None:
        region, source = draw_region(store.table.region, store.size), f"known of {store.table.name}"
    else:
        drawn = [i for i, sample in enumerate(store.table.samples) if sample.mask is not None]
        if not drawn:
            return None, None
        mean = store.read(drawn)[1][..., 0].mean(axis=0)
        region = mean >= mean.max() / 2
        source = f"where the mean of {len(drawn)} test images' masks is at least half its maximum"
    return (None, None) if region.all() or not region.any() else (region, source)
