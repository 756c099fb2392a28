"""python -m thyroid_keras.bench: how fast a recipe trains, and how fast it could."""

from thyroid_keras import cli
from thyroid_keras.benchmarking import bench


def main(arguments=None):
    """Parses the command line and measures."""
    parser = cli.parser(
        "bench",
        "Measures training, prediction and the making of batches on this machine, beside the "
        "machine's own ceiling: the fastest plain convolution or matrix product in between.",
        example="--arch cs_agnet --set batch_size=16",
        more="Let nothing else run meanwhile.",
    )
    cli.add_shared(parser, "--arch", "--recipe", "--set", "--precision")
    add = parser.add_argument
    add("--seconds", type=float, metavar="S", default=60.0, help="how long to measure")
    add("--steps", type=int, metavar="N", help="how many training steps to measure instead")
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
