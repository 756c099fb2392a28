"""The ledger of claims as CSV, Markdown, one self-contained page and a picture."""

import pathlib

from thyroid_keras.report import save_figure
from thyroid_keras.report.page import document, paragraph, picture, section, warning
from thyroid_keras.report.page import table as html_table
from thyroid_keras.report.style import BLUE, GREY, VERMILION, new_figure, plain
from thyroid_keras.runs import Run, write_csv, write_text
from thyroid_keras.tables.cells import chosen_scale
from thyroid_keras.tables.ledger import judge_all
from thyroid_keras.tables.pages import RESEARCH, markdown
from thyroid_keras.training import refuse, seed_problems

TITLE = "What five papers claim, and what these runs say of it"
HEADER = ["claim", "paper", "verdict", "first against second", "difference (95 %)"]
HEADER += ["right alone, first : second (McNemar)", "data"]
ENDS = {"solid_capstyle": "butt"}  # a bar is no longer than its interval
COLOURS = {True: BLUE, False: VERMILION, None: GREY}
HOW = (
    "A claim holds where the interval of every difference that it rests on lies on its side, and "
    "does not where one lies wholly on the other; else these data cannot tell. Intervals are of "
    "the paired difference, resampled by patient (of a leak, which is judged on other copies, of "
    "both figures, which is wider), for other images of this kind and these trainings; another "
    "seed may come out otherwise. Nothing is corrected for the number of "
    "comparisons. McNemar's exact test is by image and of right answers, whatever the figure."
)
CAPTION = (
    "Each difference with its 95 % interval. Blue: as claimed; vermilion: against the claim; "
    "grey: not decided. The bar about 0 is the margin within which a claim lets networks differ."
)


def write_claims(*, out="tables", scale=None, seed=0, say=print):
    """Judges all claims by the tables in a folder, and writes what comes of it.

    Nothing is trained: what no finished table speaks to is a line without a verdict, with
    the command that makes the table.

    Args:
        out: folder that holds the tables; the ledger goes to `<out>/claims-<scale>`, as
            `claims.csv`, `claims.md`, `report.html` and `plots/claims.png`.
        scale: as for `table`.
        seed: of the bootstrap.
        say: function of one line of text.

    Returns:
        `(run, entries)`: the `Run` of the folder, and a list of `ledger.Entry`.

    Raises:
        SettingError: if there is no such scale or seed.
        RunError: if a file of a run is damaged.
    """
    scale = chosen_scale(scale)
    refuse(seed_problems(seed))
    entries = judge_all(out, scale, seed)
    if not any(entry.evidence for entry in entries):
        say(
            f"{out}: holds no finished row of a table of the {scale} scale. `table all` makes the "
            "tables, `--list` names them, `--out` is the folder that they are in."
        )
    run = Run(pathlib.Path(out) / f"claims-{scale}")
    write_csv(run.folder / "claims.csv", [line for entry in entries for line in _csv(entry)])
    rows = [row for entry in entries for row in _rows(entry)]
    if drawn := any(one.effect["ci95"] for entry in entries for one in entry.evidence):
        save_figure(draw_claims(entries), run.plots / "claims.png")
    parts = [f"# {TITLE}", RESEARCH, HOW, markdown(HEADER, rows, flush_right=False)]
    parts += [f"![{CAPTION}](plots/claims.png)"] if drawn else []
    write_text(run.folder / "claims.md", "\n\n".join(parts) + "\n")
    shown = picture(run.plots / "claims.png", CAPTION, CAPTION) if drawn else ""
    body = [warning(RESEARCH), f"<h1>{TITLE}</h1>", paragraph(HOW, "lead")]
    body += [html_table(HEADER, rows), section("The differences", shown)]
    write_text(run.report, document(TITLE, "\n".join(part for part in body if part)))
    for entry in entries:
        say(f"{entry.statement.says}: {entry.verdict}")
    say(f"Ledger: {run.folder / 'claims.md'}, {run.report}")
    return run, entries


def _rows(entry):
    """One row per comparison; only the first names the claim."""
    statement = entry.statement
    head = [statement.says, statement.paper, entry.verdict]
    for one in entry.evidence:
        yield [*head, one.compared, f"{one.figure} {_effect(one)}", one.test, one.data]
        head = [""] * 3
    if entry.lacking:
        wanted = f"not trained: {', '.join(entry.lacking)} (`table {statement.table}`)"
        yield [*head, wanted, "–", "–", "–"]


def _effect(one):
    if one.effect["ci95"] is None:
        return f"{one.effect['value']:+.3f}"
    low, high = one.effect["ci95"]
    return f"{one.effect['value']:+.3f} ({low:+.3f} to {high:+.3f})"


def _csv(entry):
    statement = entry.statement
    head = {"claim": statement.name, "says": statement.says, "paper": statement.paper}
    head |= {"table": statement.table, "verdict": entry.verdict}
    for one in entry.evidence or (None,):
        low, high = (one and one.effect["ci95"]) or (None, None)
        yield head | {
            "compared": one and one.compared,
            "figure": one and one.figure,
            "effect": one and one.effect["value"],
            "ci95_low": low,
            "ci95_high": high,
            "holds": one and one.holds,
            "paired_test": one and one.test,
            "data": one and one.data,
            "not_trained": ", ".join(entry.lacking),
        }


def draw_claims(entries):
    """Draws every difference with its interval, claim by claim.

    Args:
        entries: of `ledger.Entry`, one at least with an interval.

    Returns:
        `matplotlib.figure.Figure`.
    """
    lines = [(e, one) for e in entries for one in e.evidence if one.effect["ci95"]]
    figure, axes = new_figure(11, 1.2 + 0.34 * len(lines))
    (ax,) = axes.flat
    for y, (_, one) in enumerate(lines):
        low, high = one.effect["ci95"]
        if one.margin is not None:
            grey = {"color": "#E5E5E5", "linewidth": 11, "zorder": 1}
            ax.plot([-one.margin, one.margin], [y, y], **grey, **ENDS)
        ax.plot([low, high], [y, y], color=COLOURS[one.holds], linewidth=2.5, zorder=2, **ENDS)
        ax.plot(one.effect["value"], y, "o", color=COLOURS[one.holds], markersize=6, zorder=3)
    names = [f"{plain(e.statement.says, 72)}\n{plain(one.compared, 100)}" for e, one in lines]
    ax.set_yticks(range(len(lines)), names, fontsize=7.5)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.invert_yaxis()
    ax.set_xlabel("difference, in the units of the table's figure")
    return figure
