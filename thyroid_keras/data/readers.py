"""Recognises what a path holds, and reads it."""

import dataclasses
import os
from collections.abc import Callable

from thyroid_keras.data.ddti import TARGETS, has_ddti_layout, read_ddti
from thyroid_keras.data.fetal_planes import LAYOUT as FETAL_LAYOUT
from thyroid_keras.data.fetal_planes import TARGETS as FETAL_TARGETS
from thyroid_keras.data.fetal_planes import has_fetal_layout, read_fetal_planes
from thyroid_keras.data.folder import LAYOUT, has_class_folders, read_folder
from thyroid_keras.data.idrid import LAYOUT as IDRID_LAYOUT
from thyroid_keras.data.idrid import TARGETS as IDRID_TARGETS
from thyroid_keras.data.idrid import has_idrid_layout, read_idrid
from thyroid_keras.data.jaffe import LAYOUT as JAFFE_LAYOUT
from thyroid_keras.data.jaffe import TARGETS as JAFFE_TARGETS
from thyroid_keras.data.jaffe import has_jaffe_layout, read_jaffe
from thyroid_keras.data.labels import listed
from thyroid_keras.data.manifest import manifest_file, read_manifest
from thyroid_keras.data.paths import name_fault, shown
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.tn3k import LAYOUT as TN3K_LAYOUT
from thyroid_keras.data.tn3k import has_tn3k_layout, read_tn3k


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A way in which data sets are stored.

    Args:
        recognises: path -> bool, by layout alone.
        read: `(path, **options)` -> `SampleTable`.
        layout: what is accepted, for messages.
        targets: the labels to choose among by `target`; the first is the default.
            Empty where a data set has one kind of label only.
    """

    recognises: Callable
    read: Callable
    layout: str
    targets: tuple[str, ...] = ()


def _read_pack(path, **options):
    from thyroid_keras.data.pack import read_pack

    return read_pack(path, **options)


def _is_pack(path):
    return path.lower().endswith(".npz") and os.path.isfile(path)


# The first that recognises a path reads it: the plainest layout comes last.
FORMATS = {
    "pack": Format(recognises=_is_pack, read=_read_pack, layout="a packed .npz"),
    "ddti": Format(
        recognises=has_ddti_layout,
        read=read_ddti,
        layout="a DDTI folder (<case>.xml with <case>_<k>.jpg, or xml/ and images/)",
        targets=TARGETS,
    ),
    "fetal_planes": Format(
        recognises=has_fetal_layout,
        read=read_fetal_planes,
        layout=FETAL_LAYOUT,
        targets=FETAL_TARGETS,
    ),
    "idrid": Format(
        recognises=has_idrid_layout,
        read=read_idrid,
        layout=IDRID_LAYOUT,
        targets=IDRID_TARGETS,
    ),
    "jaffe": Format(
        recognises=has_jaffe_layout,
        read=read_jaffe,
        layout=JAFFE_LAYOUT,
        targets=JAFFE_TARGETS,
    ),
    "tn3k": Format(recognises=has_tn3k_layout, read=read_tn3k, layout=TN3K_LAYOUT),
    "manifest": Format(
        recognises=manifest_file,
        read=read_manifest,
        layout="a manifest.csv (image,label[,mask][,group][,split][,sha256][,box])",
    ),
    "folder": Format(recognises=has_class_folders, read=read_folder, layout=LAYOUT),
}


def read(path, *, target=None, format=None, on_bad="fail", **options):
    """Reads a data set, whatever its format.

    Args:
        path: file or folder.
        target: which label to read, where the data set has several.
        format: one of `FORMATS`; by default recognised by the layout.
        on_bad: see `samples.settle`.
        **options: of the format's own reader.

    Returns:
        `SampleTable`.

    Raises:
        DataError: if nothing is there, no format fits, `target` is not among the
            data set's labels, or the data has faults.
        ValueError: if `format` is unknown.
    """
    path = os.fspath(path)
    try:
        return _read(path, target, format_of(path, format), on_bad=on_bad, **options)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    name, reason = shown(error.filename or path), error.strerror or error
    return DataError([f"{name}: cannot be read ({reason}); check its permissions"])


def format_of(path, format=None):
    """Returns the name of the format in which a data set is to be read.

    Args:
        path: file or folder.
        format: one of `FORMATS`, which is then believed; `None`: recognised by the layout.

    Raises:
        DataError: if nothing is there, or no format fits.
        ValueError: if `format` is unknown.
    """
    path = os.fspath(path)
    if format is not None and format not in FORMATS:
        raise ValueError(f"`format` must be one of {tuple(FORMATS)}. Received: format={format!r}")
    if name_fault(path) or not os.path.exists(path):
        fault = name_fault(path) or "no such file or folder; check the path"
        raise DataError([f"{shown(path)}: {fault}"])
    try:
        if found := format or recognise(path):
            return found
    except OSError as error:
        raise _unreadable(path, error) from error
    accepted = "".join(f"\n  - {f.layout}" for f in reversed(FORMATS.values()))
    raise DataError([f"{path}: is {_describe(path)}. Accepted:{accepted}"])


def recognise(path):
    """Returns the name of the format in which a data set is stored; `None` if of none."""
    return next((name for name, f in FORMATS.items() if f.recognises(path)), None)


def _read(path, target, format, **options):
    chosen = FORMATS[format]
    if target is None:
        return chosen.read(path, **options)
    if target not in chosen.targets:
        choice = f"choose among {chosen.targets}" if chosen.targets else "give no target"
        raise DataError([f"{path}: has no such labels; {choice}. Received: target={target!r}"])
    return chosen.read(path, target=target, **options)


def _describe(path):
    if not os.path.isdir(path):
        suffix = os.path.splitext(path)[1]
        return f"a file of type {suffix}" if suffix else "a file without suffix"
    names = sorted(os.listdir(path))
    if not names:
        return "an empty folder"
    return f"a folder with {listed(map(shown, names), limit=5)}"
