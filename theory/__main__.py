"""`python -m theory` and `nameblind-theory`."""

import sys

from theory.cli import COMMANDS
from theory.command import main as run


def main() -> None:
    sys.exit(run("python -m theory", "Theorems that check themselves, and claims put to records.", COMMANDS))


if __name__ == "__main__":
    main()
