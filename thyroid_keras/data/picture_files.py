"""Pictures that somebody names, one by one or by folder."""

import os

from thyroid_keras.data.dicom import split_frame
from thyroid_keras.data.labels import natural_order
from thyroid_keras.data.paths import name_fault, shown
from thyroid_keras.data.pictures import PICTURE_SUFFIXES
from thyroid_keras.data.samples import DataError


def find_pictures(paths):
    """Returns the paths of pictures, folders among them opened.

    Args:
        paths: of pictures or of folders of pictures.

    Returns:
        List of str.

    Raises:
        DataError: with every path that is missing, no file, a folder without pictures, or
            whose name cannot be written down.
    """
    files, problems = [], []
    for path in paths:
        if os.path.isdir(path):
            names = [n for n in os.listdir(path) if not n.startswith(".")]
            inside = [n for n in names if os.path.splitext(n)[1].lower() in PICTURE_SUFFIXES]
            files += [os.path.join(path, name) for name in natural_order(inside)]
            if not inside:
                problems.append(f"{path}: no pictures in this folder")
        elif os.path.isfile(split_frame(os.fspath(path))[0]):
            files.append(os.fspath(path))
        elif os.path.exists(path):
            problems.append(f"{path}: is no plain file; save the picture as one")
        else:
            problems.append(f"{path}: no such file or folder; check the path")
    # as readers of data sets do, for names go into `predictions.csv`
    problems += [f"{shown(file)}: {fault}" for file in files if (fault := name_fault(file))]
    if problems:
        raise DataError(problems)
    return files
