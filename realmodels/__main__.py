"""`python -m realmodels` and `nameblind-realmodels`."""

import sys

from theory.startup import start


def main() -> None:
    about = "Real language models: how well does one know each row of my data, and which rows are to be kept?"
    sys.exit(start("realmodels", about))


if __name__ == "__main__":
    main()
