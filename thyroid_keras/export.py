"""python -m thyroid_keras.export: a run's model for TensorFlow Serving, a phone or a browser."""

from thyroid_keras import cli, litert, serving
from thyroid_keras.runs import RunError

FORMATS = ("savedmodel", "litert")


def export(folder, *, to=None, format="savedmodel", calibration=None, say=print):
    """Exports the model of a run as the next version of a model.

    Args:
        folder, to, say: see `serving.export` and `litert.export`.
        format: `"savedmodel"` or `"litert"`.
        calibration: with `"litert"` alone, see there.

    Returns:
        `pathlib.Path` of the version, `<to>/<whole number>`.

    Raises:
        RunError, DataError, ModelError: see there.
    """
    if format == "litert":
        return litert.export(folder, to=to, calibration=calibration, say=say)
    if calibration is not None:
        raise RunError(
            "--calibration goes with --format litert alone. "
            f"Received: format={format!r}, calibration={str(calibration)!r}"
        )
    return serving.export(folder, to=to, say=say)


def main(arguments=None):
    """Parses the command line and exports."""
    parser = cli.parser(
        "export",
        "Exports the model of a run: as a TensorFlow SavedModel that answers the bytes of "
        "PNG, JPEG and BMP pictures, decoding included; or as LiteRT files for phones (float32, "
        "float16, int8) and a page that runs the network in any browser, offline.",
        example="runs/cs_agnet --to saved_models/nodules\nruns/cs_agnet --format litert",
        more="Pictures that EXIF wants turned, and other formats, a SavedModel answers with an "
        "error: store them upright as PNG first. One such picture fails its whole batch.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of a run, a crossval or a bottleneck")
    parser.add_argument(
        "--to",
        metavar="saved_models/NAME",
        help="folder of the model's versions, where the next whole number is taken "
        "(default: saved_models/ and the architecture, with _litert for that format)",
    )
    parser.add_argument("--format", choices=FORMATS, default="savedmodel", help="of the export")
    parser.add_argument(
        "--calibration",
        metavar="PATH",
        help="for int8: a picture or a folder of pictures that show what range the network's "
        "activations take (default: up to 128 of the run's training images)",
    )
    cli.run(export, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
