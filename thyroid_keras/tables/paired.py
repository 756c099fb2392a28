"""DeLong's and McNemar's test of every row of a table against one of them."""

from thyroid_keras import metrics
from thyroid_keras.metrics.by_class import holm
from thyroid_keras.tables.claims import p_text
from thyroid_keras.tables.results import text_of

SAID = (
    "AUC: DeLong's test; answers: McNemar's exact test. Either takes images for independent, "
    "which those of one {unit} are not: where the interval by {unit} above holds 0, believe it. "
    "p: corrected for the number of rows by Holm's method."
)


def paired_tests(table, results):
    """Tests whether the rows differ from the table's reference on the same images.

    Args:
        table: `Table` with a `reference`, of two classes.
        results: sequence of `Result`.

    Returns:
        List of dicts: `row`, its name; `delong` and `mcnemar`, see `metrics`, of the reference
        against the row; `delong_p_holm` and `mcnemar_p_holm`. Empty without the reference.
    """
    whole = {result.row.name: result.answers for result in results if result.found}
    first = whole.pop(table.reference, None)
    if first is None or len(first.class_names) != 2:
        return []
    truth = first.labels == 1
    found = [
        {
            "row": name,
            "delong": metrics.delong(truth, *(a.probabilities[:, 1] for a in (first, other))),
            "mcnemar": metrics.mcnemar(*(a.predicted == a.labels for a in (first, other))),
        }
        for name, other in whole.items()
    ]
    for test in ("delong", "mcnemar"):
        corrected = holm([row[test].get("p_value") for row in found])
        for row, p_value in zip(found, corrected, strict=True):
            row[f"{test}_p_holm"] = p_value
    return found


def paired_table(table, results):
    """Sets `paired_tests` in a table that people read.

    Returns:
        `(header, rows of text, sentence)`, or `None` where nothing was tested.
    """
    found = paired_tests(table, results) if table.tested else []
    if not found:
        return None
    labels = {result.row.name: result.row.label for result in results}
    first = labels[table.reference]
    header = [f"{first} against", "its AUC minus the other's (95 %)", "p, DeLong"]
    header += [f"only {first} right", "only the other right", "p, McNemar"]
    rows = [
        [
            labels[row["row"]],
            text_of(row["delong"], "+.3f"),
            p_text(row["delong_p_holm"]).removeprefix("= "),
            f"{row['mcnemar']['only_a']}",
            f"{row['mcnemar']['only_b']}",
            p_text(row["mcnemar_p_holm"]).removeprefix("= "),
        ]
        for row in found
    ]
    unit = next(r.config["data"]["group_unit"] for r in results if r.found)
    return header, rows, SAID.format(unit=unit)
