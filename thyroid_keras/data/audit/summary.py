"""What a data set consists of, in figures."""

import collections

import numpy as np

from thyroid_keras.data.audit.burned_in import LONG_CHARACTERS, TEXT_CHARACTERS

_MARGIN = 0.02  # of the area; less is a line or two at an edge


def summarise(table, pictures, shares, copies, near_duplicates):
    """Returns a dict, fit for JSON, of what a table holds.

    Args:
        table: `SampleTable`.
        pictures: dict from sample name to `Picture`.
        shares: dict from sample name to the share of its pixels that its mask marks.
        copies, near_duplicates: lists of pairs.
    """
    distinct = {p.digest: p for p in pictures.values()}
    files = {
        s.image if isinstance(s.image, str) else s.name: pictures[s.name] for s in table.samples
    }
    return {
        "name": table.name,
        "target": table.target,
        "samples": len(table),
        "pictures": len(files),
        "distinct_pictures": len(distinct),
        "excluded": len(table.excluded),
        "sizes": _counted(f"{w}x{h}" for w, h in (p.size for p in files.values())),
        "channels": _counted("grey" if p.channels == 1 else "colour" for p in files.values()),
        "classes": _classes(table),
        "groups": _groups(table),
        "splits": _counted(s.split or "none" for s in table.samples),
        "masks": _masks(table, shares),
        "grey_levels": _grey_levels(files.values()),
        "burned_in": {
            "text": sum(p.longest_line >= TEXT_CHARACTERS for p in files.values()),
            "long_lines": sum(p.longest_line >= LONG_CHARACTERS for p in files.values()),
            "plain_margins": sum(bool(p.margin >= _MARGIN) for p in files.values()),
        },
        "copies": [list(pair) for pair in copies],
        "near_duplicates": [list(pair) for pair in near_duplicates],
    }


def _counted(values):
    """How often each value occurs, the commonest first."""
    return dict(collections.Counter(values).most_common())


def _classes(table):
    return {
        name: {
            "samples": int(np.count_nonzero(table.labels == label)),
            "groups": len(set(table.groups[table.labels == label])),
        }
        for label, name in enumerate(table.class_names)
    }


def _groups(table):
    """How many, and how many samples each has."""
    sizes = sorted(collections.Counter(table.groups).values()) or [0]
    return {
        "unit": table.group_unit,
        "count": len(set(table.groups)),
        "smallest": sizes[0],
        "median": sizes[len(sizes) // 2],
        "largest": sizes[-1],
    }


def _masks(table, shares):
    known = np.array([share for share in shares.values() if share is not None])
    drawn = known[known > 0]
    return {
        "source": table.mask_source,
        "count": len(known),
        "empty": len(known) - len(drawn),
        "median_share": float(np.median(drawn)) if len(drawn) else None,
    }


def _grey_levels(pictures):
    """Over all pixels of all pictures; `None` where there is no picture."""
    if not pictures:
        return None
    counts = sum(p.levels for p in pictures)
    present = np.flatnonzero(counts)
    means = [float(p.levels @ np.arange(256) / p.levels.sum()) for p in pictures]
    return {
        "darkest": int(present[0]),
        "brightest": int(present[-1]),
        "mean": float(counts @ np.arange(256) / counts.sum()),
        "darkest_picture": min(means),
        "brightest_picture": max(means),
        "black_share": float(counts[0] / counts.sum()),
        "saturated_share": float(counts[255] / counts.sum()),
    }
