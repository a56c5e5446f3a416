"""`python -m realmodels` and `nameblind-realmodels`."""

import sys

ABOUT = "Real language models: how well does one know each row of my data, and which rows are to be kept?"


def main() -> None:
    try:
        from realmodels.cli import COMMANDS
        from theory.command import main as run

        code = run("python -m realmodels", ABOUT, COMMANDS)
    except KeyboardInterrupt:  # while modules were loaded: nothing has begun
        print("interrupted: nothing had begun", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
