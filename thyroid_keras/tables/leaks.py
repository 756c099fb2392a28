"""What a leak is worth: the figures of the same features and classifiers, right and wrong."""

from thyroid_keras.tables.results import called, text_of


def leaks_table(table, results):
    """Sets the figures of rows that reproduced the leak beside those that are right.

    Args:
        table: `Table`.
        results: sequence of `Result`.

    Returns:
        `(header, rows of text, sentence)`, or `None` where no row reproduced it.
    """
    leaking = [result for result in results if (result.found or {}).get("leak")]
    if not leaking:
        return None
    header, rows = [table.stub], []
    for name in table.figures:
        header += [f"{called(table, name)}: {word} (95 %)" for word in ("right", "wrong")]
    for result in leaking:
        cells = [result.row.label]
        for name in table.figures:
            cells += [text_of(of.get(name)) for of in (result.found, result.found["leak"])]
        rows.append(cells)
    unit = leaking[0].config["data"]["group_unit"]
    said = (
        "Right: whole groups held out, and only what is learned from augmented; expect this of new "
        "patients. Wrong: augmented first, then single samples held out, so that copies of one "
        f"image, and images of one {unit}, are on both sides. Nothing else differs."
    )
    return header, rows, said
