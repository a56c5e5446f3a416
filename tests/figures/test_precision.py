"""Under the picture of precision stands what its title leaves out, as the rows have it."""

import pytest

from figures.beliefs import precision
from figures.runs import read_runs
from tests.figures.conftest import LAB, write_records
from theory.records import Record

SPREAD = 0.004  # of precision from seed to seed, the same in every arm but for a little


def rows(levels, seeds):
    """Precision and true claims a text of each training set, all seeds."""
    for i, (on, (precise, true)) in enumerate(levels.items()):
        arm, step = ("base", 0) if on == "none" else ("all", 10)
        for seed in seeds:
            for metric, value in (("claim_precision", precise), ("true_claims", true)):
                worth = value + SPREAD * ((seed - 100) + 0.1 * ((seed + i) % 3))
                yield Record(
                    LAB, "beliefs", "r1", seed, arm, step, on, "zero", "test", "all", metric, worth, 50
                )


@pytest.mark.parametrize(
    ("gold", "untuned", "said"),
    [
        (
            (0.36, 1.51),
            0.52,
            ("gold tells more true claims than", "among the best in precision, by intervals of"),
        ),
        ((0.36, 0.31), 0.42, ("gold tells fewer true claims than", "differences: 1 of 2")),
        ((0.45, 0.70), 0.34, ("gold tells about as many true claims as", "differences: 2 of 2")),
    ],
)
def test_the_note_says_of_gold_and_of_the_untuned_model_what_is_drawn(tmp_path, catch, gold, untuned, said):
    levels = {"none": (untuned, 0.67), "gold": gold, "generated+belief": (0.48, 0.70)}
    runs = read_runs([write_records(tmp_path / "many", rows(levels, range(100, 106)))])
    (one,) = catch(lambda: precision(runs, tmp_path))
    told = " ".join(one.figure._supxlabel.get_text().split())
    assert all(words in told for words in said), told
    shown = {on: [value + SPREAD * 2.6 for value in pair] for on, pair in levels.items()}  # means over seeds
    assert f"{shown['gold'][1]:.2f} against {shown['generated+belief'][1]:.2f} a text" in told
    assert f"the untuned model, {100 * shown['none'][0]:.1f} %" in told


def test_of_one_seed_the_means_are_compared_and_no_interval_is_said(tmp_path, catch):
    levels = {"none": (0.40, 0.67), "gold": (0.36, 1.51), "generated+belief": (0.48, 0.70)}
    runs = read_runs([write_records(tmp_path / "one", rows(levels, [100]))])
    (one,) = catch(lambda: precision(runs, tmp_path))
    told = one.figure._supxlabel.get_text()
    assert "gold tells more true claims than own, believed text: 1.51 against 0.70 a text" in told
    assert "more precise than the untuned model, 40.0 %: 1 of 2" in told
    assert "interval" not in told
