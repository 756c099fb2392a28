"""python -m thyroid_keras.crossval: a training per fold, pooled figures, an ensemble."""

from thyroid_keras import cli
from thyroid_keras.cross_validation import crossval
from thyroid_keras.data.readers import FORMATS
from thyroid_keras.preparation import ON_BAD, SCALES
from thyroid_keras.recipes import RECIPES
from thyroid_keras.training.backend import PRECISIONS


def main(arguments=None):
    """Parses the command line and cross-validates."""
    parser = cli.parser(
        "crossval",
        "Deals the data into grouped, stratified folds, trains a network for each on the "
        "others, and judges all images by the network that has not seen them. Leaves a folder "
        "with a run folder per fold, pooled and per-fold figures, and the ensemble of the "
        "networks, which evaluate, predict and explain take like a run.",
        "`python -m thyroid_keras.train --arch NAME --set help` lists the settings.",
    )
    add = parser.add_argument
    add("--arch", required=True, choices=sorted(RECIPES), help="network")
    add("--folds", required=True, type=int, metavar="K", help="how many, at least 2")
    add("--data", metavar="PATH", help="folder, manifest.csv or packed .npz; default: the phantom")
    add("--target", help="which labels, where the data has several, e.g. calcification")
    add("--format", choices=sorted(FORMATS), help="of the data, if not recognised")
    add(
        "--recipe",
        choices=SCALES,
        help="quick: minutes a fold; paper: the paper's settings. Default: quick without a GPU",
    )
    add("--out", metavar="DIR", help="folder; default: a new one below runs/")
    add(
        "--set",
        dest="settings",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="replaces settings of the recipe",
    )
    add("--seed", type=int, default=0, help="of folds, weights and batches")
    add("--precision", choices=PRECISIONS, default="auto", help="of the arithmetic")
    add("--resume", action="store_true", help="go on in --out; finished folds stay")
    add("--on-bad", choices=ON_BAD, default="fail", help="faulty files: end, or leave them out")
    cli.run(crossval, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
