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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
