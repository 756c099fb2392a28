"""python -m thyroid_keras.explain: attention maps, class maps or Grad-CAM over the image."""

from thyroid_keras import cli
from thyroid_keras.explanation import explain
from thyroid_keras.viewing import METHODS


def main(arguments=None):
    """Parses the command line and draws the maps."""
    parser = cli.parser(
        "explain",
        "Draws where the network of a run looks, beside each picture.",
        example="runs/cs_agnet picture.png --out maps\n"
        "runs/fan folder --out maps --method cam --beside runs/gap",
    )
    add = parser.add_argument
    add("folder", metavar="RUN", help="folder of a run or of a crossval")
    add("images", metavar="IMAGE", nargs="+", help="pictures, or folders of pictures")
    add("--out", metavar="DIR", required=True, help="folder for the pictures and boxes.json")
    add(
        "--method",
        choices=METHODS,
        default="attention",
        help="attention: maps of the gates, and with a class map what they agree on, with its "
        "box; cam: class map of the answer, warm where it speaks for it and cold where against, "
        "of what LAP or the only global average pools: of AG-SonoNet the coarsest scale alone, "
        "by its share in the joint answer (aggregation ft, concat) or in its own vote (mean, "
        "deep_sup, ft_input softmax); gradcam: of any network",
    )
    add(
        "--beside",
        metavar="RUN",
        nargs="+",
        default=[],
        help="further runs, drawn beside the first: one of kappa=1 (GAP) beside LAP, or of other "
        "eta; each trained for itself",
    )
    add("--layer", metavar="NAME", help="gradcam: whose features are weighed (default: the last)")
    cli.run(explain, **vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
