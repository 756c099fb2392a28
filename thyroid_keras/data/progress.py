"""Progress bars, and slow work on many items from a few threads."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import rich.console
import rich.progress

_BATCH = 512


def track(items, label, *, total=None, show=True):
    """Yields the items, with a bar and the time left on stderr where a person sees it.

    Args:
        items: iterable.
        label: what the bar calls the work.
        total: number of items, where they cannot say.
        show: whether to show a bar at all.
    """
    return rich.progress.track(
        items,
        label,
        total=total,
        console=rich.console.Console(stderr=True),
        transient=True,
        disable=not (show and sys.stderr.isatty()),
    )


def map_threads(function, items, label, show=True) -> Iterator:
    """Yields `function(item)` in order, from a few threads, with a progress bar."""
    workers = min(8, os.cpu_count() or 1)

    def results():
        with ThreadPoolExecutor(workers) as pool:
            # in batches, for a Future for each of 50,000 items is heavier than the items
            for start in range(0, len(items), _BATCH):
                yield from pool.map(function, items[start : start + _BATCH])

    return iter(track(results(), label, total=len(items), show=show))
