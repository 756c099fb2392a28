"""Trainings as tasks of a Ray cluster (https://docs.ray.io), the extra `[ray]`."""

import contextlib
import logging
import os
import signal
import threading

from thyroid_keras.runs import RunError
from thyroid_keras.tables.processes import run_command


def run_on_ray(cells, jobs, stopped, address):
    """Runs cells as tasks of a Ray cluster, spread over its machines.

    All machines must see the present directory, the data and the table's folder under the
    same paths (a shared file system), and have this package installed.

    Args:
        cells: sequence of `Cell`.
        jobs: int >= 1, at a time; `None`: one per machine.
        stopped: as for `run_here`.
        address: of the cluster; `"local"` starts one on this machine, `"auto"` finds the
            one that this machine belongs to.

    Yields:
        `(cell, status)` as they end.

    Raises:
        RunError: if Ray is not installed or the cluster does not answer.
    """
    with connected(address) as ray:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        jobs = jobs or sum(node["Alive"] for node in ray.nodes())
        task = ray.remote(run_command).options(
            num_cpus=1, num_gpus=gpus, max_retries=0, scheduling_strategy="SPREAD"
        )
        waiting, running, cancelled = list(reversed(cells)), {}, False
        while (waiting and not stopped()) or running:
            while waiting and len(running) < jobs and not stopped():
                cell = waiting.pop()
                running[task.remote(cell.command, cell.log, os.getcwd())] = cell
            done, rest = ray.wait(list(running), timeout=0.5)
            if stopped() and not cancelled:
                cancelled = True
                for reference in rest:
                    ray.cancel(reference)  # a KeyboardInterrupt there, which ends the process
            for reference in done:
                try:
                    status = ray.get(reference)
                except ray.exceptions.RayError:  # cancelled, or its process or machine is gone
                    status = None
                yield running.pop(reference), status


@contextlib.contextmanager
def connected(address):
    """Lends the module `ray`, connected to a cluster."""
    # figures on a hospital's machines are nobody's business
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise RunError(
            "--ray needs Ray: pip install 'thyroid-keras[ray]', or leave --ray out for processes "
            f"of this machine. Received: ray={address!r}"
        ) from error
    obeyed = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(
            f"--ray: no cluster answers ({error}). Start one with `ray start --head`, or use "
            f"`--ray local`. Received: ray={address!r}"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, obeyed)  # Ray puts its own in the place of it
    try:
        yield ray
    finally:
        ray.shutdown()
