"""python -m thyroid_keras.train: from data to a trained, judged and reported model."""

from thyroid_keras import cli
from thyroid_keras.data.readers import FORMATS
from thyroid_keras.experiment import train
from thyroid_keras.preparation import SCALES
from thyroid_keras.recipes import RECIPES
from thyroid_keras.training.backend import PRECISIONS


def main(arguments=None):
    """Parses the command line and trains."""
    parser = cli.parser(
        "train",
        "Trains a network, judges it on images it has never seen, and leaves a run folder "
        "with the model, its figures and a report. Without --data it learns from simulated "
        "ultrasound.",
        "Fields for --set: see --set help.",
    )
    add = parser.add_argument
    add("--arch", required=True, choices=sorted(RECIPES), help="network")
    add("--data", metavar="PATH", help="folder, manifest.csv or packed .npz with images")
    add("--target", help="which labels, where the data has several, e.g. calcification")
    add("--format", choices=sorted(FORMATS), help="of the data, if not recognised")
    add(
        "--recipe",
        choices=SCALES,
        help="quick: minutes; paper: the paper's settings. Default: quick without a GPU",
    )
    add("--out", metavar="DIR", help="run folder; default: a new one below runs/")
    add(
        "--set",
        dest="settings",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="replaces settings of the recipe; `--set help` lists them",
    )
    add("--seed", type=int, default=0, help="of splits, weights and batches")
    add("--precision", choices=PRECISIONS, default="auto", help="of the arithmetic")
    add("--resume", action="store_true", help="go on with the run in --out")
    chosen = parser.parse_args(arguments)
    if "help" in chosen.settings:
        scale = chosen.recipe or "quick"
        for name, value in RECIPES[chosen.arch][scale].settings().items():
            print(f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
        return
    cli.run(train, **vars(chosen))


if __name__ == "__main__":
    main()
