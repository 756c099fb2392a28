"""python -m thyroid_keras.train: from data to a trained, judged and reported model."""

from thyroid_keras import cli
from thyroid_keras.data.readers import FORMATS
from thyroid_keras.experiment import train
from thyroid_keras.preparation import ON_BAD, SCALES
from thyroid_keras.recipes import RECIPES
from thyroid_keras.training.backend import PRECISIONS
from thyroid_keras.training.settings import FIXED, describe


def main(arguments=None):
    """Parses the command line and trains."""
    parser = cli.parser(
        "train",
        "Trains a network, judges it on images it has never seen, and leaves a run folder "
        "with the model, its figures and a report. Without --data it learns from simulated "
        "ultrasound.",
        "`--arch NAME --set help` lists the settings with their meaning.",
    )
    add = parser.add_argument
    add("--arch", required=True, choices=sorted(RECIPES), help="network")
    add("--data", metavar="PATH", help="folder, manifest.csv or packed .npz; default: the phantom")
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
        help="replaces settings of the recipe",
    )
    add("--seed", type=int, default=0, help="of splits, weights and batches")
    add("--precision", choices=PRECISIONS, default="auto", help="of the arithmetic")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--on-bad", choices=ON_BAD, default="fail", help="faulty files: end, or leave them out")
    add("--folds", type=int, metavar="K", help="test on one of K grouped folds; see --fold")
    add("--fold", type=int, metavar="I", help="which fold is tested, 0 to K-1")
    add(
        "--augment-before-split",
        action="store_true",
        help="reproduce a leak on purpose, and show its wrong figure beside the right one",
    )
    chosen = parser.parse_args(arguments)
    if "help" in chosen.settings:
        cli.run(list_settings, recipe=RECIPES[chosen.arch][chosen.recipe or "quick"])
    else:
        cli.run(train, **vars(chosen))


def list_settings(recipe):
    """Prints what `--set` may change, with the recipe's values and their meaning."""
    print(f"Settings of {recipe.arch}, {recipe.scale} recipe:")
    meanings = describe(type(recipe))
    for name, value in recipe.settings().items():
        if name not in FIXED:
            value = ",".join(map(str, value)) if isinstance(value, tuple) else value
            print(f"  {name}={value}\n      {meanings[name]}")


if __name__ == "__main__":
    main()
