"""`python -m synthetic` with toy studies in place of the real ones."""

import sys

import synthetic.studies as registry
from synthetic.cli import COMMANDS
from theory.command import main

registry.STUDIES.clear()
registry.STUDIES.update(salience="toystudies:SALIENCE", slick="toystudies:SLICK")
registry.SETUP, registry.SETUP_FROM = "toystudies:setup_for", "toystudies:setup_from"
registry.SHARED_SECONDS = "toystudies:shared_seconds"
if __name__ == "__main__":
    sys.exit(main("drive", "toys", COMMANDS))
