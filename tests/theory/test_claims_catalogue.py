"""The catalogue: complete, worded, in the vocabulary, and with the papers' numbers as they stand there."""

import re

import pytest

from theory.claims import CLAIMS, papers
from theory.claims.base import LEVEL, MARKS, Cell, Claim, Part, Published
from theory.claims.catalogue import choose
from theory.claims.estimators import Contrast, difference, level, slope
from theory.claims.vocabulary import METRICS, NAMES, PRIMARY, STUDIES, UNITS, meaning, to_text
from theory.errors import TheoryError
from theory.schema import Record, checked

IDS = [*(f"A{i}" for i in range(1, 8)), *(f"B{i}" for i in range(1, 8)), *(f"C{i}" for i in range(1, 10))]
IDS += [*(f"D{i}" for i in range(1, 6)), *(f"X{i}" for i in range(1, 7)), *(f"U{i}" for i in range(1, 5))]
IDS += ["V1", "V2", "V3"]
EVERY = pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)


def test_all_41_claims_are_there_in_order() -> None:
    assert list(CLAIMS) == IDS
    assert len(CLAIMS) == 41
    assert all(key == claim.id for key, claim in CLAIMS.items())


@EVERY
def test_a_claim_reads_only_names_of_the_vocabulary(claim: Claim) -> None:
    assert meaning("study", claim.study)
    for cell in claim.cells:
        assert METRICS[cell.metric][0] in UNITS
        for field in ("metric", "trained_on", "prompt", "split", "stratum"):
            assert meaning(field, getattr(cell, field)), (claim.id, field)
        for primary in PRIMARY:
            assert meaning("arm", cell.arm_in(primary))


@EVERY
def test_every_name_of_a_claim_can_be_written_as_a_record(claim: Claim) -> None:
    for cell in claim.cells:
        for stratum in re.split(r"\|", cell.stratum)[:1]:
            row = Record(
                "synthetic/R2", claim.study, "run", 0, cell.arm_in("all"), 10, cell.trained_on, cell.prompt,
                cell.split, stratum, cell.metric, 0.5, 1,
            )  # fmt: skip
            assert checked(row) is None


@EVERY
def test_the_untuned_model_has_no_early_stop(claim: Claim) -> None:
    assert all(cell.stop == "end" for cell in claim.cells if cell.arm == "base")


@EVERY
def test_units_of_parts_match_the_metrics_they_read(claim: Claim) -> None:
    for part in claim.parts:
        if isinstance(part.quantity, Contrast):
            assert {METRICS[cell.metric][0] for cell in part.quantity.cells} == {part.unit}, part.name


@EVERY
def test_a_contrast_compares_like_with_like(claim: Claim) -> None:
    """Weights sum to zero, or a level is compared with a null that is not zero or with chance."""
    levels = {"C8", "D5", "C2", "X1", "C9", "A5", "B5", "B6", "U3"}
    for part in claim.parts:
        if isinstance(part.quantity, Contrast) and abs(sum(w for w, _ in part.quantity.terms)) > 1e-9:
            assert claim.id in levels, part.name
            assert len(part.quantity.terms) == 1


@EVERY
def test_the_text_says_sentence_rule_numbers_and_rows(claim: Claim) -> None:
    text = claim.to_text()
    assert text.startswith(f"{claim.id}  {claim.title}\nsource: ")
    squeezed = " ".join(text.split())
    assert claim.sentence in squeezed
    assert claim.rule in squeezed
    assert "Reproduced if" in claim.rule
    assert f"{LEVEL:.0%}" in claim.rule
    for part in claim.parts:
        assert part.name in squeezed
        if part.role == "decides":
            assert f"{part.name} is {part.rule} {part.unit}" in claim.rule
        if part.published:
            assert part.published.where in squeezed
            assert part.published.mark in ("paper", "secondary", "recalled")
    assert all(f"trained_on={cell.trained_on}" in text for cell in claim.cells)


@pytest.mark.parametrize(
    ("claim", "part", "low", "high", "mark"),
    [
        ("A1", 0, 5, 10, "paper"),
        ("A2", 0, 2.6, 2.6, "secondary"),
        ("C1", 0, -14, -14, "paper"),
        ("C4", 0, 7.3, 7.3, "paper"),
        ("C4", 1, -8.3, -8.3, "paper"),
        ("C4", 3, 0.86, 0.86, "paper"),
        ("C5", 0, 3.2, 3.2, "paper"),
        ("C5", 1, -3.0, -3.0, "paper"),
        ("C6", 0, 43.6 - 40.5, 43.6 - 40.5, "paper"),
        ("C6", 1, 43.2 - 40.0, 43.2 - 40.0, "paper"),
        ("C6", 4, 69.9 - 60.1, 69.9 - 60.1, "paper"),
        ("C7", 0, 37.5 - 25.8, 37.5 - 25.8, "paper"),
        ("C7", 1, 39.2 - 35.4, 39.2 - 35.4, "paper"),
        ("C7", 2, 95.6 - 55.8, 95.6 - 55.8, "paper"),
        ("C7", 3, 52.9 - 36.6, 52.9 - 36.6, "paper"),
        ("C8", 1, 3.2, 3.2, "paper"),
        ("C4", 2, 7.3 - 8.3, 7.3 - 8.3, "paper"),
        ("C5", 2, 0.5 * (7.3 + 8.3) - (3.2 + 3.0), 1.6, "paper"),
        ("C5", 3, 0.95, 0.95, "paper"),
        ("C6", 2, 43.6 - 39.2, 43.6 - 39.2, "paper"),
        ("C6", 3, 43.6 - 37.5, 43.6 - 37.5, "paper"),
        ("C8", 0, 2.5, 2.5, "paper"),
        ("C9", 1, 61.8 - 61.8, 0, "paper"),
        ("C9", 0, (43.0 - 38.8) - (61.8 - 61.8), 4.2, "paper"),
    ],
)
def test_published_numbers(claim: str, part: int, low: float, high: float, mark: str) -> None:
    number = CLAIMS[claim].parts[part].published
    assert number is not None
    assert (number.low, number.high) == pytest.approx((low, high))
    assert number.mark == mark


def test_how_each_sentence_was_read() -> None:
    secondary, recalled = ["A3", "B1", "B2", "B5", "D5", "U2"], ["A5", "A7"]
    for claim in CLAIMS.values():
        expected = "secondary" if claim.id in secondary else "recalled" if claim.id in recalled else "paper"
        assert claim.mark == ("ours" if claim.paper is papers.OURS else expected), claim.id
        assert f"\nsentence: {MARKS[claim.mark]}\n" in claim.to_text()


def test_papers_b_and_d_have_no_numbers_because_their_tables_were_not_read() -> None:
    assert not any(part.published for claim in CLAIMS.values() if claim.id[0] in "BD" for part in claim.parts)


def test_rules_in_words() -> None:
    cell = Cell("accuracy", "best")
    quantity = difference(cell, cell.at(trained_on="lesser"))
    assert Part("x", quantity).rule == "above 0"
    assert Part("x", quantity, "below", null=0.5).rule == "below 50"
    assert Part("x", quantity, margin=0.02).rule == "above 2 (opposite: below 0)"
    assert Part("x", quantity, "below", margin=0.02).rule == "below -2 (opposite: above 0)"
    assert Part("x", quantity, "not below", margin=0.02).rule == "not below -2"
    assert Part("x", quantity, "within", margin=0.02).rule == "between -2 and 2"
    assert str(Published(5, 10, "paper", "abstract")) == "5 to 10 (paper)"
    assert str(Published(7.3, 7.3, "secondary", "x")) == "7.3 (secondary)"


def test_bad_parts_and_claims_are_refused() -> None:
    quantity = level(Cell("accuracy", "best"))
    with pytest.raises(TheoryError, match=r"part 'x': unit 'percent' is not known; expected one of points"):
        Part("x", quantity, unit="percent")
    for direction in ("not below", "within"):
        with pytest.raises(TheoryError, match=rf"'{direction}' needs a margin > 0, got 0"):
            Part("x", quantity, direction)  # type: ignore[arg-type]
    with pytest.raises(TheoryError, match="claim Z1: no part decides"):
        Claim("Z1", "t", "s", papers.OURS, "salience", (Part("x", quantity, role="reported"),))
    with pytest.raises(TheoryError, match="slope: expected at least two points"):
        slope({1.0: quantity})


def test_choosing() -> None:
    assert choose(None) == tuple(CLAIMS.values())
    assert choose("a1, C4") == choose(["A1", "c4"]) == choose(["A1,C4"]) == (CLAIMS["A1"], CLAIMS["C4"])
    assert choose([CLAIMS["V1"], "V1"]) == (CLAIMS["V1"],)
    with pytest.raises(TheoryError, match="no claim is called 'A9'; there are A1, A2"):
        choose(["A9"])


def test_vocabulary_templates() -> None:
    assert meaning("trained_on", "mix:0.25") == meaning("trained_on", "mix:1")
    assert "believes" in meaning("trained_on", "generated+belief")
    assert "two filters" in meaning("trained_on", "gold+belief+random")
    assert meaning("arm", "patch:values:unknown:0.25")
    assert meaning("arm", "lora@instruct")
    assert meaning("stratum", "all") == "every item"
    words = meaning("stratum", "overlap=no,answer=both|neither")
    assert words == "it does not; in both; in neither"
    assert meaning("stratum", "domain=my-medical_2") == "texts of one domain"


@pytest.mark.parametrize(
    ("field", "name", "words"),
    [
        ("trained_on", "mix:1.5", "trained_on='mix:1.5' is not a known name; expected one of none, best"),
        ("trained_on", "mix", "not a known name"),
        ("prompt", "few:0", "prompt='few:0' is not a known name; expected one of zero, own, few:<k>"),
        ("arm", "all@pretrain:medium", "not a known name"),
        ("stratum", "size=big", "stratum key 'size' is not known; expected all or one of popularity"),
        ("stratum", "overlap=maybe", "stratum overlap='maybe' is not known; expected yes, no"),
        ("colour", "red", "no field 'colour'; there are study, arm"),
    ],
)
def test_unknown_names_are_refused(field: str, name: str, words: str) -> None:
    with pytest.raises(TheoryError, match=re.escape(words)):
        meaning(field, name)


def test_the_vocabulary_prints_every_name_with_its_unit() -> None:
    text = to_text()
    for field, names in NAMES.items():
        assert f"\n{field}\n" in text
        assert all(f"  {name}: " in text for name in names)
    assert "  accuracy: [points] share of items" in text
    assert "  overlap=no: it does not" in text
    assert set(STUDIES) == {claim.study for claim in CLAIMS.values()}
