"""python -m thyroid_keras.compare: two runs on the same test images."""

from thyroid_keras import cli
from thyroid_keras.comparison import compare


def main(arguments=None):
    """Parses the command line and compares."""
    parser = cli.parser(
        "compare",
        "Compares two runs, or two cross-validations, on the same test images: differences with "
        "95 % intervals by resampled patients, DeLong's test, McNemar's test.",
        example="runs/ag_sononet runs/sononet --out comparison",
    )
    add = parser.add_argument
    add("folder_a", metavar="RUN", help="folder of a run, of a crossval or of a bottleneck")
    add("folder_b", metavar="RUN", help="the one that is subtracted")
    add("--json", metavar="FILE", help="writes the result to FILE, too")
    add("--out", metavar="DIR", help="folder for comparison.json and the ROC curves of both")
    cli.add_shared(parser, "--seed")
    cli.run(compare, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
