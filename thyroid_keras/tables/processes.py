"""Trainings as processes: of this machine, so many at a time."""

import concurrent.futures
import fcntl
import os
import signal
import subprocess
import sys
import time

from thyroid_keras.runs.environment import usable_cores
from thyroid_keras.training.backend import gpu_capability

POLL_SECONDS = 0.2


def usual_jobs(scale):
    """Returns how many trainings at a time suit this machine.

    Two of the quick scale on a CPU of several cores: while one reads, compiles or draws, the
    other computes, and the digits stay the same. Otherwise one: a GPU or the paper's sizes
    leave no room beside it.
    """
    several = usable_cores() > 1
    return 2 if scale == "quick" and several and not gpu_capability() else 1


def run_command(command, log, cwd=None, stopped=lambda: None):
    """Runs one of our commands in a process of its own, and waits for it.

    The process is out of reach of the terminal's Ctrl-C, so that it hears of it once. Its
    log is locked for as long as it lives, even where a killed table has left it at work:
    then it is waited for, since it loses nothing and another would be in its way.

    Args:
        command: sequence of str, the name of the command and its arguments.
        log: file to which what it says is appended.
        cwd: directory to start in; `None`: the present one.
        stopped: function that returns the number of the signal to be passed on, or
            `None`.

    Returns:
        Its exit status, negative for the signal that killed it; `None` where it was
        stopped before it began.
    """
    cwd = cwd or os.getcwd()
    log = os.path.join(cwd, log)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "a", encoding="utf-8") as said:
        while not _lock(said) and not stopped():
            time.sleep(POLL_SECONDS)
        if stopped():
            return None
        process = subprocess.Popen(
            [sys.executable, "-m", f"thyroid_keras.{command[0]}", *command[1:]],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=said,  # and with it the lock
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while process.poll() is None and not stopped():
            time.sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.send_signal(stopped() or signal.SIGTERM)
        process.wait()
    return process.returncode


def _lock(file):
    """Locks an open file and whoever inherits it, unless another process has done so."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_here(cells, jobs, stopped):
    """Runs cells, `jobs` at a time.

    Args:
        cells: sequence of `Cell`.
        jobs: int >= 1.
        stopped: as for `run_command`.

    Yields:
        `(cell, status)` as they end.
    """
    waiting, running = list(reversed(cells)), {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        while running or (waiting and not stopped()):
            # one by one, since how the last one ended may mean that no other is to begin
            while waiting and len(running) < jobs and not stopped():
                cell = waiting.pop()
                arguments = (cell.command, cell.log, None, stopped)
                running[pool.submit(run_command, *arguments)] = cell
            done, _ = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
            for future in done:
                yield running.pop(future), future.result()
