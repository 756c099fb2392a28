"""Samples whose pictures are DICOM files: one per frame, cut to what is ultrasound."""

import collections
import dataclasses
import os

from thyroid_keras.data.dicom import SUFFIX, is_dicom, read_header, split_frame
from thyroid_keras.data.labels import listed
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.progress import map_threads
from thyroid_keras.data.samples import Sample


def open_frames(samples):
    """Makes a sample of each frame of the DICOM files among the pictures.

    A file of several frames becomes samples `<name>#1`, `<name>#2` and so on, of its group
    and label; a picture `file.dcm#3` is that frame alone. Each is cut to the box around the
    regions of two-dimensional ultrasound that its file names.

    Args:
        samples: sequence of `Sample`.

    Returns:
        `(samples, notes, problems)`: tuple of `Sample`; list of str, warnings that every
        report must repeat; list of str, a fault for each file that cannot be used.
    """
    files = {s.image: split_frame(s.image)[0] for s in samples if isinstance(s.image, str)}
    files = sorted({file for file in files.values() if file.lower().endswith(SUFFIX)})
    headers = dict(zip(files, map_threads(_read, files, "Reading DICOM"), strict=True))
    opened, problems = [], []
    for sample in samples:
        file, frame = split_frame(sample.image) if isinstance(sample.image, str) else ("", None)
        header = headers.get(file)
        if header is None:  # no DICOM, whatever its name
            opened.append(sample)
        elif isinstance(header, str):
            problems.append(header)
        elif sample.mask is not None and frame is None and header[0] > 1:
            problems.append(
                f"{file}: has {header[0]} frames and one mask; name the frame, "
                f"{sample.name}#1 to #{header[0]}"
            )
        else:
            opened += _frames(sample, file, frame, *header)
    torn = _torn(opened, headers)
    problems += torn.values()
    opened = [sample for sample in opened if _file(sample) not in torn]
    return tuple(opened), _notes(opened, headers), list(dict.fromkeys(problems))


def open_paths(paths):
    """Makes a sample, of no class, of each picture of some files, and of each of their frames.

    Args:
        paths: list of str.

    Returns:
        `(samples, problems)`, see `open_frames`; a file is a group.
    """
    samples = [Sample(name=path, image=path, label=0, group=split_frame(path)[0]) for path in paths]
    samples, _, problems = open_frames(samples)
    return samples, problems


def _file(sample):
    return split_frame(sample.image)[0] if isinstance(sample.image, str) else None


def _torn(samples, headers):
    """Says of each DICOM file whose frames are in several groups that they are; a dict."""
    groups = collections.defaultdict(set)
    for sample in samples:
        if headers.get(_file(sample)) is not None:
            groups[_file(sample)].add(sample.group)
    return {
        file: f"{file}: its frames are in {len(found)} groups, {listed(sorted(found))}; a file is "
        "of one patient, so give them one"
        for file, found in groups.items()
        if len(found) > 1
    }


def _read(file):
    """Number of frames and region, or what is wrong; `None` where it is no DICOM."""
    if not os.path.isfile(file):  # a pipe would wait for its writer
        return None  # left to the decoder, which says why
    try:
        with open(file, "rb") as stream:
            return read_header(stream, file) if is_dicom(stream) else None
    except ImageError as error:
        return str(error)
    except OSError:
        return None  # likewise


def _frames(sample, file, frame, num_frames, roi):
    if frame is not None or num_frames == 1:
        return [dataclasses.replace(sample, roi=roi)]
    return [
        dataclasses.replace(sample, name=f"{sample.name}#{k}", image=f"{file}#{k}", roi=roi)
        for k in range(1, num_frames + 1)
    ]


def _notes(samples, headers):
    read = [header for header in headers.values() if isinstance(header, tuple)]
    whole = sum(roi is None for _, roi in read)
    notes = []
    if read:
        notes.append(
            f"DICOM files: {len(read)}. Their frames count as pictures; frames of a file stay on "
            "one side of every split. No tag of a patient was read."
        )
    if whole:
        notes.append(
            f"DICOM files that name no region of ultrasound, read as whole screens with whatever "
            f"is burned into them: {whole}."
        )
    return notes
