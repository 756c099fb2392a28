"""python -m thyroid_keras.convert: other people's weights as a model of ours."""

from thyroid_keras import cli
from thyroid_keras.archs.sononet import AGGREGATIONS
from thyroid_keras.convert import convert
from thyroid_keras.convert.conversion import CONVERTIBLE
from thyroid_keras.layers.grid_attention import NORMALIZATIONS
from thyroid_keras.runs.folder import IN_PYTHON


def main(arguments=None):
    """Parses the command line and converts."""
    parser = cli.parser(
        "convert",
        "Writes a checkpoint of the authors' PyTorch or Lasagne code, or of torchvision, as a "
        ".keras file. Nothing in the checkpoint is executed.",
        example="checkpoint.pth --arch ag_sononet --out ag_sononet.keras",
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        help=".pth, or .npz with PyTorch's names or in Lasagne's order",
    )
    add("--arch", required=True, choices=CONVERTIBLE, help="network that the weights are of")
    add("--out", metavar="FILE.keras", required=True, help="file to write")
    add(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="of the images, in pixels; default: 208 272, for Lasagne's weights 224 288, for "
        "torchvision's 224 224",
    )
    add("--aggregation", choices=AGGREGATIONS, help="default: as the shapes tell")
    add("--normalization", choices=NORMALIZATIONS, help="of the gates; default: mean_flow")
    cli.run(_convert, **vars(parser.parse_args(arguments)))


def _convert(**arguments):
    convert(**arguments)
    print(IN_PYTHON)


if __name__ == "__main__":
    main()
