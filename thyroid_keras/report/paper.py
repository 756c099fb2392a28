"""The section that sets a run beside its paper."""

import math

from thyroid_keras.report.figures import MEANINGS
from thyroid_keras.report.page import paragraph, section, table, warning
from thyroid_keras.report.style import with_interval


def beside_the_paper(config, metrics):
    """The paper's figures and ours, and why they differ."""
    paper = config.get("paper_results") or {}
    names = {key: name for key, name, _ in MEANINGS}
    rows = []
    for key, value in (paper.get("figures") or {}).items():
        printed = isinstance(value, (int, float)) and math.isfinite(value)
        theirs = f"{value:.3f}" if printed else (value or "–")
        rows.append([names.get(key, key), theirs, with_interval(metrics.get(key))])
    differences = paper.get("differences") or []
    return section(
        "Beside the paper",
        table(
            ["Figure", "Paper", "Ours (95 % CI)"],
            rows,
            f"{paper.get('source', 'Source not recorded')}. A dash: the figure is not known.",
            numbers=(1, 2),
        ),
        paragraph("Why the two differ:" if differences else ""),
        warning(*differences),
    )
