"""What is wrong with a checkpoint of somebody else's."""

import struct
import zipfile
import zlib

# what Python, NumPy and zipfile raise on files that are not what they seem
DAMAGE = (AttributeError, EOFError, IndexError, KeyError, OverflowError, TypeError, ValueError)
DAMAGE += (NotImplementedError, OSError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)


class ConvertError(ValueError):
    """Everything that keeps a checkpoint from being converted, found in one pass.

    Args:
        problems: sequence of str, each naming the file or array, the fault and the way
            out.
    """

    def __init__(self, problems):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
