import base64
import dataclasses
import html.parser
import re
import shutil
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from thyroid_keras import metrics, report, runs
from thyroid_keras.report.calcifications import calcifications
from thyroid_keras.report.style import counted_images

NAMES = ("benign", "malignant")


def answers(num_images=120, num_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    logits = rng.normal(size=(num_images, num_classes)) + 1.6 * np.eye(num_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities, np.array([f"patient{i // 2}" for i in range(num_images)])


def history(epochs=8):
    rows = []
    for phase, loss in (("masks only", 1.0), ("joint", 3.0)):
        for epoch in range(1, epochs + 1):
            row = {"phase": phase, "epoch": epoch, "loss": loss / epoch, "seconds": 2.0}
            row |= {"val_loss": loss / epoch + 0.02 * epoch, "learning_rate": 1e-3}
            if phase == "joint":
                row |= {"roc_auc": 1 - 0.3 / epoch, "val_roc_auc": 0.95 - 0.3 / epoch}
            rows.append(row | {"dice": 1 - 1 / epoch, "val_dice": 0.8 - 0.5 / epoch})
    return rows


def examples(labels, probabilities, class_names=NAMES, size=48):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size
    found = []
    for kind, i in report.choose_examples(labels, probabilities):
        disc = np.hypot(y - rng.uniform(0.3, 0.7), x - rng.uniform(0.3, 0.7)) < 0.2
        speckle = 0.25 + 0.1 * rng.random((size, size)) + 0.4 * disc
        found.append(
            report.Example(
                name=f"case{i}_1.png",
                kind=kind,
                image=speckle,
                label=int(labels[i]),
                predicted=int(metrics.decide(probabilities[i : i + 1])[0]),
                probabilities=probabilities[i],
                mask=disc if labels[i] else np.zeros_like(disc),
                maps={"gate1": rng.random((6, 6)), "gate2": np.ones((12, 12))},
                predicted_mask=np.clip(disc * 0.9 * labels[i] + 0.1 * x, 0, 1),
            )
        )
    return found


def fake_run(folder, num_classes=2):
    names = NAMES if num_classes == 2 else tuple(f"view {k}" for k in range(num_classes))
    labels, probabilities, groups = answers(num_classes=num_classes)
    predicted = metrics.decide(probabilities, 0.4)
    image_names = [f"case{i}_1.png" for i in range(len(labels))]
    run = runs.Run.create(folder)
    with run:
        environment = runs.environment("0.1.0")
        config = {
            "arch": "cs_agnet",
            "data": {
                "name": "DDTI",
                "target": "calcification",
                "class_names": names,
                "group_unit": "patient",
                "mask_source": "weak, machine-made labels",
                "notes": [
                    "The masks are weak, machine-made labels: Dice is against those.",
                    "Read from /home/jane/secret/scans.zip, as https://doi.org/10.1/2 says.",
                    r"Copied from C:\Users\jane\scans.zip and/or file:///home/jane/scans.zip",
                ],
                "path": "/home/jane doe/secret/ddti",
            },
            "recipe": {
                "batch_size": 8,
                "paper": "001",
                "weights": "/home/jane/w.npz",
                "phases": [{"name": "masks only", "epochs": 8, "learning_rate": 1e-4}],
            },
            "seed": 3,
            "precision": "float32",
            "command": "python -m thyroid_keras.train --arch cs_agnet --data '/home/jane doe/ddti'",
            "environment": environment,
            "paper_results": {
                "source": "Paper 001, Table 2 and Section 4",
                "figures": {"accuracy": 0.921, "roc_auc": 0.96, "sensitivity": None},
                "differences": ["The paper's data are not public."],
            },
            "parameters": 10_163_710,
            "scale": "quick",
            "seconds": 111.4,
            "image_shape": [192, 192, 1],
        }
        runs.write_json(run.config, config)
        found = metrics.classification_metrics(
            labels, probabilities, groups, threshold=0.4, class_names=names
        )
        truth = np.zeros((len(labels), 8, 8), bool)
        truth[labels > 0, 2:6, 2:6] = True
        counts = metrics.overlaps(truth, np.roll(truth, 3, axis=1))
        found["segmentation"] = metrics.segmentation_metrics(counts, groups)
        found["dice"] = found["segmentation"]["dice"]
        found["validation"] = {"accuracy": metrics.proportion(45, 60)}
        found |= {"split": "test", "threshold_origin": "largest Youden index on 60 images"}
        runs.write_json(run.metrics, found)
        run.write_history(history())
        columns = {"image": image_names, "group": groups, "label": labels, "predicted": predicted}
        columns |= {f"p_{n}": probabilities[:, k] for k, n in enumerate(names)}
        columns |= {"split": ["test"] * len(labels), "fold": [None] * len(labels)}
        columns |= {"dice": metrics.dice_scores(counts)}
        rows = [
            dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
        ]
        runs.write_csv(run.predictions, rows)
        split = [
            {
                "image": f"{s}-{r['image']}",
                "group": f"{s}-{r['group']}",
                "label": r["label"],
                "split": s,
            }
            for s in ("train", "val", "test")
            for r in rows[: 120 if s == "train" else 40]
        ]
        runs.write_csv(run.split, [row | {"sha256": "0" * 64} for row in split])
        report.write_plots(run)
        shown = report.gallery(examples(labels, probabilities, names), class_names=names)
        report.save_figure(shown, run.plots / "gallery.png")
        report.write_report(run)
    return run


@pytest.fixture(scope="module")
def binary_run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("binary") / "run")


class Page(html.parser.HTMLParser):
    """Collects what a browser would show, load or run, and checks that tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words, self.links = [], [], [], []
        self.feed(text)
        self.words = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def read(run):
    page = Page(run.report.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_the_page_stands_alone(binary_run):
    page = read(binary_run)
    assert ("html", {"lang": "en"}) in page.tags
    assert {"main", "h1", "svg"} <= {tag for tag, _ in page.tags}
    assert "script" not in {tag for tag, _ in page.tags}
    assert len(page.links) == 6
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert all(a["alt"] for tag, a in page.tags if tag == "img")
    style = binary_run.report.read_text(encoding="utf-8").split("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_page_says_what_was_found(binary_run):
    words = read(binary_run).words
    found = binary_run.read_metrics()
    auc = "{:.2f} ({:.2f}–{:.2f})".format(found["roc_auc"]["value"], *found["roc_auc"]["ci95"])
    for expected in (
        "Research use only. Not a medical device.",
        "trained on 120 images of 60 patients of DDTI",
        f"ROC AUC {auc}",
        found["majority"]["sentence"],
        "95 % CI, Wilson, by image",
        "95 % CI, bootstrap, by patient",
        "where one patient has several, the interval by patient is the honest one",
        "mean Dice 0.25",
        "weak, machine-made labels",
        "largest Youden index on 60 images",
        "by which choices were made: Accuracy 0.75 (0.63–0.84).",
        "Checked: no patient is in two splits.",
        "10,163,710",
        "1 min 51 s",
        "0.921",
        "The paper's data are not public.",
        "python -m thyroid_keras.train --arch cs_agnet --data ddti",
    ):
        assert expected in words, expected


def test_the_surest_errors_are_listed_first(binary_run):
    labels, probabilities, _ = answers()
    wrong = np.flatnonzero(metrics.decide(probabilities, 0.4) != labels)
    p = probabilities[wrong, 1]
    sure = np.where(p >= 0.4, (p - 0.4) / 0.6, (0.4 - p) / 0.4)
    listed = re.findall(r'<th scope="row">case(\d+)_1.png', binary_run.report.read_text())
    assert [int(i) for i in listed] == wrong[np.argsort(-sure)][:10].tolist()


def test_no_folder_of_the_machine_is_named(binary_run):
    text = re.sub(r"base64,[^\"]*", "", binary_run.report.read_text(encoding="utf-8"))
    assert "Read from scans.zip, as https://doi.org/10.1/2 says." in text
    assert "Copied from scans.zip and/or scans.zip" in text
    for secret in ("jane", "secret", str(binary_run.folder.parent), "/home"):
        assert secret not in text


def test_hostile_names_are_shown_and_not_obeyed(tmp_path):
    evil = '<script>alert("x")</script><img src=http://evil.example/x>'
    formula = "$\\frac{1$"
    names = (f"_{formula}", evil)
    labels, probabilities, groups = answers(20)
    run = runs.Run.create(tmp_path / "run")
    with run:
        data = {"name": evil, "class_names": names, "group_unit": evil, "notes": [evil]}
        runs.write_json(run.config, {"arch": evil, "data": data, "recipe": {evil: evil}})
        found = metrics.classification_metrics(labels, probabilities, groups, class_names=names)
        runs.write_json(run.metrics, found)
        rows = [
            {"image": f"{evil}{i}\udce9\x00", "group": evil, "label": labels[i], "predicted": 0}
            | {f"p_{n}": probabilities[i, k] for k, n in enumerate(names)}
            for i in range(20)
        ]
        runs.write_csv(run.predictions, rows)
        run.write_history([{"phase": formula, formula: 1.0, "loss": 1.0}])
        report.write_plots(run)
        shown = report.gallery(examples(labels, probabilities, names), class_names=names)
        report.save_figure(shown, run.plots / f"{formula[:2]}.png")
        report.write_report(run)
    page = read(run)
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(link.startswith("data:") for link in page.links)
    assert 'alert("x")' in page.words


def test_many_classes(tmp_path):
    words = read(fake_run(tmp_path / "run", num_classes=7)).words
    assert "tell 7 classes apart" in words and "Each class against all others." in words


def test_an_almost_empty_run_still_has_a_page(tmp_path):
    with runs.Run.create(tmp_path / "run") as run:
        runs.write_json(run.config, {"data": {"class_names": NAMES}})
        report.write_plots(run)
        report.write_report(run)
        assert "Research use only" in read(run).words
        runs.write_json(run.config, {})
        report.write_report(run)
        found = metrics.classification_metrics(
            np.zeros(3, int), np.full((3, 2), 0.5), ["a"] * 3, class_names=NAMES
        )
        runs.write_json(run.metrics, found)
        report.write_report(run)
    assert "needs images of at least two classes" in read(run).words


def test_classes_may_be_called_by_numbers(tmp_path):
    names = ("1", "02", "2")
    with runs.Run.create(tmp_path / "run") as run:
        rows = [
            {"image": n, "group": n, "label": n, "predicted": n}
            | dict.fromkeys(("p_1", "p_02"), 0.2)
            | {"p_2": 0.6}
            for n in names
        ]
        runs.write_csv(run.predictions, rows)
        found = report.read_answers(run, names)
    assert found.labels.tolist() == found.predicted.tolist() == [0, 1, 2]
    assert found.folds is None and found.counts is None


def test_mask_counts_are_read_back(tmp_path):
    with runs.Run.create(tmp_path / "run") as run:
        truth = np.zeros((4, 6, 6), bool)
        truth[:2, 1:4, 1:4] = True
        counts = metrics.overlaps(truth, np.roll(truth, 1, axis=0)).astype(float)
        counts[:2, 3] = np.nan  # nobody drew that one
        dice = np.where(counts[1] > 0, metrics.dice_scores(counts), np.nan)
        rows = [
            {"image": i, "group": i, "label": NAMES[0], "predicted": NAMES[1], "p_benign": 0.5}
            | {"p_malignant": 0.5, "fold": 1, "dice": dice[i], "mask_px": int(counts[2, i])}
            | {"true_mask_px": None if i == 3 else int(counts[1, i])}
            for i in range(4)
        ]
        runs.write_csv(run.predictions, rows)
        found = report.read_answers(run, NAMES)
    np.testing.assert_array_equal(found.counts, counts)
    assert found.folds.tolist() == [1, 1, 1, 1]


@pytest.fixture(scope="module")
def folded_run(binary_run, tmp_path_factory):
    """The files that pooling three folds leaves, but for the folds themselves."""
    run = runs.Run(shutil.copytree(binary_run.folder, tmp_path_factory.mktemp("folded") / "run"))
    rows = runs.read_csv(run.predictions)
    rows = [row | {"split": "out-of-fold", "fold": i % 3} for i, row in enumerate(rows)]
    runs.write_csv(run.predictions, rows)
    found = run.read_metrics() | {"split": "out-of-fold", "pooled": "Out of fold."}
    fold = {key: found[key] for key in ("n", "groups", "threshold", "roc_auc", "accuracy")}
    found["folds"] = [fold | {"fold": i, "folder": f"fold_{i}"} for i in range(3)]
    found["mean_sd"] = {"note": "mean and SD over folds, not a confidence interval"}
    found["mean_sd"] |= {"roc_auc": {"mean": 0.875, "sd": 0.0625, "n": 3}}
    runs.write_json(run.metrics, found)
    report.write_plots(run)
    report.write_report(run)
    return run


def test_a_cross_validation_has_its_folds_on_the_page(folded_run):
    page = read(folded_run)
    links = [link for link in page.links if not link.startswith("data:image/png;base64,")]
    assert links == [f"fold_{i}/report.html" for i in range(3)]
    for words in ("3 folds", "0.875 ± 0.062", "not a confidence interval", "Pooled over the folds"):
        assert words in page.words, words
    assert "in the out-of-fold split" not in page.words


def test_the_roc_plot_of_folds_has_a_curve_each_and_the_decisions_made(folded_run):
    answers = report.read_answers(folded_run, NAMES, "out-of-fold")
    figure = report.fold_roc(answers)
    texts = [text.get_text() for text in figure.legends[0].texts]
    for fold in range(3):
        of = answers.folds == fold
        auc = metrics.roc_auc(answers.labels[of] == 1, answers.probabilities[of, 1])[0]
        assert f"fold {fold}: AUC {auc:.2f}" in texts
    (point,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    positive, called = answers.labels == 1, answers.predicted == 1
    expected = [called[~positive].mean(), called[positive].mean()]
    np.testing.assert_allclose(point.get_xydata()[0], expected)
    alone = report.fold_roc(
        report.Answers(
            **{name: getattr(answers, name)[:3] for name in ("images", "groups", "folds")},
            labels=np.zeros(3, int),
            predicted=np.zeros(3, int),
            probabilities=np.full((3, 2), 0.5),
            class_names=NAMES,
        )
    )
    assert any("no curve" in text.get_text() for text in alone.axes[0].texts)


def test_patients_on_both_sides_are_reported(tmp_path):
    with runs.Run.create(tmp_path / "run") as run:
        runs.write_json(run.config, {"data": {"class_names": NAMES, "group_unit": "patient"}})
        row = {"image": "a", "group": "p7", "label": "malignant"}
        runs.write_csv(run.split, [row | {"split": "train"}, row | {"split": "test"}])
        report.write_report(run)
    assert "1 patient(s) are in more than one split" in read(run).words


def test_a_damaged_table_is_named(tmp_path):
    with runs.Run.create(tmp_path / "run") as run:
        runs.write_json(run.config, {"data": {"class_names": NAMES}})
        runs.write_csv(run.predictions, [{"image": "a", "group": "g", "label": 5, "predicted": 0}])
        with pytest.raises(runs.RunError, match="predictions.csv"):
            report.write_report(run)
        runs.write_csv(run.split, [{"image": "a", "group": "g", "label": "?", "split": "test"}])
        run.predictions.unlink()
        with pytest.raises(runs.RunError, match="split.csv"):
            report.write_report(run)


def test_the_roc_plot_marks_what_the_metrics_say():
    labels, probabilities, groups = answers()
    found = metrics.classification_metrics(
        labels, probabilities, groups, threshold=0.37, class_names=NAMES
    )
    figure = report.roc(labels, probabilities, groups, class_names=NAMES, threshold=0.37)
    (point,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    sensitivity, specificity = found["sensitivity"]["value"], found["specificity"]["value"]
    np.testing.assert_allclose(point.get_xydata()[0], [1 - specificity, sensitivity])
    legend = [text.get_text() for text in figure.legends[0].texts]
    low, high = found["roc_auc"]["ci95"]
    assert f"AUC {found['roc_auc']['value']:.2f} ({low:.2f}–{high:.2f})" in legend


@pytest.mark.parametrize(
    ("draw", "name"), [(report.roc, "roc_auc"), (report.precision_recall, "average_precision")]
)
def test_a_plot_has_the_interval_of_the_metrics(draw, name):
    labels, groups = np.arange(6) % 2, list("aabbcc")
    scores = np.array([0.1, 0.6, 0.7, 0.2, 0.4, 0.3])
    labels[:2] = 1  # some resamples hold one class
    arrays, names = (labels, np.stack([1 - scores, scores], axis=1), groups), {"class_names": NAMES}
    found = metrics.classification_metrics(*arrays, **names)
    low, high = found[name]["ci95"]
    assert found[name]["dropped"]
    for quoted in ({}, {"found": found, "seed": 1}):
        figure = draw(*arrays, **names, **quoted)
        legend = " ".join(text.get_text() for text in figure.legends[0].texts)
        assert f" {found[name]['value']:.2f} ({low:.2f}–{high:.2f})" in legend


def test_plots_of_one_class_say_why_they_are_empty():
    labels, probabilities, groups = np.zeros(4, int), np.full((4, 2), 0.5), list("abcd")
    for draw in (report.roc, report.precision_recall):
        figure = draw(labels, probabilities, groups, class_names=NAMES, threshold=0.5)
        assert any("no curve" in text.get_text() for text in figure.axes[0].texts)
    assert isinstance(report.calibration(labels, probabilities, class_names=NAMES), Figure)


def test_the_epoch_that_was_kept_is_marked():
    def marked(rows):
        figure = report.learning_curves(rows)
        return [text.get_text() for text in figure.legends[0].texts][-1]

    rows = history()
    # the first phase's losses are smaller, but of another kind
    lowest = min(rows[8:], key=lambda row: row["val_loss"])
    assert marked(rows) == f"lowest validation loss: epoch {8 + lowest['epoch']}"
    rows[2]["best"] = 1
    assert marked(rows) == "kept: epoch 3"
    assert report.learning_curves([]).legends == []


def test_the_gallery_shows_successes_and_failures():
    labels = np.array([0, 0, 1, 1, 1, 0])
    positive = np.array([0.01, 0.05, 0.9, 0.03, 0.52, 0.7])
    chosen = report.choose_examples(labels, np.stack([1 - positive, positive], axis=1))
    assert chosen == [
        ("right, farthest from the threshold", 0),
        ("right, farthest from the threshold", 2),  # less sure than 1, but of the other class
        ("wrong, farthest from the threshold", 3),
        ("wrong, farthest from the threshold", 5),
        ("nearest to the threshold", 4),
        ("nearest to the threshold", 1),
    ]
    three = report.choose_examples([0, 1], np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]))
    assert [kind for kind, _ in three] == ["right, surest", "wrong, surest"]


def test_the_gallery_shows_the_threshold_that_decides():
    labels, probabilities = np.array([1]), np.array([[0.52, 0.48]])
    (example,) = examples(labels, probabilities)
    example = dataclasses.replace(example, predicted=1, threshold=0.44)
    title = report.gallery([example], class_names=NAMES).axes[0].get_title(loc="left")
    assert title.endswith("called malignant\np of malignant 0.48, threshold 0.44")


def test_the_gallery_says_where_there_is_nothing():
    labels, probabilities, _ = answers(20)
    figure = report.gallery(examples(labels, probabilities), class_names=NAMES)
    words = {ax.get_xlabel() for ax in figure.axes}
    assert {
        "true mask: empty",
        "gate2: the same everywhere",
        "predicted: empty (max 0.10)",
    } <= words
    bare = report.Example(
        name="x",
        kind="least sure",
        image=np.zeros((5, 4, 3), np.uint8),
        label=0,
        predicted=1,
        probabilities=np.array([0.4, 0.6]),
    )
    assert len(report.gallery([bare], class_names=NAMES).axes) == 1
    drawn = dataclasses.replace(bare, predicted_mask=np.tri(5, 4))
    ax = report.gallery([drawn], class_names=NAMES).axes[1]
    assert len(ax.images) == len(ax.collections) == 1, "the outline alone, over the image"


def test_a_signed_map_fades_out_where_it_changes_its_sign():
    bare = report.Example(
        name="x",
        kind="chosen",
        image=np.zeros((20, 40)),
        label=0,
        predicted=0,
        probabilities=np.array([0.6, 0.4]),
        maps={"class map": np.array([[1.0, -1.0], [1.0, -1.0]])},
        signed=("class map",),
    )
    alpha = report.gallery([bare], class_names=NAMES).axes[1].images[-1].get_alpha()
    assert alpha[:, [0, -1]].min() > 0.6 and alpha[:, [19, 20]].max() < 0.05


def test_counts_are_written_as_people_write_them():
    assert counted_images(1, 1, "patient") == "1 image of 1 patient"
    assert counted_images(15, 15, "image") == "15 images"
    number = {"value": 60.0, "ci95": [8.6875, 123.4], "n": 8}
    found = {"n": 8, "given": 0, "measures": {}, "number": number}
    page = calcifications({"calcifications": found})
    assert ">60</td>" in page and ">8.69 – 123</td>" in page


def test_saving_warns_of_no_missing_glyph(tmp_path):
    figure = report.confusion([[1, 0], [0, 1]], class_names=("良性", "悪性"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.save_figure(figure, tmp_path / "x.png")
    assert base64.b64encode((tmp_path / "x.png").read_bytes()).startswith(b"iVBORw0KGgo")
