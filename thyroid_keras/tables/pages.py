"""A table as CSV, Markdown and one self-contained page, the same bytes for the same runs."""

import re

from thyroid_keras.report.page import (
    Markup,
    bullets,
    document,
    paragraph,
    picture,
    section,
    text,
    warning,
    without_folders,
)
from thyroid_keras.report.page import table as html_table
from thyroid_keras.report.style import counted, counted_images
from thyroid_keras.runs import write_csv, write_text
from thyroid_keras.tables.cells import recipe_of
from thyroid_keras.tables.results import folds_table
from thyroid_keras.training import differences as recipe_differences

RESEARCH = "Research use only; not a medical device."
DASH = "A dash: the paper gives no figure; ours was not trained, or has none."
OVER_FOLDS = "Mean ± SD over the folds, which is no confidence interval"


def write_pages(run, table, results, found, options, figures, costs=None):
    """Writes `table.csv`, `table.md` and `report.html`.

    What was timed is no part of the first two, which are the same for the same runs.

    Args:
        run: `Run` of the table's folder.
        table: `Table`.
        results: sequence of `Result`.
        found: `contents.Contents`.
        options: `cells.Options`.
        figures: dict from the name of a picture in `plots` to its caption.
        costs: `(header, rows, sentence)`, see `costs.costs_table`, which `costs.md` shows,
            or `None`.
    """
    write_csv(run.folder / "table.csv", found.csv)
    how, what = judged(table, results, found.judged), unlike_the_paper(table, results, options)
    over_folds = folds_table(table, results)
    parts = [f"# {table.title}", RESEARCH, f"Paper: {table.paper}."]
    parts += [markdown(found.header, found.rows)]
    parts += [OVER_FOLDS + ":", markdown(*over_folds)] if over_folds else []
    for title, (header, rows, said) in found.extras.items():
        parts += [f"{title}:", markdown(header, rows), said]
    parts += ["What the paper claims:", _list(found.claims)] if found.claims else []
    parts += ["How ours were judged:", _list(how), "What differs from the paper:", _list(what)]
    parts += [f"![{caption}](plots/{name}.png)\n\n{caption}" for name, caption in figures.items()]
    write_text(run.folder / "table.md", without_folders("\n\n".join(parts)) + "\n")
    if costs:
        header, rows, said = costs
        write_text(run.folder / "costs.md", f"{markdown(header, rows)}\n\n{said}\n")

    numbers = range(1, len(found.header))
    body = [
        warning(RESEARCH),
        f"<h1>{text(table.title)}</h1>",
        paragraph(f"Paper: {table.paper}.", "soft"),
        html_table(found.header, _bold(found.rows), DASH, numbers),
        html_table(*over_folds, OVER_FOLDS, numbers) if over_folds else "",
        *(
            section(title, html_table(*extra, range(1, len(extra[0]))))
            for title, extra in found.extras.items()
        ),
        section("What the paper claims", bullets(found.claims)),
        section("How ours were judged", bullets(how)),
        section("What differs from the paper", bullets(what)),
        section("What it costs", html_table(*costs, numbers)) if costs else "",
    ]
    for name, caption in figures.items():
        shown = picture(run.plots / f"{name}.png", caption, caption)
        body.append(section(caption.partition(".")[0], shown))
    write_text(run.report, document(table.title, "\n".join(part for part in body if part)))


def _bold(rows):
    return [
        [Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text(cell))) for cell in row] for row in rows
    ]


def markdown(header, rows, flush_right=True):
    """Returns a table of texts as Markdown; `flush_right`: all columns but the first."""
    rule = "---:" if flush_right else "---"
    lines = [header, ["---"] + [rule] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)


def _list(sentences):
    return "\n".join(f"- {sentence}" for sentence in sentences)


def judged(table, results, more):
    """Returns what went wrong and on what ours were judged, as sentences, and then `more`."""
    lines = [f"{r.row.label}: {r.failure}; no figures." for r in results if r.failure]
    whole = next((result for result in results if result.found), None)
    if whole is None:
        return lines
    for target, first in {r.row.target: r for r in reversed(results) if r.found}.items():
        found, data = first.found, first.config["data"]
        unit, of = data["group_unit"], f" {target}" if target else ""
        where = "the test split" if found["split"] == "test" else "out of fold"
        lines.append(
            f"{counted_images(found['n'], found['groups'], unit)} "
            f"({where}), the same in every{of} row (checked); the data were split by {unit}."
        )
    lines.append(
        f"95 % intervals: by image (Wilson) or by {unit} (bootstrap), whichever is wider. They "
        "hold for other images of this kind and this one training, not for another seed."
    )
    if "dice" in table.figures and (over := (found.get("dice") or {}).get("n")):
        lines.append(
            f"Dice is the mean over the {over} images with a mask ({data['mask_source']})."
        )
    return lines + more


def unlike_the_paper(table, results, options):
    """Returns the sentences that say what differs from the paper, in data and recipe."""
    lines = list(table.notes)
    whole = next((result for result in results if result.found), None)
    if whole is not None:
        data, recipe = whole.config["data"], whole.recipe
        images = f"Other images: {data['name']}, labels {data['target']}"
        if options.data is None:
            views = counted(recipe.phantom_views, "view")
            images += f", {recipe.phantom_patients} patients, {views} of each"
        lines += [f"{images}.", *data["notes"]]
        if table.folds and whole.found["split"] == "test":
            lines.append(f"One split in place of the {table.folds} folds of the paper's scale.")
    lines.append(f"Seed {options.seed}, precision {options.precision}.")
    changed = {}
    for result in results:
        row = result.row
        settings = row.usual + row.settings + row.paper
        paper = recipe_of(table, row, options, settings, scale="paper", check=False)
        simulated = options.data is None
        for change in recipe_differences(result.recipe, paper, simulated=simulated):
            if not change.startswith("phantom_patients "):
                changed.setdefault(change, []).append(row.label)
    by_rows = {}
    for change, labels in changed.items():
        by_rows.setdefault(tuple(labels), []).append(change)
    everywhere = by_rows.pop(tuple(result.row.label for result in results), None)
    lines += [f"Recipe: {'; '.join(everywhere)}."] if everywhere else []
    return lines + [
        f"Recipe of {', '.join(labels)}: {'; '.join(changes)}."
        for labels, changes in by_rows.items()
    ]
