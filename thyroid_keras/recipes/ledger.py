"""What the five papers claim, each as a sentence and as rows of our tables that can decide it."""

import dataclasses
from typing import Literal

from thyroid_keras.recipes.fan_tables import MARGIN as ACCURACY_MARGIN
from thyroid_keras.recipes.sononet_tables import MARGIN as F1_MARGIN
from thyroid_keras.recipes.table import Claim

AUC_MARGIN = 0.02  # less than the .053 that the paper's AUC gains from 10 to 60 % pixel labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statement:
    """One line of the ledger.

    Args:
        name: unique, a word for files.
        says: the claim, as a sentence.
        paper: whose, as people call its network.
        table: name of the table whose rows decide it.
        claims: of `Claim`; it holds where all of them do.
        kind: how its `claims` or `rows` are judged: `differences`: by the table's figure;
            `trainings`: by how often repeated trainings are right, task by task; `places`:
            boxes must lie better than one box given as the answer to every image; `map`: the
            map of the data set must be higher inside the region expected than outside;
            `leak`: the figure must be higher where copies of an image are on both sides.
        rows: their names, where nothing is compared with another row.
    """

    name: str
    says: str
    paper: str
    table: str
    claims: tuple[Claim, ...] = ()
    kind: Literal["differences", "trainings", "places", "map", "leak"] = "differences"
    rows: tuple[str, ...] = ()


def _than(*pairs, **how):
    return tuple(Claim(row=row, other=other, **how) for row, other in pairs)


LEDGER = (
    Statement(
        name="lap",
        says="LAP keeps the accuracy at a large η, where GAP loses it",
        paper="FAN",
        table="fan_2",
        claims=_than(("fan_14_1", "fan_56_1"), ("fan_56_2", "fan_56_1")),
    ),
    Statement(
        name="feedback",
        says="Feedback attention helps",
        paper="FAN",
        table="fan_3",
        claims=_than(("fan_56_1", "fan_56_1_none"), ("fan_56_2", "fan_56_2_none")),
    ),
    Statement(
        name="size",
        says="FAN matches far larger networks",
        paper="FAN",
        table="fan_2",
        claims=_than(
            *(("fan_56_2", f"resnet{depth}") for depth in (18, 34, 50)),
            margin=ACCURACY_MARGIN,
            at_least=True,
        ),
    ),
    Statement(
        name="pixel_labels",
        says="30 % of the pixel labels do nearly what 100 % do",
        paper="CS-AGnet",
        table="cs_agnet_1",
        claims=_than(("30", "100"), margin=AUC_MARGIN, at_least=True),
    ),
    Statement(
        name="gates",
        says="Gates help CS-AGnet",
        paper="CS-AGnet",
        table="cs_agnet_2",
        claims=_than(("cs_agnet", "vgg_unet")),
    ),
    Statement(
        name="brightness",
        says="Networks beat brightness thresholds",
        paper="CS-AGnet",
        table="cs_agnet_2",
        claims=_than(("cs_agnet", "calcification_index"), ("cs_agnet", "otsu")),
    ),
    Statement(
        name="map",
        says="One attention map for all images helps, and more than an L1 penalty",
        paper="global attention",
        table="global_attention_2",
        kind="trainings",
        claims=_than(("sononet_attention", "sononet"), ("sononet_attention", "sononet_l1")),
    ),
    Statement(
        name="region",
        says="That map lights what medicine expects",
        paper="global attention",
        table="global_attention_2",
        kind="map",
        rows=("sononet_attention",),
    ),
    Statement(
        name="width",
        says="AG-SonoNet beats SonoNet at equal width",
        paper="AG-SonoNet",
        table="ag_sononet_1",
        claims=_than(("ft_8", "sononet_8"), ("ft_16", "sononet_16")),
    ),
    Statement(
        name="twice",
        says="AG-SonoNet equals a SonoNet of twice the width",
        paper="AG-SonoNet",
        table="ag_sononet_1",
        claims=_than(("ft_8", "sononet_16"), margin=F1_MARGIN),
    ),
    Statement(
        name="aggregation",
        says="Fine-tuned aggregation is the best one",
        paper="AG-SonoNet",
        table="ag_sononet_1",
        claims=_than(*((f"ft_{w}", f"{how}_{w}") for w in (8, 16) for how in ("mean", "deep_sup"))),
    ),
    Statement(
        name="normalisation",
        says="Dividing the gates by their sum beats softmax and sigmoid",
        paper="AG-SonoNet",
        table="ag_sononet_1",
        claims=_than(("ft_8", "ft_8_softmax"), ("ft_8", "ft_8_sigmoid")),
    ),
    Statement(
        name="places",
        says="Attention maps localise without back-propagation",
        paper="AG-SonoNet",
        table="ag_sononet_3",
        kind="places",
        rows=("ft_16",),
    ),
    Statement(
        name="svm",
        says="Bottleneck features and an SVM beat fine-tuning",
        paper="transfer learning",
        table="transfer_1",
        claims=_than(("mobilenet_svm", "mobilenet_fine_tuned")),
    ),
    Statement(
        name="leak",
        says="Augmenting before splitting inflates the figures",
        paper="transfer learning",
        table="transfer_1",
        kind="leak",
        rows=("mobilenet_svm", "mobilenet_fc"),
    ),
)
