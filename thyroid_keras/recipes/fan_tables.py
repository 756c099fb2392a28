"""Tables 2 and 3 of Wang et al., FAN: what to train, and what the paper says."""

import dataclasses

from thyroid_keras.recipes import classifier
from thyroid_keras.recipes.fan import FIGURES, PAPER, REPORTED, WITHOUT_FEEDBACK
from thyroid_keras.recipes.table import Claim, Comparison, Row, Table

PARAMETERS = {
    "vgg19": 139_580_000,
    "resnet18": 11_000_000,
    "resnet34": 21_110_000,
    "resnet50": 38_080_000,
    "densenet40": 1_130_000,
}
LABELS = {
    "vgg19": "VGG-19",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "densenet40": "DenseNet-40",
}
PAPER_PX, LARGE = 224, 112  # LARGE: of eta, which takes longest
QUICK_PX = 96  # which five halvings leave whole pixels of
MARGIN = 0.02  # of accuracy: less than the .027 that FAN gains on ResNet-34 in the paper
FEEDBACK = {"recurrent": "", "epoch": ", fed back between epochs", "none": ", no feedback"}
SHARED = {
    "shared": "fan",
    "stub": "network",
    "figures": (*FIGURES, "roc_auc"),
    "compared": "accuracy",
    "names": {"sensitivity": "recall", "f1": "F1"},
    "folds": 5,
    "quick": (f"image_size={QUICK_PX}", "phantom_patients=400"),
}
NOTES = (
    "The paper's metrics (its Eq. 6): the positive class is malignant; its recall is the "
    "sensitivity. It reports no intervals and no AUC.",
    "The paper splits once, 80 to 20, over images; nothing says that a patient is on one side "
    "alone. Ours are split by group, in five folds at the paper's scale.",
)


def _fan(eta, kappa, feedback="recurrent"):
    figures = WITHOUT_FEEDBACK.get(kappa) if feedback == "none" else REPORTED.get((eta, kappa))
    name = f"fan_{eta}_{kappa}"
    return Row(
        name=name if feedback == "recurrent" else f"{name}_{feedback}",
        label=f"FAN, η {eta}, κ {kappa}{FEEDBACK[feedback]}",
        arch="fan",
        settings=(f"kappa={kappa}", f"feedback={feedback}"),
        quick=(f"eta={eta * QUICK_PX // PAPER_PX}",),
        paper=(f"eta={eta}",),
        paper_only=eta == LARGE or feedback == "epoch",
        against=f"fan_{eta}_1" if kappa > 1 else None,
        reported=dict(zip(FIGURES, figures, strict=False)) | {"parameters": 770_000},
    )


def _baseline(arch):
    return Row(
        name=arch,
        label=LABELS[arch],
        arch=arch,
        paper_only=arch == "vgg19",
        against="fan_56_2",
        reported=dict(zip(FIGURES, classifier.REPORTED[arch], strict=True))
        | {"parameters": PARAMETERS[arch]},
    )


def _attended(kappa, feedback):
    row = _fan(56, kappa, feedback)
    return dataclasses.replace(row, against=None if feedback == "none" else f"fan_56_{kappa}_none")


BASELINES = tuple(LABELS)
TABLES = {
    "fan_2": Table(
        name="fan_2",
        title="FAN by the size of its map (η) and of its cells (κ), and known classifiers",
        paper=f"{PAPER}, Table 2 and Figs. 3 and 4, and η = 112 of its text",
        rows=tuple(_fan(*of) for of in REPORTED) + tuple(_baseline(arch) for arch in BASELINES),
        reference="fan_7_1",
        claims=(
            Claim(row="fan_14_1", other="fan_56_1"),
            Claim(row="fan_56_2", other="fan_56_1"),
            Claim(row="fan_112_7", other="fan_112_1"),
            *(Claim(row="fan_56_2", other=f"resnet{depth}") for depth in (18, 34, 50)),
            *(Claim(row="fan_56_2", other=o, margin=MARGIN) for o in ("vgg19", "densenet40")),
        ),
        timed=True,
        comparisons=(
            Comparison(
                name="figure_3",
                title="Class maps by η, κ = 1",
                rows=("fan_7_1", "fan_14_1", "fan_28_1", "fan_56_1"),
            ),
            Comparison(
                name="figure_4",
                title="Class maps with one cell (GAP) and with several (LAP)",
                rows=("fan_112_7", "fan_56_1", "fan_56_2", "fan_28_2", "fan_14_1", "fan_14_2"),
            ),
        ),
        notes=(
            *NOTES,
            "The paper's headline, 90.76 % ± 2.8 %, is the middle and half the range of FAN's "
            "rows, no mean and SD.",
            "If all rows judged the same images, the share of malignant ones would follow from "
            "each row's figures: .624 in most of them, but .836 for ResNet-34, .671 for η = 7 and "
            ".646 for VGG-19.",
            f"The quick scale's images are of {QUICK_PX} px and its η in proportion: every row "
            "halves the image as often as the paper's.",
            "It leaves out η = 112 and VGG-19, either of which takes longer than most others "
            "together; `--rows` asks for them.",
        ),
        **SHARED,
    ),
    "fan_3": Table(
        name="fan_3",
        title="FAN at η = 56 with its map fed back and without",
        paper=f"{PAPER}, Table 3",
        rows=tuple(_attended(kappa, feedback) for kappa in (1, 2) for feedback in FEEDBACK),
        reference=None,
        claims=tuple(
            Claim(row=f"fan_56_{kappa}{how}", other=f"fan_56_{kappa}_none")
            for kappa in (1, 2)
            for how in ("", "_epoch")
        ),
        notes=(
            *NOTES,
            "The paper feeds an image's map of one epoch back in the next and does not say what "
            "it does with images that had no epoch before, so its figures stand at both ways of "
            "feeding back: within an image, twice looked at, which is the default here, and "
            "between epochs.",
            "The quick scale leaves the way between epochs out, for its time; `--rows` asks for "
            "it. Its images and η are those of fan_2.",
            "κ = 1 without attention: its figures ask for a share of malignant images of .479, "
            "those of the others for .624; its gain of 4.50 % is relative (3.81 points).",
        ),
        **SHARED,
    ),
}
