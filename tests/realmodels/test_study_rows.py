"""A study's facts: equal draws from every relation, the same whatever the order and number of sources."""

import json
import random

import pytest

from realmodels.errors import RealmodelsError
from realmodels.study_rows import Draw, gather, lines, main


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _rows(relation, count, answers=1):
    return [
        {
            "question": f"Where is {relation} {k}?",
            "answers": [f"A{k}", "B"][:answers],
            "subject": f"{relation} {k}",
            "relation": relation,
        }
        for k in range(count)
    ]


def test_a_draw_is_equal_per_relation_and_blind_to_order_and_files(tmp_path):
    rows = _rows("capital", 50) + _rows("river", 9)
    one = gather([_write(tmp_path / "a.jsonl", rows)], Draw(12))
    random.Random(3).shuffle(rows)
    half = len(rows) // 2
    two = gather(
        [_write(tmp_path / "b.jsonl", rows[:half]), _write(tmp_path / "c.jsonl", rows[half:])], Draw(12)
    )
    assert [fact.id for fact in one] == [fact.id for fact in two]
    assert [fact.relation for fact in one] == ["capital"] * 12 + ["river"] * 9


def test_more_facts_only_add(tmp_path):
    path = _write(tmp_path / "a.jsonl", _rows("capital", 3000))
    small, large = ({fact.id for fact in gather([path], Draw(count))} for count in (5, 40))
    assert small < large
    assert len(large) == 40
    other = {fact.id for fact in gather([path], Draw(5, salt="again"))}
    assert other != small


def test_the_lowest_hashes_are_chosen_though_most_rows_are_forgotten_on_the_way(tmp_path):
    path = _write(tmp_path / "a.jsonl", _rows("capital", 3000))
    everything = gather([path], Draw(3000))
    assert gather([path], Draw(7)) == everything[:7]


def test_one_row_a_subject_and_relation_and_only_single_answers(tmp_path):
    again = [
        dict(row, question=f"Say: {row['question']}", subject=row["subject"].upper()) for row in _rows("r", 4)
    ]
    path = _write(tmp_path / "a.jsonl", _rows("r", 4) + again + _rows("many", 3, answers=2))
    facts = gather([path], Draw(100))
    assert len(facts) == 4
    assert len({fact.subject.casefold() for fact in facts}) == 4
    assert len(gather([path], Draw(100, single=False))) == 7


def test_relations_come_in_the_order_named_and_lines_read_back(tmp_path):
    path = _write(tmp_path / "a.jsonl", _rows("x", 3) + _rows("y", 3))
    facts = gather([path], Draw(2, ("y", "x")))
    assert [fact.relation for fact in facts] == ["y", "y", "x", "x"]
    back = gather([_write(tmp_path / "b.jsonl", map(json.loads, lines(facts)))], Draw(2, ("y", "x")))
    assert [fact.question for fact in back] == [fact.question for fact in facts]


@pytest.mark.parametrize(
    ("rows", "draw", "said"),
    [
        (_rows("x", 2), Draw(0), "--per-relation: expected at least 1"),
        (_rows("capital", 2), Draw(2, ("capitol",)), "'capitol' is in no source"),
        (_rows("x", 2, answers=2), Draw(2, ("x",)), "'x' no row with a subject and one answer"),
        ([{"question": "Who?", "answers": ["I"]}], Draw(2), "no row has both a subject and a relation"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path, rows, draw, said):
    with pytest.raises(RealmodelsError, match=said.replace("(", "\\(")):
        gather([_write(tmp_path / "a.jsonl", rows)], draw)


def test_no_source_is_said():
    with pytest.raises(RealmodelsError, match="no source is named"):
        gather([], Draw())


def test_the_command_prints_what_a_study_would_draw(tmp_path, capsys):
    paths = [_write(tmp_path / f"{name}.jsonl", _rows(name, 130)) for name in ("x", "y z", "other")]
    main([*map(str, paths), "--relations", "y z", "x"])
    assert capsys.readouterr().out == "".join(lines(gather(paths, Draw(110, ("y z", "x")))))
    main(["--per-relation", "3", "--salt", "again", str(paths[0])])
    assert capsys.readouterr().out == "".join(lines(gather(paths[:1], Draw(3, salt="again"))))
    with pytest.raises(RealmodelsError, match="--per-relation"):
        main([str(paths[0]), "--per-relation", "0"])
