"""A lock that keeps all but one process from writing in a folder."""

import fcntl
import os

LOCK = ".lock"


def take_lock(folder, *, wait=False):
    """Locks a folder, which must exist.

    The operating system drops the lock with the process, so a killed one leaves no stale
    one. The file is never written to, nor followed where it is a link.

    Args:
        folder: path.
        wait: whether to wait for who holds it.

    Returns:
        Descriptor of the lock, which `os.close` gives back.

    Raises:
        BlockingIOError: if another process holds it, and `wait` is false.
        OSError: if there can be no lock.
    """
    path = os.path.join(folder, LOCK)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_there(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it: the next locks another file


def _is_there(path, descriptor):
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
