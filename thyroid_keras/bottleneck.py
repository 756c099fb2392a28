"""python -m thyroid_keras.bottleneck: a known network's features, and a classifier of them."""

from thyroid_keras import cli
from thyroid_keras.transfer import (
    CACHE,
    CLASSIFIERS,
    KERNELS,
    POOLINGS,
    VIEWS,
    Settings,
    bottleneck,
)

PHANTOM = {
    "patients": "how many the phantom has",
    "views": "pictures of each of them",
    "typicality": "how much more typical than in life its nodules are",
    "text_leak": "share, 0 to 1, of its pictures with words that give the class away",
}


def main(arguments=None):
    """Parses the command line and cross-validates."""
    parser = cli.parser(
        "bottleneck",
        "Puts every image through the convolutions of a network trained on ImageNet, and "
        "cross-validates a classifier of what comes out, whole groups held out, with augmented "
        "copies of the training images. Leaves a folder with figures, report, the classifier of "
        "all images and the network.",
        example="--data PATH --features vgg16 --classifier fc",
        more="Several data sets of the same classes are joined, and judged each alone too. Of "
        "several kinds of labels it takes malignancy, unless --target says otherwise.",
    )
    add, usual = parser.add_argument, Settings()
    add("--data", nargs="+", metavar="PATH", help="as for train, several; default: the phantom")
    add(
        "--features",
        default=usual.features,
        metavar="NETWORK",
        help="vgg16, inception_v3, mobilenet, or any other of keras.applications",
    )
    add("--classifier", choices=CLASSIFIERS, default=usual.classifier, help="of the features")
    add(
        "--weights",
        default=usual.weights,
        metavar="WEIGHTS",
        help="imagenet: Keras's own, downloaded once; path of a .keras, .weights.h5 or .npz file; "
        "none: random ones",
    )
    add("--image-size", type=int, metavar="PX", help="side; default: that of Keras's weights")
    add(
        "--alpha",
        type=float,
        metavar="WIDTH",
        help="width of a MobileNet; default: that of an .npz file, else 1",
    )
    add("--pooling", choices=POOLINGS, help="default: flatten for the VGGs, else average")
    add("--kernel", choices=KERNELS, default=usual.kernel, help="of the SVM")
    add("--scale", action="store_true", help="standardise each feature first")
    add(
        "--copies",
        type=int,
        metavar="N",
        default=usual.copies,
        help="augmented ones of each training image",
    )
    add("--folds", type=int, default=usual.folds, metavar="K", help="how many, at least 2")
    add(
        "--augment-before-split",
        action="store_true",
        help="reproduce the leak too, and show its figure beside the right one",
    )
    cli.add_shared(parser, "--target", "--format", "--on-bad", "--seed")
    add(
        "--borders",
        default=usual.borders,
        metavar="HOW",
        help="of the pictures, removed: none, classical, or the run of a border_unet",
    )
    add("--views", choices=VIEWS, default=usual.views, help="double ones: keep or split")
    for name in ("patients", "views", "typicality", "text_leak"):
        value = getattr(usual, f"phantom_{name}")
        flag = f"--phantom-{name.replace('_', '-')}"
        add(flag, type=type(value), default=value, metavar="N", help=PHANTOM[name])
    add("--out", metavar="DIR", help="folder; default: a new one below runs/")
    add("--resume", action="store_true", help="begin again in the folder of a run that was stopped")
    add("--cache", default=CACHE, metavar="DIR", help="keeps the features for the next time")
    cli.run(bottleneck, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
