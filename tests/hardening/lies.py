"""Everything that lies, tried as tests, and their line of survived.jsonl.

python tests/hardening/lies.py [--keep]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.hardening.repeat import outcomes, run  # noqa: E402
from tests.hardening.survived import Trial, keep  # noqa: E402

WHAT = "pickles, worlds, models, adapters, names, formulas and markup that lie"
FOUND = "nothing ran, nothing was written elsewhere; refused in one line"
TESTS = "tests/hardening/test_lies.py"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave a line in survived.jsonl")
    return parser


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run(report, [TESTS])
        cases = [passed for found in outcomes(report).values() for passed in found]
    print(f"{sum(cases)} of {len(cases)} survived: {WHAT}")
    if flags.keep and cases:
        keep(Trial("lie", WHAT, len(cases), sum(cases), FOUND, "python tests/hardening/lies.py --keep"))
    return int(not cases or not all(cases))


if __name__ == "__main__":
    sys.exit(main())
