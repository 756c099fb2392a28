"""python -m thyroid_keras: lists the commands."""

import shlex
import sys

import thyroid_keras
from thyroid_keras.cli import DISCLAIMER
from thyroid_keras.spelling import suggestion

COMMANDS = {
    "train": "from data to a trained, judged and reported model",
    "evaluate": "a run's figures with intervals, plots and report",
    "crossval": "grouped folds: pooled and per-fold figures, an ensemble",
    "bottleneck": "a known network's features, and a classifier of them",
    "compare": "which of two runs is better on the same images",
    "predict": "a CSV row, and a mask, per image",
    "explain": "attention maps or class maps over the image",
    "export": "the model for TensorFlow Serving, a phone or a browser",
    "table": "a paper's table as a grid of runs, beside the paper's figures",
    "check_data": "everything wrong with a data set, and what is in it",
    "borders": "pictures without what scanners draw around and over them",
    "bench": "how fast a recipe trains here, and how fast it could",
    "convert": "other people's weights as a model of ours",
}


def main(arguments=None):
    """Prints the commands; told one in place of its module, says how it is called."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] not in ("-h", "--help"):
        name = words[0]
        meant = f"call it as `python -m thyroid_keras.{shlex.join(words)}`"
        if name not in COMMANDS:
            meant = f"no such command.{suggestion(name, COMMANDS)} Commands: {', '.join(COMMANDS)}"
        print(f"error: {name}: {meant}", file=sys.stderr)
        sys.exit(2)
    print(f"thyroid_keras {thyroid_keras.__version__}. {DISCLAIMER}\n")
    print("python -m thyroid_keras.<command> --help\n")
    for name, what in COMMANDS.items():
        print(f"  {name:<10} {what}")
    print(f"\nNetworks: {', '.join(thyroid_keras.list_archs())}")


if __name__ == "__main__":
    main()
