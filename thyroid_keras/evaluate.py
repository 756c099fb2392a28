"""python -m thyroid_keras.evaluate: a run's figures with intervals, plots and report."""

from thyroid_keras import cli
from thyroid_keras.cross_validation import evaluate


def main(arguments=None):
    """Parses the command line and evaluates."""
    parser = cli.parser(
        "evaluate",
        "Judges the model of a run: metrics with 95 % intervals, predictions, plots, report. Of a "
        "crossval it pools the folds once more, and judges other images by the ensemble.",
        example="runs/fan --data PATH",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of a run or of a crossval")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="other images with labels, judged in a folder below the run; thresholds stay "
        "those of the run's validation images",
    )
    cli.run(evaluate, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
