"""`python -m theory` and `nameblind-theory`."""

import sys

from theory.startup import start


def main() -> None:
    sys.exit(start("theory", "Theorems that check themselves, and claims put to records."))


if __name__ == "__main__":
    main()
