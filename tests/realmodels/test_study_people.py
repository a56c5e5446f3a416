"""The table of people, out of rows of single questions."""

import gzip
import json

import pytest

from realmodels.errors import RealmodelsError
from realmodels.rows import Row
from realmodels.study_people import main, table


def row(subject, relation, *answers):
    return Row(0, 0, "", f"{relation} of {subject}?", answers, subject, relation, None, {}, "f")


def person(name, births=("Rome",), relations=("P106", "P69")):
    return [row(name, "P19", *births), *(row(name, relation, "x") for relation in relations)]


def test_whoever_has_several_facts_is_in_it_under_spoken_names():
    found = list(
        table([*person("B"), *person("A"), *person("few", relations=("P69",)), row("A", "P17", "y")])
    )
    assert [(one["subject"], one["relation"]) for one in found] == [
        (name, relation) for name in "AB" for relation in ("occupation", "birthplace", "school")
    ]
    assert {one["kind"] for one in found} == {"other"}
    assert found[1]["question"] == "P19 of A?"


def test_two_birthplaces_are_two_people():
    apart = [*person("A"), row("A", "P19", "Paris")]
    assert list(table(apart)) == list(table(person("A", ("Rome", "Paris")))) == []
    schools = [*person("A"), row("A", "P69", "y")]
    assert [one["answers"] for one in table(schools)] == [["x"], ["Rome"], ["x", "y"]]


def test_musicians_are_told_from_others_and_repeated_answers_stand_once():
    found = list(table([*person("A"), *person("B", relations=("P106", "P264")), row("B", "P264", "x")]))
    assert {(one["subject"], one["kind"]) for one in found} == {("A", "other"), ("B", "musician")}
    assert found[-1]["answers"] == ["x"]


def test_command(tmp_path, capsys):
    for part in ("train", "dev", "test"):
        with gzip.open(tmp_path / f"{part}.jsonl.gz", "wt") as file:
            for relation, question in (
                ("P19", "Where was Ada born?"),
                ("P69", "Where was Ada educated?"),
                ("P26", "Who is Ada married to?"),
            ):
                file.write(json.dumps({"relation": relation, "question": question, "answers": ["x"]}) + "\n")
    templates = {
        "P19": "Where was [X] born?",
        "P69": "Where was [X] educated?",
        "P26": "Who is [X] married to?",
    }
    (tmp_path / "relation_query_templates.json").write_text(json.dumps(templates))
    main([str(tmp_path)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["relation"] for one in lines] == ["birthplace", "spouse", "school"]
    with pytest.raises(RealmodelsError, match="expected the folder"):
        main([])
