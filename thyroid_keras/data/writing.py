"""Writing files of data, with the errors of data."""

import contextlib

from thyroid_keras.data.samples import DataError
from thyroid_keras.replacing import replacing


@contextlib.contextmanager
def written(path):
    """As `replacing`, but raises `DataError` where the file cannot be written."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise DataError(
            [
                f"{path}: cannot be written ({error.strerror or error}); free space or choose "
                "another folder"
            ]
        ) from error
