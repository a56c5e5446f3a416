"""What README says of the long form is what its tables say."""

import re

import pytest

from tests.house import long_form, page

TEXT = page.README.read_text(encoding="utf-8")
SECTION = TEXT.partition("### The long form, number by number\n")[2].partition("\n## ")[0]
TABLES = {name: page.between(TEXT, name) for name in long_form.TABLES}


def test_every_interval_in_words_is_in_a_table():
    words = " ".join(line for line in SECTION.splitlines() if not line.startswith("|"))
    intervals = re.findall(r"-?[\d.]+\s\[-?[\d.]+, -?[\d.]+\]", " ".join(words.split()))
    assert len(intervals) > 10
    missing = [said for said in intervals if not any(said in table for table in TABLES.values())]
    assert not missing


def cells(name, *starts):
    """The cells of the line of a table that begins so."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLES[name].splitlines()]
    header, _, *rows = lines
    (found,) = [row for row in rows if tuple(row[: len(starts)]) == starts]
    return dict(zip(header, found, strict=True))


def test_lengths_and_truth_of_texts_are_those_of_the_sets():
    own, better, plain = (
        cells("synthetic/results/sets", n) for n in ("`generated`", "`better`", "not tuned")
    )
    text = " ".join(SECTION.split())
    read = "claims a text read"
    assert own[read] == better[read]
    assert f"so it has {own[read]} claims where a sampled text has {plain['claims']}" in text
    true = "true of what it read (%)"
    assert f"better-informed model's text {better[true]}% is true, of the model's own {own[true]}%" in text
    believed = cells("synthetic/results/sets", "`generated+belief`")[read]
    short = [
        cells("synthetic/results/sets", f"`generated+support:coverage{c}`")[read] for c in ("0.7", "0.4")
    ]
    assert f"its texts have {short[0]} and {short[1]} claims, the believed ones {believed}" in text


def test_single_numbers_in_words_are_those_of_their_lines():
    def point(text):
        return text.partition(" ")[0].lstrip("-")

    text, table = " ".join(SECTION.split()), "synthetic/results/contrasts"
    whole = cells(table, "`generated+belief:document`", "`generated+belief`")
    assert f"costs {point(whole['precision'])} of precision" in text
    pairs = cells(table, "`pairs:belief`", "`generated`")
    assert f"at a cost of {point(pairs['recall'])} of recall" in text
    teacher = cells(table, "`better`", "`generated`")
    assert f"writes {point(teacher['precision'])} points less that is true" in text
    chains = cells("synthetic/results/edges", "`cot`")["widened, % of seeds (K2's chance)"]
    assert float(chains.partition(" ")[0]) == pytest.approx(50)


def test_the_floor_lies_below_what_was_measured_at_every_moment():
    found = {key: row for key, row in long_form._rows("free").items() if key[2] == "above_floor"}
    assert found
    assert all(float(row["low"]) > 0 for row in found.values())
    left = [row for key, row in long_form._rows("free").items() if key[2] == "hallucination_bound_bare"]
    assert len(left) == len(found)
    assert all(float(row["mean"]) < 0 for row in left)
