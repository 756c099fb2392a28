"""python -m thyroid_keras.evaluate: a run's figures with intervals, plots and report."""

from thyroid_keras import cli
from thyroid_keras.experiment import evaluate


def main(arguments=None):
    """Parses the command line and evaluates."""
    parser = cli.parser(
        "evaluate",
        "Judges the model of a run: metrics with 95 % intervals, predictions, plots, report.",
    )
    parser.add_argument("folder", metavar="RUN", help="run folder")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="other images with labels, judged in a folder below the run; thresholds stay "
        "those of the run's validation images",
    )
    cli.run(evaluate, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
