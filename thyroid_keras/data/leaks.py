"""Finds what must not be shared between training and test: patients and pictures."""

import collections
import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from thyroid_keras.data.decode import ImageError, decode, pixel_hash
from thyroid_keras.data.labels import listed
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import DataError


def hash_images(table, progress=True):
    """Hashes the decoded pixels of every sample's whole picture, each file once.

    In grey and without the region, so that neither another file format nor another
    region of the same picture hides a repeat.

    Returns:
        Dict from sample name to SHA-256 in hexadecimal digits.

    Raises:
        DataError: with every picture that cannot be decoded, or every name that two
            samples share.
    """
    names = collections.Counter(s.name for s in table.samples)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise DataError([f"{table.name}: several samples are called {listed(repeated)}; rename"])
    keys = [s.image if isinstance(s.image, str) else s.name for s in table.samples]
    distinct = dict(zip(keys, table.samples, strict=True))

    def try_hash(item):
        key, sample = item
        try:
            return pixel_hash(decode(sample.image, name=key)), None
        except ImageError as error:
            return None, str(error)

    done = list(map_threads(try_hash, list(distinct.items()), "Hashing pictures", progress))
    problems = [problem for _, problem in done if problem]
    if problems:
        raise DataError(problems)
    hashes = {key: digest for key, (digest, _) in zip(distinct, done, strict=True)}
    return {s.name: hashes[key] for s, key in zip(table.samples, keys, strict=True)}


def same_pictures(hashes, copies):
    """Gives pictures that were stored again the hash of one of them.

    Args:
        hashes: dict from sample name to the hash of its picture.
        copies: pairs of sample names whose pictures are copies, see `similar`.

    Returns:
        Dict like `hashes`.
    """
    known, index = np.unique(list(hashes.values()), return_inverse=True)
    place = dict(zip(hashes, index.tolist(), strict=True))
    rows, columns = [place[a] for a, _ in copies], [place[b] for _, b in copies]
    edges = sparse.coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(known),) * 2)
    _, component = csgraph.connected_components(edges, directed=False)
    _, first = np.unique(component, return_index=True)
    return {name: str(known[first[component[i]]]) for name, i in place.items()}


def join_groups(table, hashes):
    """Joins groups that share pictures, directly or through others.

    Args:
        table: `SampleTable`.
        hashes: dict from sample name to the hash of its picture.

    Returns:
        `(groups, notes)`: int array `(N,)`, equal where samples must stay together,
        and a tuple of str that names the groups that were joined.
    """
    names, group = np.unique(table.groups.astype(str), return_inverse=True)
    _, picture = np.unique([hashes[s.name] for s in table.samples], return_inverse=True)
    # groups and pictures are the nodes of one graph, samples its edges
    num_nodes = len(names) + picture.max(initial=-1) + 1
    edges = sparse.coo_array(
        (np.ones(len(table), bool), (group, len(names) + picture)), shape=(num_nodes, num_nodes)
    )
    _, component = csgraph.connected_components(edges, directed=False)
    joined = collections.defaultdict(list)
    for name, of in zip(names.tolist(), component[: len(names)], strict=True):
        joined[of].append(name)
    shared = [" = ".join(members) for members in joined.values() if len(members) > 1]
    note = f"Groups that share a picture, kept together: {len(shared)} ({listed(shared)})."
    return component[group], (note,) if shared else ()


def with_joined_groups(table, hashes):
    """Returns the table with one group for all groups that `join_groups` joins."""
    names = {}
    joined, _ = join_groups(table, hashes)
    samples = tuple(
        dataclasses.replace(sample, group=names.setdefault(of, sample.group))
        for sample, of in zip(table.samples, joined.tolist(), strict=True)
    )
    return dataclasses.replace(table, samples=samples)


def find_leaks(parts, hashes):
    """Finds names, groups and pictures that occur in more than one part.

    Args:
        parts: dict from split name to the samples in it.
        hashes: dict from sample name to the hash of its picture.

    Returns:
        List of str, one per leak, naming the samples on every side.
    """
    leaks = []
    for kind, key in (
        ("sample", lambda s: s.name),
        ("group", lambda s: s.group),
        ("picture", lambda s: hashes[s.name]),
    ):
        places = collections.defaultdict(lambda: collections.defaultdict(list))
        for split, samples in parts.items():
            for sample in samples:
                places[key(sample)][split].append(sample.name)
        for value, by_split in places.items():
            if len(by_split) > 1:
                sides = "; ".join(f"{split}: {listed(n)}" for split, n in by_split.items())
                leaks.append(
                    f"{kind} {value} is in {len(by_split)} splits ({sides}); keep it in one of them"
                )
    return leaks
