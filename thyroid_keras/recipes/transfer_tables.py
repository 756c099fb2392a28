"""Table 1 of Sai Sundar and Sai: what to train, and what the paper says."""

from thyroid_keras.recipes.table import Claim, Row, Table
from thyroid_keras.recipes.transfer import BOTTLENECK, FIGURES, PAPER
from thyroid_keras.recipes.transfer import REPORTED as TRAINED

LABELS = {"vgg16": "VGG-16", "inception_v3": "Inception-v3", "mobilenet": "MobileNet"}
CLASSIFIERS = {"svm": "SVM", "fc": "new FC"}
PX = "image_size=128"  # at the quick scale, of all networks known from ImageNet
FINE_TUNED = {
    "vgg16": (
        *("weights=imagenet", "epochs=50", "patience=10", "batch_size=32", "learning_rate=1e-4"),
        *("flip_horizontal=0.5", "rotation_deg=15", "noise=0.02"),
    )
}
LAYERS = {"vgg16": ("normalization=caffe", "head=new_fc", "fine_tune=block5_conv2")}


def _figures(row):
    return dict(zip(FIGURES, row, strict=False))


def _bottleneck(features, classifier):
    return Row(
        name=f"{features}_{classifier}",
        label=f"{LABELS[features]} + {CLASSIFIERS[classifier]}",
        command="bottleneck",
        arch=features,
        settings=(f"features={features}", f"classifier={classifier}"),
        usual=("augment_before_split=true",),
        quick=(PX,),
        paper_only=True,
        reported=_figures(BOTTLENECK.get((features, classifier), ())),
    )


def _fine_tuned(arch):
    return Row(
        name=f"{arch}_fine_tuned",
        label=f"{LABELS[arch]}, fine-tuned",
        arch=arch,
        settings=LAYERS.get(arch, ()),
        usual=FINE_TUNED.get(arch, ()),
        quick=(PX,),
        paper_only=arch != "mobilenet",
        reported=_figures(TRAINED.get(arch, ())),
    )


TABLES = {
    "transfer_1": Table(
        name="transfer_1",
        title="A small network from scratch, features of known ones, and these fine-tuned",
        paper=f"{PAPER}, Table 1 (both of its data sets together), and its mobile network",
        stub="method",
        rows=(
            Row(
                name="small_cnn",
                label="CNN from scratch",
                arch="small_cnn",
                reported=_figures(TRAINED["small_cnn"]),
            ),
            *(_bottleneck(n, c) for c in CLASSIFIERS for n in LABELS),
            *(_fine_tuned(n) for n in LABELS),
        ),
        folds=5,
        quick_folds=3,
        quick=("phantom_patients=200", "phantom_typicality=0.5"),
        reference="small_cnn",
        claims=(
            *(
                Claim(row=f"{n}_{c}", other=f"{n}_fine_tuned")
                for n in ("vgg16", "mobilenet")
                for c in CLASSIFIERS
            ),
            Claim(row="vgg16_svm", other="small_cnn"),
            Claim(row="mobilenet_svm", other="small_cnn"),
        ),
        notes=(
            "The paper's samples, 2,525 to learn from and 613 to test, are grown from 298 images "
            "and those of 127 patients by flips, rotations and noise; it does not say that copies "
            "of an image, or images of a patient, were kept on one side. What comes of it if not "
            "stands below the table.",
            "The paper gives fractions, no AUC and no intervals; its second data set is not "
            "public. What it leaves open (rates, epochs, how much is flipped, rotated and added, "
            "the FC layer) is decided in the recipes and in `bottleneck`.",
            "The paper trains a MobileNet for phones and gives no figure of it: its rows here "
            "stand for what VGG-16 and Inception-v3 are in the paper.",
            "Features of random weights tell nothing, so the quick scale leaves out what needs "
            "those of ImageNet: `--rows` asks for it, with `--set weights=imagenet` or the path of "
            "those of one network. Its MobileNet has random ones before it is trained unless "
            "others are given.",
            "SVM and new FC learn from bottleneck features, the network staying as it is.",
            "Thresholds are chosen on validation images, in `bottleneck` on such as the classifier "
            "had not learned from.",
        ),
    ),
}
