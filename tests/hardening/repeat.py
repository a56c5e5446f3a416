"""What is done again comes out the same: the tests that say so, run as one, and a line of survived.jsonl for each way
in which a run could have differed.

    python tests/hardening/repeat.py [--keep]

A trial is a test; what is not here to be tried (a model that was not given) is no trial.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.hardening.survived import Trial, keep  # noqa: E402

HERE = "tests/hardening/test_repeat.py"
STATE = "tests/hardening/test_random_state.py"


@dataclass(frozen=True)
class Way:
    """`tests` are file::function; `found` is what they hold to be equal."""

    what: str
    found: str
    tests: tuple[str, ...]


WAYS = (
    Way(
        "again in another process, with another Python hash seed",
        "labels, tables, arms, an adapter, evaluations, a pocket model and pictures are equal byte for byte",
        (
            f"{HERE}::test_real_models_do_not_depend_on_the_hash_seed",
            f"{HERE}::test_the_laboratory_does_not_depend_on_the_hash_seed",
            f"{HERE}::test_figures_do_not_depend_on_the_hash_seed",
        ),
    ),
    Way(
        "on 1 worker and on 2",
        "the laboratory's records, theory's measurements and checks of theorems are equal, with other hash seeds too",
        (
            f"{HERE}::test_records_of_the_laboratory_do_not_depend_on_workers_or_the_hash_seed",
            f"{HERE}::test_measurements_do_not_depend_on_workers_or_the_hash_seed",
            "tests/synthetic/test_lab.py::test_one_or_two_workers_and_any_history_give_the_same_records",
            "tests/house/test_checks.py::test_workers_do_not_change_the_result",
        ),
    ),
    Way(
        "in batches of another size",
        "labels, answers and draws are equal; chances and log probabilities to 0.00001, 0.0001 behind a written claim "
        "and 0.0005 under attention",
        (
            "tests/realmodels/test_audit.py::test_labels_do_not_depend_on_the_batch",
            "tests/realmodels/test_estimate.py::test_neither_batch_nor_cache_changes_what_is_found",
            "tests/realmodels/test_eval.py::test_batches_change_nothing",
            "tests/realmodels/test_attend.py::test_batches_change_nothing_and_records_can_be_read",
            "tests/realmodels/test_bios_model.py::test_batches_do_not_change_what_is_read_or_judged",
            "tests/realmodels/test_smollm.py::test_neither_batch_nor_cache_changes_its_answers",
            "tests/synthetic/test_generate.py::test_draws_depend_on_the_seed_and_not_on_the_batch",
        ),
    ),
    Way(
        "after other draws from the global generators of Python, numpy and torch",
        "what commands, studies and functions leave is equal, and the generators are where they were",
        (
            f"{HERE}::test_the_test_sees_draws",
            f"{HERE}::test_theory_leaves_random_numbers_alone",
            f"{HERE}::test_figures_leave_random_numbers_alone",
            f"{HERE}::test_the_laboratory_leaves_random_numbers_alone",
            f"{HERE}::test_real_models_leave_random_numbers_alone",
            f"{STATE}::test_a_command_leaves_random_numbers_alone",
            f"{STATE}::test_a_study_of_the_laboratory_leaves_random_numbers_alone",
        ),
    ),
)


def run(report: Path, tests: Sequence[str]) -> None:
    """All of them in one process; what it says goes to the screen."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=env, check=False)


def outcomes(report: Path) -> dict[str, list[bool]]:
    """By test, whether each of its cases was passed; one that was skipped was none."""
    found: dict[str, list[bool]] = {}
    for case in xml.parse(report).getroot().iter("testcase"):
        ends = {child.tag for child in case} & {"failure", "error", "skipped"}
        if "skipped" not in ends:
            test = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name'].partition('[')[0]}"
            found.setdefault(test, []).append(not ends)
    return found


def lines(found: Mapping[str, list[bool]]) -> list[Trial]:
    """One for every way, of which each test that was tried counts as often as it has cases."""
    made = []
    for way in WAYS:
        own = [passed for test in way.tests for passed in found.get(test, [])]
        command = "python tests/hardening/repeat.py --keep"
        made.append(Trial("repeat", way.what, len(own), sum(own), way.found, command))
    return made


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave lines in survived.jsonl")
    return parser


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run(report, [test for way in WAYS for test in way.tests])
        made = lines(outcomes(report))
    for one in made:
        print(f"{one.survived} of {one.tried} survived: {one.what}")
        if flags.keep and one.tried:
            keep(one)
    return int(any(one.survived < one.tried or not one.tried for one in made))


if __name__ == "__main__":
    sys.exit(main())
