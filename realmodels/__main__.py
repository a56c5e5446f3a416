"""`python -m realmodels` and `nameblind-realmodels`."""

import sys

from realmodels.cli import COMMANDS
from theory.command import main as run

ABOUT = "Real language models: how well does one know each row of my data, and which rows are to be kept?"


def main() -> None:
    sys.exit(run("python -m realmodels", ABOUT, COMMANDS))


if __name__ == "__main__":
    main()
