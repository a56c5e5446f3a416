"""`python -m synthetic` and `nameblind-synthetic`."""

import sys

from theory.startup import start


def main() -> None:
    sys.exit(
        start("synthetic", "The laboratory on a laptop: a tiny real Llama that has read a knowledge graph.")
    )


if __name__ == "__main__":
    main()
