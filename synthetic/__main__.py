"""`python -m synthetic` and `nameblind-synthetic`."""

import sys

from synthetic.cli import COMMANDS
from theory.command import main as run

ABOUT = "The laboratory on a laptop: a tiny real Llama that has read a knowledge graph."


def main() -> None:
    sys.exit(run("python -m synthetic", ABOUT, COMMANDS))


if __name__ == "__main__":
    main()
