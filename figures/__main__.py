"""`python -m figures` and `nameblind-figures`."""

import sys

ABOUT = "Pictures drawn from data files and theory alone."


def main() -> None:
    try:
        from figures.cli import COMMANDS
        from theory.command import main as run

        code = run("python -m figures", ABOUT, COMMANDS)
    except KeyboardInterrupt:  # while modules were loaded: nothing has begun
        print("interrupted: nothing had begun", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
