"""python -m thyroid_keras.borders: pictures without borders, text and calipers."""

from thyroid_keras import cli
from thyroid_keras.borders import remove_borders
from thyroid_keras.borders.remover import VIEWS


def main(arguments=None):
    """Parses the command line and removes the borders."""
    parser = cli.parser(
        "borders",
        "Blackens what lies outside the ultrasound sector, fills text and calipers inside it, and "
        "writes each picture without them and beside what it was before.",
        example="picture.png folder --out clean",
        more="A run does the same to every picture that it reads: `train --set borders=classical`, "
        "or borders= and the folder of a border_unet.",
    )
    add = parser.add_argument
    add("images", metavar="IMAGE", nargs="+", help="pictures, or folders of pictures")
    add("--out", metavar="DIR", required=True, help="folder for the pictures")
    add(
        "--method",
        default="classical",
        metavar="classical|RUN",
        help="classical: by OpenCV; or run folder or .keras file of a border_unet",
    )
    add("--views", choices=VIEWS, default="keep", help="split: two views side by side apart")
    cli.run(remove_borders, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
