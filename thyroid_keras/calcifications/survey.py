"""The calcifications of many images: files, figures and a plot of a run."""

import dataclasses

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.calcifications.shapes import count_touched, measure
from thyroid_keras.data.outlines import nodule_of, spacing_of
from thyroid_keras.report import calcification_plot, save_figure
from thyroid_keras.runs import write_csv

SUMMED_UP = ("area_share", "area_px", "major_px", "elongation", "place", "area_mm2", "major_mm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """The calcifications of one image.

    Args:
        index: of the image in its table.
        parts: list of what `measure` returns, of the predicted mask.
        true_parts: of the true one; `None` where nobody drew one.
        found: how many of the true ones the predicted mask touches.
        false: how many of the predicted ones touch no true one.
    """

    index: int
    parts: list
    true_parts: list | None = None
    found: int = 0
    false: int = 0


def survey(batch, store, threshold):
    """Measures the predicted calcifications of a batch, and counts the true ones.

    Args:
        batch: `prediction.Batch` with masks.
        store: `data.store.PixelStore` of its images.
        threshold: from which a pixel is in the predicted mask.

    Returns:
        List of `Survey`, of its images.
    """
    surveys = []
    for row, index in enumerate(batch.indices):
        sample = store.table.samples[index]
        size = store.size
        about = {"nodule": nodule_of(sample, size), "spacing_mm": spacing_of(sample, size)}
        mask = batch.masks[row] >= threshold
        fields = {"index": int(index), "parts": measure(mask, **about)}
        if sample.mask is not None:
            truth = batch.true_masks[row]
            fields["true_parts"] = measure(truth, **about)
            fields["found"] = count_touched(truth, mask, about["nodule"])
            fields["false"] = len(fields["parts"]) - count_touched(mask, truth, about["nodule"])
        surveys.append(Survey(**fields))
    return surveys


def figures_of_calcifications(surveys, groups, seed):
    """What `metrics.json` says of the predicted calcifications.

    Args:
        surveys: list of `Survey`, of all images.
        groups: `(N,)`, the patient of each image.
        seed: of the bootstrap.

    Returns:
        dict: `n` images with a known truth; figures, means over them: `number`,
        `true_number`, `number_error` (predicted less true), `number_off` (its size),
        `area_share`, `true_area_share`, `area_error`, `false` (of a nodule's predicted ones
        those that touch no true one), `found` (share of a nodule's true ones that are
        touched); and `measures`, of the largest of each nodule that was given any: by name
        of a column of `measure` the `median` and the quartiles, `lower` and `upper`.
    """
    known = [s.true_parts is not None for s in surveys]

    def column(value):
        return np.array([value(s) if k else np.nan for s, k in zip(surveys, known, strict=True)])

    columns = {
        "number": column(lambda s: len(s.parts)),
        "true_number": column(lambda s: len(s.true_parts)),
        "area_share": column(lambda s: _area(s.parts)),
        "true_area_share": column(lambda s: _area(s.true_parts)),
        "false": column(lambda s: s.false),
        "found": column(lambda s: s.found / len(s.true_parts) if s.true_parts else np.nan),
    }
    columns["number_error"] = columns["number"] - columns["true_number"]
    columns["number_off"] = np.abs(columns["number_error"])
    columns["area_error"] = columns["area_share"] - columns["true_area_share"]
    largest = [s.parts[0] for s in surveys if s.parts]
    measures = {}
    for name in SUMMED_UP:
        values = [part[name] for part in largest if name in part]
        if values:
            quartiles = np.percentile(values, [25, 50, 75]).tolist()
            measures[name] = dict(zip(("lower", "median", "upper"), quartiles, strict=True))
    found = metrics.mean_figures(columns, groups, seed=seed)
    return {"n": sum(known), "given": len(largest), "measures": measures} | found


def _area(parts):
    return sum(part["area_share"] for part in parts)


def rows_of(surveys, table):
    """The rows of `calcifications.csv`: one per predicted calcification, as `measure` says.

    Args:
        surveys: list of `Survey`.
        table: `SampleTable` of its images.
    """
    samples = table.samples
    heads = [{"image": samples[s.index].name, "group": samples[s.index].group} for s in surveys]
    pairs = zip(heads, surveys, strict=True)
    return [head | part for head, one in pairs for part in one.parts]


def with_numbers(rows, surveys):
    """Adds `calcifications` and `true_calcifications`, their numbers, to rows of images.

    Args:
        rows: list of dicts, one per image.
        surveys: list of `Survey` of the same images, or empty.
    """
    for row, one in zip(rows, surveys, strict=False):
        row["calcifications"] = len(one.parts)
        if one.true_parts is not None:
            row["true_calcifications"] = len(one.true_parts)
    return rows


def describe(run, surveys, store, seed):
    """Writes a run's `calcifications.csv`, draws `plots/calcifications.png`.

    Args:
        run: `runs.Run`.
        surveys: list of `Survey` of all images of the store.
        store: `data.store.PixelStore`.
        seed: of the bootstrap.

    Returns:
        See `figures_of_calcifications`.
    """
    write_csv(run.folder / "calcifications.csv", rows_of(surveys, store.table))
    known = [s for s in surveys if s.true_parts is not None]
    if known:
        size = store.size[::-1]
        both = [s.parts for s in known], [s.true_parts for s in known]
        numbers = ([len(parts) for parts in of] for of in both)
        places = ([(p["x_px"], p["y_px"]) for parts in of for p in parts] for of in both)
        figure = calcification_plot(*numbers, *(np.reshape(of, (-1, 2)) / size for of in places))
        save_figure(figure, run.plots / "calcifications.png")
    return figures_of_calcifications(surveys, store.table.groups, seed)
