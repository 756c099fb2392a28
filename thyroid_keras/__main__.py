"""python -m thyroid_keras: lists the commands."""

import thyroid_keras
from thyroid_keras.cli import DISCLAIMER

COMMANDS = {
    "train": "from data to a trained, judged and reported model",
    "evaluate": "a run's figures with intervals, plots and report",
    "predict": "a CSV row, and a mask, per image",
    "explain": "attention maps over the image",
}


def main():
    """Prints the commands."""
    print(f"thyroid_keras {thyroid_keras.__version__}. {DISCLAIMER}\n")
    print("python -m thyroid_keras.<command> --help\n")
    for name, what in COMMANDS.items():
        print(f"  {name:<10} {what}")
    print(f"\nNetworks: {', '.join(thyroid_keras.list_archs())}")


if __name__ == "__main__":
    main()
