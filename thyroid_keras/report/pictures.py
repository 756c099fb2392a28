"""The sections that show pictures, and the cases that went wrong."""

from thyroid_keras.report.gallery import confidences
from thyroid_keras.report.page import paragraph, picture, section, table

PLOTS = (
    (
        "roc",
        "ROC curve",
        "Each point is a threshold: higher is more found, further left is fewer false alarms. "
        "The band is where the curve would lie with other patients.",
    ),
    (
        "precision_recall",
        "Precision-recall curve",
        "How many alarms are right for a given share found. It depends on the prevalence, the "
        "dotted line: do not compare it across data sets.",
    ),
    (
        "calibration",
        "Calibration plot",
        "Points on the dotted line mean that the probabilities can be taken at their word; below "
        "it, the model promises too much. The bars are wide where few images fall.",
    ),
    (
        "confusion",
        "Confusion matrix",
        "Rows are the truth, columns the answer; percentages are shares of a row. The diagonal "
        "is right.",
    ),
    (
        "calcifications",
        "Number and places of calcifications",
        "Left, dots on the dotted line are nodules whose predicted calcifications are as many as "
        "the true ones. Right, where they lie.",
    ),
    (
        "faithfulness",
        "Deletion and insertion curves",
        "Left, the image is blurred bit by bit, right, it appears out of the blurred one, what the "
        "class map names first. If the answer rests on it, the left curve falls and the right one "
        "rises early. Dashed: the same from the centre outwards, whatever the map.",
    ),
)


def plots(run):
    """The pictures of the run, each with how to read it."""
    pairs = "".join(picture(run.plots / f"{n}.png", alt, how) for n, alt, how in PLOTS)
    known = {name for name, _, _ in PLOTS} | {"gallery", "global_map", "learning_curves"}
    others = sorted(p for p in run.plots.glob("*.png") if p.stem not in known)
    return section(
        "Plots",
        f'<div class="pair">{pairs}</div>' if pairs else "",
        picture(
            run.plots / "learning_curves.png",
            "Learning curves",
            "Training and validation over the epochs. A widening gap is overfitting; the dashed "
            "line is the epoch whose weights count.",
        ),
        *(picture(path, path.stem, path.stem.replace("_", " ")) for path in others),
    )


def cases(run, answers, metrics, most=10):
    """The gallery, and the errors the model was surest of."""
    shown = picture(
        run.plots / "gallery.png",
        "Gallery of images with attention maps and masks",
        "The surest right answers, the surest wrong ones and the least sure; of two classes, sure "
        "means far from the threshold. Each attention map has its own scale: bright is where this "
        "map looks most, not how strongly; a class map is warm where it speaks for the answer and "
        "cold where against it. Where there are boxes, the model's is red and the true one blue.",
    )
    failures = ""
    if answers is not None:
        wrong = (answers.labels != answers.predicted).nonzero()[0]
        threshold = metrics.get("threshold")
        sure = confidences(answers.probabilities, 0.5 if threshold is None else threshold)
        worst = sorted(wrong, key=lambda i: -sure[i])[:most]
        names = answers.class_names
        rows = [
            [
                answers.images[i],
                answers.groups[i],
                names[answers.labels[i]],
                names[answers.predicted[i]],
                f"{answers.probabilities[i, answers.predicted[i]]:.2f}",
            ]
            for i in worst
        ]
        farthest = "" if threshold is None else f", farthest from the threshold {threshold:.2f}"
        caption = f"{len(wrong)} of {len(answers.labels)} answers are wrong; the surest{farthest}:"
        header = ["Image", "Group", "Truth", "Answer", "Its probability"]
        failures = table(header, rows, caption, numbers=(4,)) or paragraph(
            f"None of {len(answers.labels)} answers is wrong."
        )
    return section("Cases", shown, failures)
