"""python -m thyroid_keras.predict: a CSV row, and a mask, per image."""

from thyroid_keras import cli
from thyroid_keras.inspection import predict


def main(arguments=None):
    """Parses the command line and predicts."""
    parser = cli.parser("predict", "Predicts pictures with the model of a run.")
    add = parser.add_argument
    add("folder", metavar="RUN", help="run folder")
    add("images", metavar="IMAGE", nargs="+", help="pictures, or folders of pictures")
    add("--out", metavar="FILE.csv", default="predictions.csv", help="a row per picture")
    cli.run(predict, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
