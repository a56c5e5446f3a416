"""`python -m figures` and `nameblind-figures`."""

import sys

from theory.startup import start


def main() -> None:
    sys.exit(start("figures", "Pictures drawn from data files and theory alone."))


if __name__ == "__main__":
    main()
