"""python -m thyroid_keras.explain: attention maps or class maps over the image."""

from thyroid_keras import cli
from thyroid_keras.inspection import METHODS, explain


def main(arguments=None):
    """Parses the command line and draws the maps."""
    parser = cli.parser("explain", "Draws where the network of a run looks, beside each picture.")
    add = parser.add_argument
    add("folder", metavar="RUN", help="run folder")
    add("images", metavar="IMAGE", nargs="+", help="pictures, or folders of pictures")
    add("--out", metavar="DIR", required=True, help="folder for the pictures and boxes.json")
    add(
        "--method",
        choices=METHODS,
        default="attention",
        help="attention: maps of the gates, and with a class map what they agree on, with its "
        "box; cam: class map of the answer, where one global average is all it rests on",
    )
    cli.run(explain, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
