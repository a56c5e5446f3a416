"""The waterfall of a gap: its parts add up within seed, and missing strata are said."""

import numpy as np
import pytest

from theory.claims.decompose import NAMES, STRATA, decompose
from theory.intervals import t_interval
from theory.schema import Record
from theory.table import Table

RNG = np.random.default_rng(0)
GAPS = np.array([0.485, 0.34, 0.12, 0.09]) + 0.02 * RNG.normal(size=(6, 4))  # [seeds, strata]


def table(
    skip: tuple[int, str] | None = None, high: str = "known", low: str = "unknown", items: bool = False
) -> Table:
    records = []
    for seed, gaps in enumerate(GAPS):
        for stratum, gap in zip(STRATA, gaps, strict=True):
            if skip == (seed, stratum) or (skip and skip[0] == -1 and stratum == skip[1]):
                continue
            for values in ("both", "neither") if "|" in stratum else ("",):
                name = stratum.replace("both|neither|both-or-neither", values)
                for trained_on, value in ((high, 0.4 + gap), (low, 0.4)):
                    where = ("all", 10, trained_on, "zero", "test", name, "accuracy")
                    n = 30 if values == "both" else 10
                    records.append(Record("synthetic/R2", "validity", "r", seed, *where, value, n))
    return Table.from_records(records)


def test_the_waterfall_takes_confounders_out_one_by_one() -> None:
    bars = decompose(table())
    assert [bar.name for bar in bars] == list(NAMES)
    steps = [
        GAPS[:, 0],
        GAPS[:, 0] - GAPS[:, 1],
        GAPS[:, 1] - GAPS[:, 2],
        GAPS[:, 2] - GAPS[:, 3],
        GAPS[:, 3],
    ]
    for bar, expected in zip(bars, steps, strict=True):
        assert (bar.lab, bar.run, bar.study, bar.arm, bar.missing) == (
            "synthetic/R2",
            "r",
            "validity",
            "all",
            "",
        )
        assert bar.interval is not None
        interval = t_interval(expected)
        assert (bar.interval.mean, bar.interval.low) == pytest.approx((interval.mean, interval.low))
    means = [bar.interval.mean for bar in bars if bar.interval]
    assert sum(means[1:]) == pytest.approx(means[0])


def test_any_pair_of_training_sets_and_study() -> None:
    given = table(high="best", low="lesser")
    assert decompose(given, study="salience") == ()
    assert decompose(given, high="best", low="lesser")[0].interval is not None
    early = decompose(given, high="best", low="lesser", stop="early")
    assert "split=dev" in early[0].missing
    assert "prompt=few:4" in decompose(given, high="best", low="lesser", prompt="few:4")[0].missing


def test_seeds_without_all_strata_are_left_out_of_every_bar() -> None:
    bars = decompose(table(skip=(2, STRATA[3])))
    assert {bar.interval.n for bar in bars if bar.interval} == {5}
    means = [bar.interval.mean for bar in bars if bar.interval]
    assert sum(means[1:]) == pytest.approx(means[0])


def test_bars_without_rows_say_so_and_the_others_stand() -> None:
    bars = {bar.name: bar for bar in decompose(table(skip=(-1, STRATA[3])))}
    assert bars["raw"].interval is not None
    assert bars["answer support"].interval is not None
    for name in ("guessing", "rest"):
        assert bars[name].interval is None
        assert "no rows with study=validity metric=accuracy trained_on=known" in bars[name].missing
        assert "dominant=no at its last step" in bars[name].missing
