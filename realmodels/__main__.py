"""`python -m realmodels` and `nameblind-realmodels`."""

import sys

from realmodels.cli import COMMANDS
from theory.command import main as run

ABOUT = "Real language models (being built: audit, filter, train, eval and compare come next)."


def main() -> None:
    sys.exit(run("python -m realmodels", ABOUT, COMMANDS))


if __name__ == "__main__":
    main()
