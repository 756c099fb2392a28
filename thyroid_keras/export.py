"""python -m thyroid_keras.export: a run's model for TensorFlow Serving."""

from thyroid_keras import cli
from thyroid_keras.serving import export


def main(arguments=None):
    """Parses the command line and exports."""
    parser = cli.parser(
        "export",
        "Exports the model of a run as a TensorFlow SavedModel that answers the bytes of "
        "PNG, JPEG and BMP pictures, decoding included.",
        "Pictures that EXIF wants turned, and other formats, are answered with an error: "
        "store them upright as PNG first. One such picture fails its whole batch.",
    )
    parser.add_argument("folder", metavar="RUN", help="run folder")
    parser.add_argument(
        "--to",
        metavar="saved_models/NAME",
        help="folder of the model's versions, where the next whole number is taken "
        "(default: saved_models/ and the architecture)",
    )
    cli.run(export, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
