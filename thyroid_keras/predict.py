"""python -m thyroid_keras.predict: a CSV row, and a mask, per image."""

from thyroid_keras import cli
from thyroid_keras.inspection import predict
from thyroid_keras.transfer.prediction import is_bottleneck
from thyroid_keras.transfer.prediction import predict as predict_by_features


def main(arguments=None):
    """Parses the command line and predicts."""
    parser = cli.parser(
        "predict",
        "Predicts pictures with the model of a run: a row each of its class and probabilities, and "
        "a mask where the network draws one.",
        example="runs/cs_agnet picture.png folder --out predictions.csv",
    )
    add = parser.add_argument
    add("folder", metavar="RUN", help="folder of a run, of a crossval or of a bottleneck")
    add("images", metavar="IMAGE", nargs="+", help="pictures, or folders of pictures")
    add("--out", metavar="FILE.csv", default="predictions.csv", help="a row per picture")
    chosen = parser.parse_args(arguments)
    by = predict_by_features if is_bottleneck(chosen.folder) else predict
    cli.run(by, **vars(chosen))


if __name__ == "__main__":
    main()
