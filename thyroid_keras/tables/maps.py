"""How well the class maps of a table's networks find the nodules, beside those of others."""

import numpy as np

from thyroid_keras import metrics
from thyroid_keras.tables.results import text_of

FIGURES = {
    "pointing": "pointing game",
    "average_precision": "average precision",
    "iou": "IoU",
    "dice": "Dice",
    "deletion": "deletion",
    "insertion": "insertion",
}
OF_A_NETWORK = ("deletion", "insertion")
FORM = ".2f"


def maps_table(table, results, seed):
    """Sets the maps of all rows side by side, with the paired change in the pointing game.

    Args:
        table: `Table`.
        results: sequence of `Result`.
        seed: of the bootstrap.

    Returns:
        `(header, rows of text, sentence)`, or `None` where no row's maps were judged.
    """
    judged = {result.row.name: result for result in results if (result.found or {}).get("maps")}
    if not judged:
        return None
    labels = {row.name: row.label for row in table.rows}
    rows = []
    for result in judged.values():
        cells = [text_of(result.found["maps"].get(name), FORM) for name in FIGURES]
        other = judged.get(result.row.against or table.reference)
        if other in (None, result):
            cells.append("–")
        else:
            change = text_of(pointing_difference(result, other, seed), "+.2f")
            cells.append(f"{change}, {labels[other.row.name]}")
        rows.append([result.row.label, *cells])
    found = next(iter(judged.values())).found["maps"]
    for name, label in (("centre", "a Gaussian about the centre"), ("random", "a random pixel")):
        known = {n: f for n, f in found[name].items() if n not in OF_A_NETWORK}
        rows.append([label, *(text_of(known.get(n), FORM) for n in FIGURES), "–"])
    header = [table.stub, *(f"{said} (95 %)" for said in FIGURES.values())]
    header.append("pointing game minus that of the network named (95 %)")
    rule = found["rule"]
    said = (
        f"{found['n']} {found['over']}; {found['truth']}. A point hits within "
        f"{rule['tolerance_px']} px of the nodule. IoU and Dice: of the map above a share of its "
        f"maximum chosen on validation images. Deletion (lower is better) and insertion: area "
        f"below the class's probability, {rule['followed']} images."
    )
    return header, rows, said


def pointing_difference(result, other, seed):
    """The paired difference in the pointing game of two rows' maps, a figure.

    Args:
        result, other: `Result`s of the same images.
        seed: of the bootstrap over groups.
    """
    hits, others = (r.answers.maps["map_hit"] for r in (result, other))
    known = np.isfinite(hits) & np.isfinite(others)
    groups = result.answers.groups[known]
    return metrics.paired_mean(hits[known], others[known], groups, seed=seed)
