"""python -m thyroid_keras.check_data: everything wrong with a data set, and what is in it."""

from thyroid_keras import cli
from thyroid_keras.data_report import check_data


def main(arguments=None):
    """Parses the command line and checks."""
    parser = cli.parser(
        "check_data",
        "Checks every file of a data set and lists all that is wrong with it, at once, with a "
        "summary of what it holds. Exit status 0 where it can be trained on, 2 where not.",
        example="PATH --shortcuts",
    )
    add = parser.add_argument
    add("path", metavar="PATH", help="folder, manifest.csv or packed .npz")
    cli.add_shared(parser, "--target", "--format", "--on-bad")
    add("--folds", type=int, metavar="K", help="for a cross-validation: enough groups for K folds?")
    add(
        "--shortcuts",
        action="store_true",
        help="how well the labels can be read off what lies outside the nodule",
    )
    add(
        "--borders",
        default="none",
        metavar="none|classical|RUN",
        help="how borders and text are removed before shortcuts are looked for, as by the setting "
        "of that name of `train`",
    )
    add("--json", metavar="FILE", help="writes all that was found to FILE, too")
    cli.run(check_data, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
