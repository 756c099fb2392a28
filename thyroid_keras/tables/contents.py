"""What a table says, whatever its lines are: figures for machines, cells and sentences."""

import dataclasses

from thyroid_keras.tables.by_class import classes_table, places_table
from thyroid_keras.tables.claims import judge_claims
from thyroid_keras.tables.maps import maps_table
from thyroid_keras.tables.paired import paired_table
from thyroid_keras.tables.results import called, csv_rows, main_table, paired_differences
from thyroid_keras.tables.tasks import tasks_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contents:
    """The table itself.

    Args:
        csv: list of dicts, the rows of `table.csv`.
        header, rows: text; what stands between `**` is bold.
        judged: sentences on how ours were judged.
        claims: sentences on what the paper claims.
        maps: `(header, rows, sentence)` on the networks' class maps, or `None`.
        tests: likewise on tests of each row against one of them.
    """

    csv: list
    header: list
    rows: list
    judged: list
    claims: list
    maps: tuple | None = None
    tests: tuple | None = None


def contents(table, results, seed):
    """Returns the `Contents` of a table.

    Args:
        table: `Table`.
        results: sequence of `Result`.
        seed: of the bootstrap.
    """
    if table.lines == "classes":
        csv, header, rows, judged = classes_table(table, results, seed)
        return Contents(csv=csv, header=header, rows=rows, judged=judged, claims=[])
    if table.lines == "places":
        csv, header, rows, judged = places_table(table, results)
        return Contents(csv=csv, header=header, rows=rows, judged=judged, claims=[])
    if table.lines == "tasks":
        csv, header, rows, judged, claims = tasks_table(table, results, seed)
        return Contents(csv=csv, header=header, rows=rows, judged=judged, claims=claims)
    differences = paired_differences(results, table, seed)
    header, rows = main_table(table, results, differences)
    judged = [
        f"Differences in {called(table, table.compared)} are paired, on the same "
        "resampled groups; an interval that holds 0 shows no difference."
    ]
    return Contents(
        csv=csv_rows(table, results, differences),
        header=header,
        rows=rows,
        judged=judged if differences else [],
        claims=judge_claims(table, results, differences),
        maps=maps_table(table, results, seed),
        tests=paired_table(table, results),
    )
