"""Repeated pictures, and what else may be wrong without being a fault."""

import collections

import numpy as np

from thyroid_keras.data.audit.burned_in import LONG_CHARACTERS, TEXT_CHARACTERS
from thyroid_keras.data.audit.similar import find_similar, thumbnail
from thyroid_keras.data.decode import decode
from thyroid_keras.data.labels import listed
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError

COPIES = "Copies, recompressed or rescaled, in different groups (count as one picture)"
NEAR_DUPLICATES = "Near-duplicates in different groups (look at them; not kept together)"
WITHIN = "Copies (=) and near-duplicates (~) within a group (harmless: it stays together)"
REPEATS = "The same picture more than once"
CONSTANT = "Pictures of one grey level"
MISNAMED = "Pictures of another format than their names say"
FIRST = (
    "Files of several pictures, of which the first alone is read (save each as a file of its own)"
)
FULL_MASKS = "Masks that cover everything"
DARK = "Pictures nearly black (12 bits stored in 16? scale their grey levels to the whole range)"
DARKEST_BRIGHT = 20  # 12 bits in 16 reach 4095 / 257 = 15 of 255
TEXT = "Burned-in text"


def find_repeats(table, pictures, progress=True):
    """Finds copies and near-duplicates among the different pictures of a table.

    Args:
        table: `SampleTable`.
        pictures: dict from sample name to `Picture`.
        progress: whether to show progress bars.

    Returns:
        `(copies, near_duplicates)`: lists of `(name, name)`, and of
        `(name, name, similarity)`, each picture under the name of its first sample.
    """
    first = {}
    for sample in table.samples:
        first.setdefault(pictures[sample.name].digest, sample)
    names, groups = [s.name for s in first.values()], [s.group for s in first.values()]
    thumbnails = np.array([pictures[name].thumbnail for name in names])
    copies, near_duplicates = [], []
    for i, j, similarity, is_copy in find_similar(thumbnails, groups=groups, progress=progress):
        if is_copy:
            copies.append((names[i], names[j]))
        else:
            near_duplicates.append((names[i], names[j], round(similarity, 3)))
    return copies, near_duplicates


def find_copies_of(known, table, progress=True):
    """Finds pictures that are recompressed, rescaled or brightened copies of known ones.

    Args:
        known: sequence of `Sample`.
        table: `SampleTable`, whose pictures are held against them.
        progress: whether to show progress bars.

    Returns:
        Dict from sample name of the table to the name of the known one.

    Raises:
        DataError: with every picture that cannot be read.
    """
    samples = [*known, *table.samples]
    done = list(map_threads(_thumbnail, samples, "Reading what was learned from", progress))
    if problems := [found for found in done if isinstance(found, str)]:
        raise DataError(list(dict.fromkeys(problems)))
    groups = np.arange(len(samples)) >= len(known)
    pairs = find_similar(np.array(done), groups=groups, progress=progress)
    copies = [(i, j) for i, j, _, is_copy in pairs if is_copy and groups[i] != groups[j]]
    return {samples[j].name: samples[i].name for i, j in copies}


def _thumbnail(sample):
    try:
        return thumbnail(decode(sample.image))
    except ImageError as error:
        return str(error)


def find_contradictions(table, pictures):
    """Finds pictures with more than one label, of which at most one can be right.

    Returns:
        Dict from the name of each such sample to the fault.
    """
    found = {}
    for samples in _alike(table, pictures):
        if len({s.label for s in samples}) > 1:
            labels = {s.name: f"{s.name} is {table.class_names[s.label]!r}" for s in samples}
            for name, own in labels.items():
                others = "; ".join(label for n, label in labels.items() if n != name)
                found[name] = f"{own}, {others}: the same picture; correct the labels or keep one"
    return found


def find_warnings(table, pictures, shares, copies, near_duplicates):
    """Returns a dict from what may be wrong to a list of str, where; no empty lists."""
    group = {s.name: s.group for s in table.samples}
    similar = [(a, b, f"{a} = {b}") for a, b in copies]
    similar += [(a, b, f"{a} ~ {b} ({value:.2f})") for a, b, value in near_duplicates]
    apart = {text for a, b, text in similar if group[a] != group[b]}
    found = {
        REPEATS: [" = ".join(s.name for s in alike) for alike in _alike(table, pictures)],
        COPIES: [text for _, _, text in similar[: len(copies)] if text in apart],
        NEAR_DUPLICATES: [text for _, _, text in similar[len(copies) :] if text in apart],
        WITHIN: [text for _, _, text in similar if text not in apart],
        CONSTANT: [n for n, p in pictures.items() if np.count_nonzero(p.levels) == 1],
        DARK: [n for n, p in pictures.items() if 0 < np.flatnonzero(p.levels)[-1] < DARKEST_BRIGHT],
        MISNAMED: [f"{n} is {p.misnamed}" for n, p in pictures.items() if p.misnamed],
        FIRST: [n for n, p in pictures.items() if p.is_first],
        FULL_MASKS: [name for name, share in shares.items() if share == 1],
        TEXT: _text(table, pictures),
    }
    return {kind: items for kind, items in found.items() if items}


def notes(table, warnings):
    """Returns the warnings as sentences for reports, a few items of each."""
    lines = []
    if table.excluded:
        count = len(table.excluded)
        lines.append(f"Left out for faults: {count}; config.json names each and says why.")
    for kind, items in warnings.items():
        if kind == TEXT:
            lines.append(f"{kind}: {'; '.join(items)}.")
        else:
            lines.append(f"{kind}: {len(items)} ({listed(items)}).")
    return lines


def _alike(table, pictures):
    """Lists of several samples that are the same region of the same pixels."""
    alike = collections.defaultdict(list)
    for sample in table.samples:
        alike[pictures[sample.name].digest, sample.roi].append(sample)
    return [samples for samples in alike.values() if len(samples) > 1]


def _text(table, pictures):
    """Which pictures carry text and, where classes differ in that, a shortcut, how much."""
    lengths = np.array([pictures[s.name].longest_line for s in table.samples])
    if not (lengths >= TEXT_CHARACTERS).any():
        return []
    long = lengths >= LONG_CHARACTERS
    by_class = [
        f"{long[table.labels == label].mean():.0%} of {name!r}"
        for label, name in enumerate(table.class_names)
        if (table.labels == label).any()
    ]
    return [
        f"in the whole picture of {np.count_nonzero(lengths >= TEXT_CHARACTERS)} of "
        f"{len(lengths)} samples",
        f"lines of {LONG_CHARACTERS} characters or more in {np.count_nonzero(long)}: "
        + ", ".join(by_class),
    ]
