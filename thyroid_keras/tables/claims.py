"""What a paper says of its rows, judged on ours."""

from thyroid_keras import metrics
from thyroid_keras.tables.results import called

# the question, and the answers yes, no and not decided
WORDS = {
    "better": (
        "Is {} better than {}?",
        "here it is",
        "here it is worse",
        "the interval holds 0",
    ),
    "as good": (
        "Is {} at least as good as {}?",
        "here, but for less than {margin}",
        "here it is worse by {margin} or more",
        "the interval reaches -{margin}",
    ),
    "equal": (
        "Does {} equal {}?",
        "here within ±{margin}",
        "here they differ by more than {margin}",
        "the interval is not within ±{margin}",
    ),
}


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
        figure = differences.get((claim.row, claim.other))
        if not {claim.row, claim.other} <= set(whole):
            lacking = [labels[n] for n in (claim.row, claim.other) if n not in whole]
            answer = f"Not judged: {' and '.join(lacking)} not in this table"
        elif not figure or not figure.get("ci95"):
            answer = "Not judged: the difference has no interval"
        else:
            pair = whole[claim.row].answers, whole[claim.other].answers
            answer = f"{verdict(claim, figure)} {_evidence(table, figure, *pair)}"
        question = WORDS[_relation(claim)][0]
        sentences.append(f"{question.format(labels[claim.row], labels[claim.other])} {answer}.")
    return sentences


def holds(claim, interval):
    """Says whether a claim holds: `True`, `False`, or `None` where it cannot be told.

    Args:
        claim: `recipes.Claim`.
        interval: `(low, high)` of the difference between its rows.
    """
    (low, high), margin = interval, claim.margin or 0
    relation = _relation(claim)
    if relation == "equal":
        yes, no = -margin < low and high < margin, low >= margin or high <= -margin
    elif relation == "as good":
        yes, no = low > -margin, high <= -margin
    else:
        yes, no = low > 0, high < 0
    return True if yes else False if no else None


def verdict(claim, figure):
    """Returns what the interval of a difference says of a claim, up to its evidence.

    Args:
        claim: `recipes.Claim`.
        figure: the difference, with `"ci95"`.
    """
    _, yes, no, open_ = WORDS[_relation(claim)]
    found = holds(claim, figure["ci95"])
    head, words = {True: ("Yes", yes), False: ("No", no), None: ("Not decided", open_)}[found]
    return f"{head}, {words.format(margin=claim.margin)}:"


def _relation(claim):
    if claim.margin is None:
        return "better"
    return "as good" if claim.at_least else "equal"


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
