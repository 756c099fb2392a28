"""What a paper says of its rows, judged on ours."""

from thyroid_keras import metrics
from thyroid_keras.tables.results import called


def judge_claims(table, results, differences):
    """Returns a sentence for each of the table's claims.

    "Better" is shown where the interval of the paired difference lies above 0. "As good"
    is shown only where the whole interval lies within the claim's margin: an interval that
    merely holds 0 shows nothing.

    Args:
        table: `Table`.
        results: sequence of `Result`.
        differences: see `results.paired_differences`.
    """
    whole = {result.row.name: result for result in results if result.found}
    labels = {row.name: row.label for row in table.rows}
    sentences = []
    for claim in table.claims:
        named = labels[claim.row], labels[claim.other]
        asked = "Is {} better than {}?" if claim.margin is None else "Does {} equal {}?"
        figure = differences.get((claim.row, claim.other))
        if not {claim.row, claim.other} <= set(whole):
            lacking = [labels[n] for n in (claim.row, claim.other) if n not in whole]
            answer = f"Not judged: {' and '.join(lacking)} not in this table"
        elif not figure or not figure.get("ci95"):
            answer = "Not judged: the difference has no interval"
        else:
            pair = whole[claim.row].answers, whole[claim.other].answers
            answer = f"{verdict(figure, claim.margin)} {_evidence(table, figure, *pair)}"
        sentences.append(f"{asked.format(*named)} {answer}.")
    return sentences


def verdict(figure, margin=None):
    """Returns what the interval of a difference says of a claim, up to its evidence.

    Args:
        figure: the difference, with `"ci95"`.
        margin: see `recipes.Claim`.
    """
    low, high = figure["ci95"]
    if margin is None:
        if low > 0:
            return "Yes, here it is:"
        return "No, here it is worse:" if high < 0 else "Not decided, the interval holds 0:"
    if -margin < low and high < margin:
        return f"Yes, here within ±{margin}:"
    if low >= margin or high <= -margin:
        return f"No, here they differ by more than {margin}:"
    return f"Not decided, the interval is not within ±{margin}:"


def _evidence(table, figure, a, b):
    test = metrics.mcnemar(a.predicted == a.labels, b.predicted == b.labels)
    p_value = p_text(test["p_value"])
    return (
        f"{called(table, table.compared)} {figure['value']:+.3f} "
        f"({figure['ci95'][0]:+.3f} to {figure['ci95'][1]:+.3f}); right on {test['only_a']} images "
        f"that the other has wrong, wrong on {test['only_b']} (exact McNemar test by image, "
        f"p {p_value})"
    )


def p_text(p_value):
    """Returns e.g. `= 0.031`, `< 0.001`, or a dash."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
