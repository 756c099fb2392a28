"""python -m thyroid_keras.bench: how fast a recipe trains, and how fast it could."""

from thyroid_keras import cli
from thyroid_keras.benchmarking import bench
from thyroid_keras.preparation import SCALES
from thyroid_keras.recipes import RECIPES
from thyroid_keras.training.backend import PRECISIONS


def main(arguments=None):
    """Parses the command line and measures."""
    parser = cli.parser(
        "bench",
        "Measures training, prediction and the making of batches on this machine, beside the "
        "machine's own ceiling: the fastest plain convolution or matrix product in between.",
        "Let nothing else run meanwhile. `train --arch NAME --set help` lists the settings.",
    )
    add = parser.add_argument
    add("--arch", required=True, choices=sorted(RECIPES), help="network")
    add("--recipe", choices=SCALES, help="whose settings. Default: quick without a GPU")
    add(
        "--set",
        dest="settings",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="replaces settings of the recipe, e.g. batch_size=16",
    )
    add("--precision", choices=PRECISIONS, default="auto", help="of the arithmetic")
    add("--seconds", type=float, default=60.0, help="how long to measure, s")
    add("--steps", type=int, help="how many training steps to measure instead")
    add(
        "--profile",
        nargs="?",
        const=True,
        metavar="FILE.csv",
        help="adds where a training step's time goes, by operation (TensorFlow on a CPU)",
    )
    add("--json", dest="as_json", action="store_true", help="one line of JSON instead of tables")
    cli.run(bench, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
