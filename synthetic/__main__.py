"""`python -m synthetic` and `nameblind-synthetic`."""

import sys

ABOUT = "The laboratory on a laptop: a tiny real Llama that has read a knowledge graph."


def main() -> None:
    try:
        from synthetic.cli import COMMANDS
        from theory.command import main as run

        code = run("python -m synthetic", ABOUT, COMMANDS)
    except KeyboardInterrupt:  # while modules were loaded: nothing has begun
        print("interrupted: nothing had begun", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
