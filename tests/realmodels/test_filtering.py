"""Which rows an audit's readers see, and which of them each criterion keeps."""

import json

import numpy as np
import pytest

from realmodels.audited import read_audit
from realmodels.errors import RealmodelsError
from realmodels.filtering import Criteria, bare_relations, choose

LABELS = ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]


@pytest.fixture
def audited(write_audit):
    """Two relations of four labels each; margins 0..7 but for row 5, which has none."""
    rows = []
    for number in range(8):
        original = {"question": f"q{number}", "answers": [f"a{number % 3}"], "relation": "PQ"[number // 4]}
        special = {
            "label": LABELS[number % 4],
            "margin": None if number == 5 else float(number),
            "overlaps_subject": None if number == 6 else number in (0, 5),
            "dominant_answer": number == 1,
            "subject": f"S{number % 2}",
        }
        rows.append((original, special))
    return read_audit(write_audit(rows))


@pytest.mark.parametrize(
    ("criteria", "rows"),
    [
        (Criteria(keep=("HighlyKnown", "MaybeKnown")), [0, 1, 4, 5]),
        (Criteria(drop=("Unknown",)), [0, 1, 2, 4, 5, 6]),
        (Criteria(top=0.5, by="logprob"), [0, 1, 2, 3]),
        (Criteria(top=0.5, by="logprob", per_relation=True), [0, 1, 4, 5]),
        (Criteria(top=0.25, by="margin"), [6, 7]),
        (Criteria(top=0.3, by="margin"), [4, 6, 7]),  # of the seven that have one, rounded up
        (Criteria(top=1.0, by="margin"), [0, 1, 2, 3, 4, 6, 7]),
        (Criteria(top=0.25, by="p_greedy"), [0, 4]),
        (Criteria(top=0.5, by="p_greedy", keep=("MaybeKnown", "Unknown")), [1, 5]),
        (Criteria(no_overlap=True), [1, 2, 3, 4, 6, 7]),
        (Criteria(no_dominant=True), [0, 2, 3, 4, 5, 6, 7]),
        (Criteria(limit=3), [0, 1, 2]),
        (Criteria(limit=3, by="margin"), [4, 6, 7]),
        (Criteria(top=0.5, by="margin", limit=1), [7]),
        (Criteria(limit=99), list(range(8))),
    ],
)
def test_rows_that_meet_the_criteria(audited, criteria, rows):
    assert choose(audited, criteria).rows.tolist() == rows


def test_a_top_share_equals_sorting_by_hand(write_audit):
    rng = np.random.default_rng(5)
    margins, groups = rng.normal(size=200).round(1), rng.integers(4, size=200)
    rows = [
        ({"question": "q", "answers": ["a"], "relation": f"P{g}"}, {"margin": float(m)})
        for m, g in zip(margins, groups, strict=True)
    ]
    audited = read_audit(write_audit(rows))
    for share in (0.1, 0.33, 0.5, 1.0):
        expected = []
        for group in range(4):
            members = [i for i in range(200) if groups[i] == group]
            best = sorted(members, key=lambda i: (-margins[i], i))
            expected += best[: int(np.ceil(share * len(members) - 1e-9))]
        found = choose(audited, Criteria(top=share, by="margin", per_relation=True)).rows
        assert found.tolist() == sorted(expected)


def test_a_share_that_is_no_binary_fraction_is_not_rounded_up_by_it(write_audit):
    rows = [({"question": "q", "answers": ["a"]}, {}) for _ in range(10)]
    audited = read_audit(write_audit(rows))
    assert len(choose(audited, Criteria(top=0.7, by="logprob")).rows) == 7
    assert len(choose(audited, Criteria(top=0.1 + 0.2, by="logprob")).rows) == 3


def test_what_cannot_be_told_is_said(audited):
    assert choose(audited, Criteria(top=0.25, by="margin")).notes == (
        "1 of 8 rows have no margin and are left out",
    )
    assert "of 1 rows the audit does not say" in choose(audited, Criteria(no_overlap=True)).notes[0]
    assert choose(audited, Criteria(limit=99)).notes == ("--limit 99: only 8 rows are left",)
    assert choose(audited, Criteria(drop=("Unknown",))).notes == ()


def test_a_relation_without_known_rows_is_named(audited):
    rows = choose(audited, Criteria(top=0.5, by="logprob")).rows  # the first relation alone
    (said,) = bare_relations(audited, rows)
    assert said.startswith("relation Q: no known row is left (2 before, 0 rows kept)")
    both = bare_relations(audited, choose(audited, Criteria(keep=("Unknown",))).rows)
    assert [line.split(":")[0] for line in both] == ["relation P", "relation Q"]
    assert "(2 before, 1 rows kept)" in both[0]
    assert bare_relations(audited, choose(audited, Criteria(drop=("Unknown",))).rows) == ()


def test_a_relation_that_never_had_known_rows_is_named_only_if_rows_of_it_stay(write_audit):
    rows = [({"question": "q", "answers": ["a"], "relation": "P"}, {"label": "HighlyKnown"})]
    rows += [({"question": "q", "answers": ["a"], "relation": "Q"}, {"label": "Unknown"})]
    audited = read_audit(write_audit(rows))
    assert bare_relations(audited, np.array([0])) == ()
    assert (
        "relation Q: no known row is left (0 before, 1 rows kept)" in bare_relations(audited, np.arange(2))[0]
    )


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        (Criteria(keep=("HighlyKnow",)), "--keep: unknown label 'HighlyKnow'; did you mean 'HighlyKnown'?"),
        (Criteria(drop=("x",)), "--drop: unknown label 'x'; known are Unknown, WeaklyKnown"),
        (Criteria(keep=("Unknown",), drop=("Unknown",)), "give one of them"),
        (Criteria(top=0.0, by="margin"), "--top: expected a share above 0"),
        (Criteria(top=50, by="margin"), "got 50; a number of rows is --limit"),
        (Criteria(top=float("nan"), by="margin"), "--top: expected a share"),
        (Criteria(top=0.5), "add --by with one of margin, logprob"),
        (Criteria(top=0.5, by="margn"), "--by: unknown score 'margn'; did you mean 'margin'?"),
        (Criteria(limit=0), "--limit: expected at least 1, got 0"),
        (Criteria(per_relation=True), "--per-relation: says how --top is taken"),
        (Criteria(top=0.5, by="p_true"), "no row has a p_true; the audit has margin, logprob, p_greedy"),
        (Criteria(keep=("HighlyKnown",), no_overlap=True, limit=1, by="margin", top=0.1), None),
    ],
)
def test_what_cannot_be_meant_is_refused(audited, criteria, message):
    if message is None:
        assert choose(audited, criteria).rows.tolist() == [4]
        return
    with pytest.raises(RealmodelsError) as caught:
        choose(audited, criteria)
    assert message in str(caught.value)


def test_nothing_left_says_what_there_was(write_audit):
    rows = [
        ({"question": "q", "answers": ["a"]}, {"label": label})
        for label in ("Unknown", "Unknown", "MaybeKnown")
    ]
    audited = read_audit(write_audit(rows))
    with pytest.raises(RealmodelsError, match="no row is left; it has 1 MaybeKnown, 2 Unknown"):
        choose(audited, Criteria(keep=("HighlyKnown",)))


def test_an_audit_is_read_in_columns(audited):
    assert len(audited) == 8
    assert audited.relations == ("P", "Q")
    assert audited.relation.tolist() == [0] * 4 + [1] * 4
    assert audited.answer.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert audited.subject.tolist() == [0, 1] * 4
    assert audited.overlap.tolist() == [1, 0, 0, 0, 0, 1, -1, 0]
    assert audited.known.tolist() == [True, True, False, False] * 2
    assert np.isnan(audited.scores["margin"][5])
    assert np.isnan(audited.scores["popularity"]).all()
    assert audited.settings["n_prompts"] == (10,)
    assert audited.counts()["P"] == dict.fromkeys(LABELS, 1)
    assert audited.source.kind == "jsonl"


def test_spelling_does_not_part_subjects_and_answers(write_audit):
    pairs = [
        ("The Beatles", "John Lennon"),
        ("the  BEATLES", "john lennon."),
        ("Be\u0301la", "A"),
        ("Béla", "B"),
    ]
    rows = [({"question": "q", "answers": [a]}, {"subject": s}) for s, a in pairs]
    rows.append(({"question": "q", "answers": ["C"]}, {"subject": None}))
    audited = read_audit(write_audit(rows))
    assert audited.subject.tolist() == [0, 0, 1, 1, -1]
    assert audited.answer.tolist() == [0, 0, 1, 2, 3]
    assert audited.relations == ("(no relation)",)


def test_originals_come_back_as_they_stand(audited):
    found = list(audited.originals(np.array([1, 6])))
    assert [number for number, _ in found] == [1, 6]
    assert found[1][1]["question"] == "q6"
    audited.path.write_text(audited.path.read_text().split("\n")[0] + "\n")
    with pytest.raises(RealmodelsError, match="shorter"):
        list(audited.originals(np.array([1, 6])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "Known"}, "field 'knowledge.label': expected one of Unknown, WeaklyKnown, MaybeKnown"),
        ({"label": None}, "field 'knowledge.label': expected one of"),
        ({"p_greedy": None}, "field 'knowledge.p_greedy': expected a number between 0 and 1, got null"),
        ({"p_sample": 1.5}, "field 'knowledge.p_sample': expected a number between 0 and 1, got 1.5"),
        ({"margin": "high"}, "field 'knowledge.margin': expected a number or null, got \"high\""),
        ({"logprob": True}, "field 'knowledge.logprob': expected a number or null, got true"),
        ({"overlaps_subject": "no"}, "expected true, false or null"),
        ({"dominant_answer": 1}, "expected true, false or null"),
        ({"relation": 3}, "field 'knowledge.relation': expected a string or null, got 3"),
        ({"subject": ["x"]}, "field 'knowledge.subject'"),
        ({"answers": []}, "field 'knowledge.answers': expected a list of at least one answer, got []"),
        ({"answers": "x"}, "field 'knowledge.answers'"),
    ],
)
def test_a_spoiled_line_is_named(write_audit, change, message):
    rows = [({"question": "q", "answers": ["a"]}, {})]
    path = write_audit(rows * 2)
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    row["knowledge"].update(change)
    path.write_text(lines[0] + "\n" + json.dumps(row) + "\n")
    with pytest.raises(RealmodelsError) as caught:
        read_audit(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


def test_other_files_are_told_apart_from_audits(tmp_path, write_audit):
    plain = tmp_path / "rows.jsonl"
    plain.write_text('{"question": "q", "answers": ["a"]}\n')
    with pytest.raises(
        RealmodelsError, match=r"rows.jsonl:1: field 'knowledge': .* got no such field; is this"
    ):
        read_audit(plain)
    plain.write_text('{"knowledge": {"label": "Unknown"}}\n')
    with pytest.raises(RealmodelsError, match=r"p_greedy.* got no such field; audit again"):
        read_audit(plain)
    plain.write_text("\n\n")
    with pytest.raises(RealmodelsError, match="no rows in it"):
        read_audit(plain)
    with pytest.raises(RealmodelsError, match=r"missing.jsonl: no such file; run `audit` first"):
        read_audit(tmp_path / "missing.jsonl")
    with pytest.raises(RealmodelsError, match=r"audit.jsonl: no such file"):
        read_audit(tmp_path)
    folder = write_audit([({"question": "q", "answers": ["a"]}, {})]).parent
    assert len(read_audit(folder)) == 1


@pytest.mark.parametrize(
    ("summary", "message"),
    [
        ("[]", "field 'source': expected an object, got null"),
        ('{"source": 3}', "field 'source': expected an object, got 3"),
        (
            '{"source": {"kind": "parquet", "columns": []}}',
            "field 'source.kind': expected jsonl, json, csv or tsv",
        ),
        ('{"source": {"kind": "csv", "columns": "a"}}', "field 'source.columns': expected a list of names"),
        ('{"source": {"kind": "csv", "columns": [], "names": [1]}}', "field 'source.names'"),
        ("{", "not JSON"),
    ],
)
def test_a_spoiled_summary_is_named(write_audit, summary, message):
    path = write_audit([({"question": "q", "answers": ["a"]}, {})])
    path.with_name("summary.json").write_text(summary)
    with pytest.raises(RealmodelsError) as caught:
        read_audit(path)
    assert message in str(caught.value)
    assert "summary.json" in str(caught.value)
