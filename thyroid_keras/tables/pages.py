"""A table as CSV, Markdown and one self-contained page, the same bytes for the same runs."""

from thyroid_keras.preparation import choose_recipe
from thyroid_keras.report.page import (
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
from thyroid_keras.report.style import counted
from thyroid_keras.runs import write_csv, write_text
from thyroid_keras.tables.results import csv_rows, folds_table, main_table
from thyroid_keras.training import differences as recipe_differences

RESEARCH = "Research use only; not a medical device."
OVER_FOLDS = "Mean ± SD over the folds, which is no confidence interval"


def write_pages(run, table, results, differences, options, figures):
    """Writes `table.csv`, `table.md` and `report.html`.

    Args:
        run: `Run` of the table's folder.
        table: `Table`.
        results: sequence of `Result`.
        differences: see `results.auc_differences`.
        options: `cells.Options`.
        figures: dict from the name of a picture in `plots` to its caption.
    """
    write_csv(run.folder / "table.csv", csv_rows(table, results, differences))
    header, rows = main_table(table, results, differences)
    how, what = judged(table, results, differences), unlike_the_paper(table, results, options)
    over_folds = folds_table(table, results)
    parts = [f"# {table.title}", RESEARCH, f"Paper: {table.paper}.", _markdown(header, rows)]
    parts += [OVER_FOLDS + ":", _markdown(*over_folds)] if over_folds else []
    parts += ["How ours were judged:", _list(how), "What differs from the paper:", _list(what)]
    parts += [f"![{caption}](plots/{name}.png)\n\n{caption}" for name, caption in figures.items()]
    write_text(run.folder / "table.md", without_folders("\n\n".join(parts)) + "\n")

    numbers = range(1, len(header))
    body = [
        warning(RESEARCH),
        f"<h1>{text(table.title)}</h1>",
        paragraph(f"Paper: {table.paper}.", "soft"),
        html_table(header, rows, "A dash: the figure is not known.", numbers),
        html_table(*over_folds, OVER_FOLDS, numbers) if over_folds else "",
        section("How ours were judged", bullets(how)),
        section("What differs from the paper", bullets(what)),
    ]
    for name, caption in figures.items():
        shown = picture(run.plots / f"{name}.png", caption, caption)
        body.append(section(caption.partition(".")[0], shown))
    write_text(run.report, document(table.title, "\n".join(part for part in body if part)))


def _markdown(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)


def _list(sentences):
    return "\n".join(f"- {sentence}" for sentence in sentences)


def judged(table, results, differences):
    """Returns the sentences that say on what ours were judged, and what went wrong."""
    lines = [f"{r.row.label}: {r.failure}; no figures." for r in results if r.failure]
    whole = next((result for result in results if result.found), None)
    if whole is None:
        return lines
    found, data = whole.found, whole.config["data"]
    unit = data["group_unit"]
    lines.append(
        f"{counted(found['n'], 'image')} of {counted(found['groups'], unit)} "
        f"({'out of fold' if found.get('folds') else 'the test split'}), the same in every row "
        f"(checked); the data were split by {unit}."
    )
    lines.append(
        f"95 % intervals: by image (Wilson) or by {unit} (bootstrap), whichever is wider. They "
        "hold for other images of this kind and this one training, not for another seed."
    )
    if "dice" in table.figures and (over := (found.get("dice") or {}).get("n")):
        lines.append(
            f"Dice is the mean over the {over} images with a mask ({data['mask_source']})."
        )
    if differences:
        lines.append(
            "Differences in AUC are paired, on the same resampled groups; an interval that holds "
            "0 shows no difference."
        )
    return lines


def unlike_the_paper(table, results, options):
    """Returns the sentences that say what differs from the paper, in data and recipe."""
    lines = list(table.notes)
    whole = next((result for result in results if result.found), None)
    if whole is not None:
        data, recipe = whole.config["data"], whole.recipe
        images = f"Other images: {data['name']}, labels {data['target']}"
        if options.data is None:
            images += f", {recipe.phantom_patients} patients, {recipe.phantom_views} views of each"
        lines += [f"{images}.", *data["notes"]]
        if table.folds and not whole.found.get("folds"):
            lines.append(f"One split in place of the paper's {table.folds} folds.")
    lines.append(f"Seed {options.seed}, precision {options.precision}.")
    changed = {}
    for result in results:
        ours = {s.partition("=")[0] for s in result.row.settings} | {"phantom_patients"}
        paper = choose_recipe(result.row.arch, "paper", ())
        for change in recipe_differences(result.recipe, paper):
            if change.partition(" ")[0] not in ours:
                changed.setdefault(change, []).append(result.row.label)
    everywhere = [change for change, labels in changed.items() if len(labels) == len(results)]
    lines += [f"Recipe: {'; '.join(everywhere)}."] if everywhere else []
    for change, labels in changed.items():
        if change not in everywhere:
            lines.append(f"Recipe of {', '.join(labels)}: {change}.")
    return lines
