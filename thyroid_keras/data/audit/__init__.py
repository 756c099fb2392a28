"""Everything that is wrong with a data set, at once, by file; each file decoded once."""

import collections
import dataclasses

from thyroid_keras.data.audit.findings import (
    find_contradictions,
    find_copies_of,
    find_repeats,
    find_warnings,
    notes,
)
from thyroid_keras.data.audit.picture import inspect, inspect_parts
from thyroid_keras.data.audit.summary import summarise
from thyroid_keras.data.leaks import same_pictures, with_joined_groups
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.readers import read
from thyroid_keras.data.samples import SampleTable, settle
from thyroid_keras.data.split_faults import find_split_faults

__all__ = ["Audit", "audit", "find_copies_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """What `audit` found.

    Args:
        table: `SampleTable` of the samples without fault; its `excluded` and `faults` name
            the others and what is wrong with the whole, its `notes` end with the warnings.
        reader_notes: tuple of str, the notes that the data came with.
        warnings: dict from what may be wrong to a list of str, where.
        hashes: dict from sample name to SHA-256 of its picture's decoded grey pixels, as
            `make_splits`, `make_folds` and `read_split` take it.
        copies: tuple of pairs of sample names whose pictures are recompressed, rescaled or
            brightened copies of each other; likewise.
        near_duplicates: tuple of `(name, name, similarity)`, likewise alike but cropped or
            shifted.
        summary: dict, fit for JSON: what the data consists of.
    """

    table: SampleTable
    reader_notes: tuple[str, ...]
    warnings: dict[str, list[str]]
    hashes: dict[str, str]
    copies: tuple
    near_duplicates: tuple
    summary: dict

    @property
    def problems(self):
        """All faults, those of the whole set first, as a tuple of str."""
        return self.table.faults + self.table.excluded

    def joined_table(self):
        """Returns the table with groups that share pictures joined."""
        return with_joined_groups(self.table, same_pictures(self.hashes, self.copies))

    def accept(self, on_bad="fail"):
        """Returns the table if its faults allow; see `settle`.

        Raises:
            DataError: with all faults.
        """
        return settle(self.table, on_bad)


def audit(data, *, num_folds=None, split=True, progress=True, **options):
    """Checks a data set completely: files, masks, labels, groups, repeats, leaks.

    What the reader cannot use, what cannot be decoded and what does not fit together come
    in one list. Damage that leaves a file decodable, as one changed byte of a JPEG or BMP
    may, shows only against the column `sha256` of a manifest.

    Args:
        data: path of a data set, or a `SampleTable`.
        num_folds: int >= 2, of the cross-validation that the data is meant for; `None`:
            training, validation and test set.
        split: whether the data is meant to be split at all.
        progress: whether to show progress bars.
        **options: of `read`, where `data` is a path.

    Returns:
        `Audit`.

    Raises:
        DataError: if nothing can be read at all.
    """
    if not isinstance(data, SampleTable):
        data = read(data, on_bad="collect", **options)
    table, pictures, shares = _inspect_all(data, progress)
    contradictions = find_contradictions(table, pictures)
    table = _without(table, contradictions)
    pictures, shares = ({s.name: of[s.name] for s in table.samples} for of in (pictures, shares))
    hashes = {name: picture.digest for name, picture in pictures.items()}
    copies, near_duplicates = (), ()
    if not table.aligned:
        copies, near_duplicates = find_repeats(table, pictures, progress)
    faults = list(table.faults)
    if table.samples and split:
        faults += find_split_faults(table, hashes, copies=copies, num_folds=num_folds)
    warnings = find_warnings(table, pictures, shares, copies, near_duplicates)
    table = dataclasses.replace(
        table, faults=tuple(faults), notes=(*table.notes, *notes(table, warnings))
    )
    return Audit(
        table=table,
        reader_notes=data.notes,
        warnings=warnings,
        hashes=hashes,
        copies=tuple(copies),
        near_duplicates=tuple(near_duplicates),
        summary=summarise(table, pictures, shares, copies, near_duplicates),
    )


def _inspect_all(table, progress):
    """Decodes every file of a table once.

    Returns:
        `(table, pictures, shares)`: the table without what cannot be used, and for each
        sample by name its `Picture` and the share of its pixels that its mask marks.
    """
    faults = [
        f"{table.name}: {count} samples are called {name}; rename them"
        for name, count in collections.Counter(s.name for s in table.samples).items()
        if count > 1
    ]
    by_picture = collections.defaultdict(list)
    for i, sample in enumerate(table.samples):
        # nodules of one picture are samples that share its file
        by_picture[sample.image if isinstance(sample.image, str) else i].append(i)

    def look(indices):
        try:
            picture, image = inspect(table.samples[indices[0]])
        except ImageError as error:
            return [(i, None, None, str(error)) for i in indices]
        seen = []
        for i in indices:
            try:
                seen.append((i, picture, inspect_parts(table.samples[i], image), None))
            except ImageError as error:
                seen.append((i, None, None, str(error)))
        return seen

    found = map_threads(look, list(by_picture.values()), "Checking pictures", progress)
    by_sample = sorted((entry for entries in found for entry in entries), key=lambda e: e[0])
    names = [sample.name for sample in table.samples]
    table = dataclasses.replace(table, faults=(*table.faults, *faults))
    return (
        _without(table, {names[i]: problem for i, *_, problem in by_sample if problem}),
        {names[i]: picture for i, picture, *_ in by_sample},
        {names[i]: share for i, _, share, _ in by_sample},
    )


def _without(table, problems):
    """A table without the samples that have problems; `problems`: dict from name to str."""
    kept = [i for i, sample in enumerate(table.samples) if sample.name not in problems]
    excluded = (*table.excluded, *dict.fromkeys(problems.values()))
    table = dataclasses.replace(table.select(kept), excluded=excluded)
    masks = any(sample.mask is not None for sample in table.samples)
    return table if masks else dataclasses.replace(table, mask_source=None)
