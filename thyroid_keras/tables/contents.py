"""What a table says, whatever its lines are: figures for machines, cells and sentences."""

import dataclasses

from thyroid_keras.tables.by_class import classes_table, places_table
from thyroid_keras.tables.claims import judge_claims
from thyroid_keras.tables.leaks import leaks_table
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
        extras: dict from a heading to `(header, rows, sentence)`, tables beside this one.
    """

    csv: list
    header: list
    rows: list
    judged: list
    claims: list
    extras: dict = dataclasses.field(default_factory=dict)


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
    targets = {result.config["data"]["target"] for result in results if result.config}
    found = "nodules" if "malignancy" in targets else "masks"
    extras = {
        "How a figure near 1 comes about: the same, right and wrong": leaks_table(table, results),
        "Tests of the difference": paired_table(table, results),
        f"How well the class maps find the {found}": maps_table(table, results, seed),
    }
    return Contents(
        csv=csv_rows(table, results, differences),
        header=header,
        rows=rows,
        judged=judged if differences else [],
        claims=judge_claims(table, results, differences),
        extras={title: extra for title, extra in extras.items() if extra},
    )
