"""The sections on where the figures come from: data, recipe, machine, code."""

import json

from thyroid_keras.report.page import bullets, paragraph, section, table, text, warning
from thyroid_keras.report.results import class_index
from thyroid_keras.runs import RunError

SPLITS = ("train", "val", "test")


def data(config, run, rows):
    """Source, splits, prevalence, reference standard; `rows` are those of `split.csv`."""
    source = config.get("data") or {}
    leaks = (source.get("source") or {}).get("augment_before_split")  # which a note says
    unit = source.get("group_unit") or "group"
    classes = source.get("class_names") or []
    facts = [
        ["Source", source.get("name", "not recorded")],
        ["Target", source.get("target", "not recorded")],
        ["Classes", ", ".join(classes) + (" (the last is positive)" if len(classes) == 2 else "")],
        ["Unit of the split", unit],
        ["Reference standard of the masks", source.get("mask_source") or "no masks"],
        ["Left out for faults", len(source.get("excluded") or ())],
    ]
    if config.get("image_shape"):
        shape = " × ".join(str(n) for n in config["image_shape"])
        facts.append(["Image as the network sees it", f"{shape} (height × width × channels)"])
    return section(
        "Data",
        table(None, facts),
        warning(*source.get("notes") or ()),
        _splits(rows, classes, unit, run),
        "" if leaks else _shared_groups(rows, unit),
    )


def _splits(rows, classes, unit, run):
    lines = []
    names = [s for s in SPLITS if any(r.get("split") == s for r in rows)]
    names += sorted({r.get("split", "") for r in rows} - set(SPLITS))
    for name in names:
        members = [r for r in rows if r.get("split", "") == name]
        try:
            labels = [class_index(r["label"], classes) for r in members]
        except (LookupError, ValueError) as error:
            raise RunError(
                f"{run.split}: a label does not fit the classes {tuple(classes)} of config.json. "
                f"Restore the file or repeat the run. Received: {error}"
            ) from error
        counts = [labels.count(k) for k in range(len(classes))]
        groups = len({r.get("group") for r in members})
        shares = [f"{n} ({n / len(labels):.0%})" for n in counts]
        lines.append([name or "–", len(members), groups, *shares])
    header = ["Split", "Images", f"Groups ({unit})", *classes]
    caption = "Images of each class, with their share of the split (the prevalence)."
    return table(header, lines, caption, numbers=range(1, len(header)))


def _shared_groups(rows, unit):
    """Says whether what must be apart is apart, from the table itself."""
    splits = {}
    for row in rows:
        splits.setdefault(row.get("group"), set()).add(row.get("split"))
    shared = sorted(str(group) for group, found in splits.items() if len(found) > 1)
    if not rows:
        return ""
    if not shared:
        return paragraph(f"Checked: no {unit} is in two splits.")
    return warning(
        f"{len(shared)} {unit}(s) are in more than one split, so the figures are too good: "
        f"{', '.join(shared[:10])}{' …' if len(shared) > 10 else ''}"
    )


def method(config, metrics):
    """Recipe, preprocessing, threshold, seed."""
    facts = [
        ["Architecture", config.get("arch", "not recorded")],
        ["Parameters", _grouped(config.get("parameters"))],
        ["Scale", config.get("scale", "not recorded")],
        ["Seed", config.get("seed", "not recorded")],
        ["Precision", config.get("precision", "not recorded")],
        ["Threshold", _threshold(metrics)],
    ]
    recipe = [[name, _short(value)] for name, value in (config.get("recipe") or {}).items()]
    return section(
        "Method",
        table(None, facts),
        table(
            ["Field of the recipe", "Value"],
            recipe,
            "All fields of the recipe, preprocessing included.",
        ),
    )


def machine(config):
    """Hardware, versions, state of the code, duration."""
    found = config.get("environment") or {}
    git = found.get("git")
    code = "not under version control"
    if git:
        dirty = git.get("dirty")
        changes = ", perhaps with changes" if dirty is None else ", with changes not committed"
        code = f"commit {git.get('commit')}" + ("" if dirty is False else changes)
    versions = found.get("versions") or {}
    return section(
        "Machine and code",
        table(
            None,
            [
                ["Duration", duration(config.get("seconds"))],
                [
                    "Processor",
                    f"{found.get('cpu', 'not recorded')}, {found.get('cores', '?')} cores used",
                ],
                ["Accelerators", ", ".join(found.get("gpus") or []) or "none"],
                ["Platform", found.get("platform", "not recorded")],
                ["Code", code],
                ["Versions", ", ".join(f"{k} {v}" for k, v in versions.items()) or "not recorded"],
            ],
        ),
    )


def reproduce(config):
    """The command, fit to be pasted."""
    command = config.get("command") or (config.get("environment") or {}).get("command")
    if not command:
        return ""
    return section(
        "How to repeat it",
        f"<pre><code>{text(command)}</code></pre>",
        paragraph("Folders are cut down to their last part; put yours in their place.", "soft"),
    )


def limits(config):
    """What no figure on the page can show."""
    unit = (config.get("data") or {}).get("group_unit") or "group"
    return section(
        "Limits",
        bullets(
            [
                "Research use only, not a medical device: no patient may be treated on its word.",
                "Data of one source: expect less on other scanners, operators and populations.",
                f"The test images were held apart by {unit}, not by hospital or by time.",
                "Attention maps show what weighs in the network, not why, and not a diagnosis.",
                "No figure says how well the model does in subgroups that were not recorded.",
            ]
        ),
    )


def duration(seconds):
    """Returns e.g. `1 h 2 min 3 s`."""
    if seconds is None:
        return "not recorded"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "under 1 s"


def _grouped(number):
    return f"{number:,}" if isinstance(number, int) else "not recorded"


def _threshold(metrics):
    if metrics.get("threshold") is None:
        return "none: the likeliest class is the answer"
    return f"{metrics['threshold']:.3f}, {metrics.get('threshold_origin', 'origin not recorded')}"


def _short(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
