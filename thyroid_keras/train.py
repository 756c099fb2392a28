"""python -m thyroid_keras.train: from data to a trained, judged and reported model."""

from thyroid_keras import cli
from thyroid_keras.experiment import train
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.runs import Run
from thyroid_keras.training.settings import FIXED, describe


def main(arguments=None):
    """Parses the command line and trains."""
    parser = cli.parser(
        "train",
        "Trains a network, judges it on images it has never seen, and leaves a run folder "
        "with the model, its figures and a report. Without --data it learns from simulated "
        "ultrasound.",
        example="--arch cs_agnet\n--arch fan --data PATH --set epochs=20 --out runs/fan",
    )
    cli.add_shared(parser, "--arch", "--data", "--target", "--format", "--on-bad")
    cli.add_shared(parser, "--recipe", "--set", "--seed", "--precision")
    add = parser.add_argument
    add("--out", metavar="DIR", help="run folder; default: a new one below runs/")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--folds", type=int, metavar="K", help="test on one of K grouped folds; see --fold")
    add("--fold", type=int, metavar="I", help="which fold is tested, 0 to K-1")
    add(
        "--augment-before-split",
        action="store_true",
        help="reproduce a leak on purpose, and show its wrong figure beside the right one",
    )
    add(
        "--distribute",
        nargs="*",
        metavar="PART",
        help="on JAX: learn on all devices of this host, or of several: hosts=HOST:PORT,HOST:PORT "
        "process=I, given on each with its own I, from 0; the first keeps the run folder",
    )
    chosen = parser.parse_args(arguments)
    if "help" in chosen.settings:
        cli.run(list_settings, arch=chosen.arch, scale=chosen.recipe)
    else:
        if chosen.resume and chosen.out and not Run(chosen.out).config.exists():
            print(f"Nothing to resume in {chosen.out}: a new run begins.")
        cli.run(train, **vars(chosen))


def list_settings(arch, scale):
    """Prints what `--set` may change, with the recipe's values and their meaning."""
    recipe = choose_recipe(arch, scale, ())
    print(f"Settings of {recipe.arch}, {recipe.scale} recipe:")
    meanings, idle = describe(type(recipe)), recipe.idle()
    for name, value in recipe.settings().items():
        if name not in FIXED:
            value = ",".join(map(str, value)) if isinstance(value, tuple) else value
            without = f" Without effect here: {idle[name]}." if name in idle else ""
            print(f"  {name}={value}\n      {meanings[name]}{without}")


if __name__ == "__main__":
    main()
