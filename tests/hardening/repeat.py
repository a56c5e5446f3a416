"""What is done again comes out the same: the tests that say so, by the ways in which a run could have differed.

python tests/hardening/repeat.py [--keep]
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

HERE = "tests/hardening/test_repeat.py"
STATE = "tests/hardening/test_random_state.py"
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


def parser() -> argparse.ArgumentParser:
    return trials.parser(__doc__ or "")


def main(words: Sequence[str] | None = None) -> int:
    return trials.tried("repeat", WAYS, parser().parse_args(words).keep)


if __name__ == "__main__":
    sys.exit(main())
