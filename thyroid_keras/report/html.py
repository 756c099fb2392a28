"""One self-contained page per run, to be sent to someone who has nothing but a browser."""

from thyroid_keras.report import figures, pictures, provenance
from thyroid_keras.report.calcifications import calcifications
from thyroid_keras.report.first_look import first_look_sentence
from thyroid_keras.report.folds import folds
from thyroid_keras.report.global_map import global_map
from thyroid_keras.report.page import cleaned, document, paragraph, text, warning
from thyroid_keras.report.paper import beside_the_paper
from thyroid_keras.report.places import places
from thyroid_keras.report.results import read_answers
from thyroid_keras.report.shortcuts import shortcuts
from thyroid_keras.report.transfer import transfer
from thyroid_keras.runs import read_csv, write_text


def write_report(run):
    """Writes `report.html` from the other files of a run; what is missing is left out.

    The page holds no script, loads nothing, names no folder of the machine, and shows no
    image of a patient but those of `plots/gallery.png`.

    Args:
        run: `thyroid_keras.runs.Run` with `config.json`.

    Raises:
        RunError: if a file of the run is damaged.

    Reference: for what a report must hold, CLAIM 2024 (doi:10.1148/ryai.240300) and
    TRIPOD+AI 2024 (doi:10.1136/bmj-2023-078378).
    """
    config = run.read_config()
    metrics = run.read_metrics() if run.metrics.exists() else {}
    rows = read_csv(run.split) if run.split.exists() else []
    class_names = (config.get("data") or {}).get("class_names") or []
    answers = read_answers(run, class_names, metrics.get("split", "test"))
    config = cleaned(config)
    data = config.get("data") or {}
    title = f"{config.get('arch', 'Run')} on {data.get('name', 'unnamed data')}"
    if data.get("target"):
        title += f": {data['target']}"
    if metrics.get("folds"):
        title += f", {len(metrics['folds'])} folds"
    parts = [
        warning("Research use only. Not a medical device."),
        f"<h1>{text(title)}</h1>",
        paragraph(f"Run {run.folder.absolute().name}", "soft"),
        figures.summary(config, metrics, rows),
        figures.tiles(metrics),
        figures.results(config, metrics),
        paragraph(first_look_sentence(metrics)),
        transfer(metrics),
        shortcuts(metrics),
        places(metrics),
        calcifications(metrics),
        global_map(run, metrics),
        folds(config, metrics),
        pictures.plots(run),
        pictures.cases(run, answers, metrics),
        beside_the_paper(config, metrics),
        provenance.data(config, run, rows),
        provenance.method(config, metrics),
        provenance.machine(config),
        provenance.reproduce(config),
        provenance.limits(config),
    ]
    write_text(run.report, document(title, "\n".join(part for part in parts if part)))
