"""How records begin."""

from dataclasses import replace

from theory.schema import FIELDS, Record
from theory.stamp import STRATA, Stamp


def test_a_stamp_fills_in_how_a_record_begins():
    stamp = Stamp("realmodels/R3-x", "validity", "run", 10, "lora")
    said = stamp.record("test", "all", "accuracy", 0.5, 4)
    usual = (
        "realmodels/R3-x",
        "validity",
        "run",
        10,
        "lora",
        0,
        "none",
        "zero",
        "test",
        "all",
        "accuracy",
        0.5,
        4,
    )
    assert said == Record(*usual)
    later = replace(stamp, step=7, trained_on="known", prompt="few:4").record(
        "dev", "known=yes", "fitted", 1.0, 1, "i"
    )
    assert [getattr(later, name) for name in FIELDS[:8]] == [
        "realmodels/R3-x", "validity", "run", 10, "lora", 7, "known", "few:4",
    ]  # fmt: skip
    assert later.item == "i"


def test_both_laboratories_tell_items_apart_alike():
    from realmodels.study_records import STRATA as REAL
    from synthetic.studies.validity import STRATA as SYNTHETIC

    assert SYNTHETIC is STRATA
    assert set(REAL) == {*STRATA, ("category",)}
