"""Everything that lies, tried as tests.

python tests/hardening/lies.py [--keep]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.hardening import trials  # noqa: E402
from tests.hardening.trials import Way  # noqa: E402

WAYS = (
    Way(
        "pickles, worlds, models, adapters, names, formulas and markup that lie",
        "nothing ran, nothing was written elsewhere; refused in one line",
        ("tests/hardening/test_lies.py",),
    ),
)


def parser() -> argparse.ArgumentParser:
    return trials.parser(__doc__ or "")


def main(words: Sequence[str] | None = None) -> int:
    return trials.tried("lie", WAYS, parser().parse_args(words).keep)


if __name__ == "__main__":
    sys.exit(main())
