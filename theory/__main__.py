"""`python -m theory` and `nameblind-theory`."""

import sys

ABOUT = "Theorems that check themselves, and claims put to records."


def main() -> None:
    try:
        from theory.cli import COMMANDS
        from theory.command import main as run

        code = run("python -m theory", ABOUT, COMMANDS)
    except KeyboardInterrupt:  # while modules were loaded: nothing has begun
        print("interrupted: nothing had begun", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
