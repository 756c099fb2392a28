"""python -m thyroid_keras.crossval: a training per fold, pooled figures, an ensemble."""

from thyroid_keras import cli
from thyroid_keras.cross_validation import crossval


def main(arguments=None):
    """Parses the command line and cross-validates."""
    parser = cli.parser(
        "crossval",
        "Deals the data into grouped, stratified folds, trains a network for each on the "
        "others, and judges all images by the network that has not seen them. Leaves a folder "
        "with a run folder per fold, pooled and per-fold figures, and the ensemble of the "
        "networks, which evaluate, predict, explain and export take like a run.",
        example="--arch cs_agnet --folds 5 --data PATH",
    )
    cli.add_shared(parser, "--arch", "--data", "--target", "--format", "--on-bad")
    cli.add_shared(parser, "--recipe", "--set", "--seed", "--precision")
    add = parser.add_argument
    add("--folds", required=True, type=int, metavar="K", help="how many, at least 2")
    add("--out", metavar="DIR", help="folder; default: a new one below runs/")
    add("--resume", action="store_true", help="go on in --out; finished folds stay")
    cli.run(crossval, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
