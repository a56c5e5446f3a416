"""`python -m figures` and `nameblind-figures`."""

import sys

from figures.cli import COMMANDS
from theory.command import main as run

ABOUT = "Pictures drawn from data files and theory alone."


def main() -> None:
    sys.exit(run("python -m figures", ABOUT, COMMANDS))


if __name__ == "__main__":
    main()
