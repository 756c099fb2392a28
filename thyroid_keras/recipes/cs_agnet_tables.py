"""Tables 1 and 2 of Wang et al., CS-AGnet: what to train, and what the paper says."""

from thyroid_keras.recipes.cs_agnet import PAPER, REPORTED
from thyroid_keras.recipes.table import GRAD_CAM, Claim, Comparison, Row, Table

GATE = "mask_gate3"  # the one that the paper shows
QUICK_PX = 96
FLIPS = ("flip_horizontal=0.5", "flip_vertical=0.5")
VIEWS = "phantom_views=2"
QUICK_MASKS = ("segmentation_epochs=16", "epochs=8")


def _share(percent):
    return Row(
        name=f"{percent}",
        label=f"{percent} %",
        arch="cs_agnet",
        settings=(f"pixel_label_percent={percent}",),
        reported=REPORTED.get(percent, {}),
    )


def _method(name, label, arch, *settings, quick=(), paper=(), reported=None):
    return Row(
        name=name,
        label=label,
        arch=arch,
        settings=settings,
        quick=quick,
        paper=paper,
        reported=reported or {},
    )


def _masks(arch, label, percent, **more):
    """A method that learns from pixel labels."""
    wanted = f"pixel_label_percent={percent}"
    return _method(arch, f"{label} ({percent} %)", arch, wanted, quick=QUICK_MASKS, **more)


def _no_masks(arch, label, *settings, **more):
    """A method that learns from labels of whole images."""
    return _method(arch, f"{label} (0 %)", arch, VIEWS, *FLIPS, *settings, **more)


def _brightness(method, label):
    return _method(method, label, "classical", f"method={method}")


METHODS = (
    _masks("cs_agnet", "CS-AGnet", 30, reported=REPORTED[30]),
    _masks("vgg_unet", "VGG_U-net", 100),
    _masks("alexnet_seg", "Alexnet-Seg", 100),
    _no_masks(
        "ag_sononet",
        "AG-SonoNet-FT-8",
        "filters=8",
        "aggregation=ft",
        "sampling=shuffle",
        "rotation_deg=0",
        "shift_px=0",
        "zoom=1,1",
        quick=(f"image_size={QUICK_PX},{QUICK_PX}",),
        paper=("image_size=192,192",),
    ),
    _no_masks(
        "vgg16",
        "VGG-16 with CAM",
        "head=cam",
        "optimizer=adam",
        "l2=0",
        "normalization=torch",
        "learning_rate=1e-4",
        quick=("image_size=64", "epochs=12"),
        paper=("image_size=192",),
    ),
    _no_masks(
        "resnet50",
        "ResNet-50 with CAM",
        "head=cam",
        "shortcut=standard",
        "optimizer=adam",
        "l2=0",
        quick=(f"image_size={QUICK_PX}", "learning_rate=1e-3"),
        paper=("image_size=192", "learning_rate=1e-4"),
    ),
    _brightness("calcification_index", "Calcification-index-style"),
    _brightness("otsu", "Otsu-style"),
)
OTHERS = tuple(row.name for row in METHODS[1:])
TABLES = {
    "cs_agnet_1": Table(
        name="cs_agnet_1",
        title="CS-AGnet by the share of training images whose pixel labels are used",
        paper=f"{PAPER}, Table 1 and Figs. 7 and 8",
        stub="pixel labels",
        rows=tuple(_share(percent) for percent in (10, 20, 30, 40, 50, 60, 100)),
        figures=("accuracy", "sensitivity", "specificity", "roc_auc", "dice"),
        folds=5,
        quick=("phantom_patients=480", "segmentation_epochs=16", "epochs=8"),
        reference="100",
        comparisons=(
            Comparison(
                name="maps",
                title=f"Attention maps of {GATE} by pixel labels",
                rows=("10", "30", "50", "100"),
                gate=GATE,
            ),
        ),
        notes=(
            "The paper's table itself is not at hand: its column holds what the paper's text says.",
            "The paper reports no Dice and no intervals.",
        ),
    ),
    "cs_agnet_2": Table(
        name="cs_agnet_2",
        title="CS-AGnet and what it is compared with (in brackets: share of the pixel labels)",
        paper=f"{PAPER}, Table 2 and Figs. 9 and 10",
        stub="method",
        rows=METHODS,
        figures=("accuracy", "sensitivity", "specificity", "roc_auc", "dice"),
        target="calcification",
        folds=5,
        quick=("phantom_patients=480",),
        reference="cs_agnet",
        claims=(
            *(Claim(row="cs_agnet", other=other) for other in OTHERS),
            Claim(row="vgg_unet", other="alexnet_seg"),
            Claim(row="vgg16", other="ag_sononet"),
            Claim(row="resnet50", other="ag_sononet"),
        ),
        tested=True,
        comparisons=(
            Comparison(
                name="figure_10",
                title="Where the methods look",
                rows=("cs_agnet", "vgg_unet", "ag_sononet", "vgg16", "resnet50"),
                gate=GATE,
                gates={
                    "vgg_unet": GRAD_CAM,
                    "ag_sononet": "gate3",
                    "vgg16": None,
                    "resnet50": None,
                },
            ),
        ),
        notes=(
            "The paper's table itself is not at hand: its column holds what the paper's text says, "
            "which gives no figure of the other methods.",
            "Which methods had how many pixel labels is the paper's; the brightness methods learn "
            "nothing but a threshold.",
            "The two brightness methods are in the style of what the paper calls CI and Otsu; "
            "their formulas could not be had, and they are no reproductions. They see the whole "
            "square about the nodule, as the networks do: an outline of it would help them.",
            "Of Alexnet-Seg neither code nor numbers are public: what they leave open is decided.",
            "VGG-16 and ResNet-50 begin with random weights; the paper does not say with which.",
            "VGG_U-net has no class activation map, its three votes being averages of three "
            "scales: its map is the gradient-weighted one (Grad-CAM) of its last shared features.",
        ),
    ),
}
