"""All tables of the five papers, and the ledger of their claims; what `table all` does."""

import pathlib
import time

from thyroid_keras.recipes import TABLES
from thyroid_keras.runs import RunError
from thyroid_keras.tables.cells import check_limits, chosen_scale
from thyroid_keras.tables.claims_pages import write_claims
from thyroid_keras.tables.runner import table
from thyroid_keras.training import Diverged, Interrupted


def all_tables(*, out="tables", scale=None, minutes=None, seed=0, say=print, **options):
    """Makes every table, one after the other, and then the ledger of claims.

    Called again, it goes on where it was. A table that fails does not keep the others from
    being made.

    Args:
        out: folder; each table has one of its own in it, as if made by itself.
        scale: as for `table`.
        minutes: after which it ends with what there is; `None`: never.
        seed: as for `table`.
        say: function of one line of text.
        options: `precision`, `jobs` and `ray`, as for `table`.

    Returns:
        As `write_claims`.

    Raises:
        SettingError: if an option is wrong.
        RunError, Diverged: at the end, with all tables that lack rows.
        Interrupted: if a signal came or the minutes are over; everything can be resumed.
    """
    scale = chosen_scale(scale)
    check_limits(options.get("jobs"), minutes, seed)
    begun, failed, late = time.monotonic(), [], None
    for name, paper in TABLES.items():
        say(f"Table {name}: {paper.title}")
        left = None if minutes is None else max(minutes - (time.monotonic() - begun) / 60, 1e-9)
        folder = pathlib.Path(out) / f"{paper.shared or name}-{scale}"
        try:
            table(name, scale=scale, out=folder, minutes=left, seed=seed, say=say, **options)
        except (Diverged, RunError) as error:
            failed.append(error)
        except Interrupted as error:
            if left is None or time.monotonic() - begun < 60 * minutes:
                raise
            late = error
    ledger = write_claims(out=out, scale=scale, seed=seed, say=say)
    if late:
        raise late
    if failed:
        raise type(failed[0])("\n".join(map(str, failed)))
    return ledger
