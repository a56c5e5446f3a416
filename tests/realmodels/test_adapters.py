import gzip
import json
from collections import Counter

import pytest

from realmodels.entityquestions import subject_of, templates_near
from realmodels.errors import RealmodelsError
from realmodels.factscore import Claim, read_people
from realmodels.relations import read_relation
from realmodels.rows import iter_rows, read_rows
from realmodels.spans import subject_span
from realmodels.tables import write_table


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def lined(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


POPQA = ("id", "subj", "prop", "s_pop", "o_pop", "question", "possible_answers")


def popqa_rows():
    return [
        {"id": "31", "subj": "Ann", "prop": "job", "s_pop": "120", "o_pop": "5", "question": "What is Ann's job?",
         "possible_answers": '["cook", "a \\"chef\\""]'},
        {"id": "7", "subj": "Bo", "prop": "home", "s_pop": "3", "o_pop": "9", "question": "Where does Bo live?",
         "possible_answers": '["Oslo"]'},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [("p.tsv", "tsv"), ("p.csv.gz", "csv"), ("p.jsonl", "jsonl"), ("p.json", "json")]
)
def test_popqa_in_any_format(tmp_path, name, kind):
    write_table(tmp_path / name, kind, POPQA, popqa_rows())
    found = read_rows(tmp_path / name)
    assert (found.adapter, found.kind, found.columns) == ("popqa", kind, POPQA)
    row = found.rows[0]
    assert (row.id, row.answers, row.subject, row.relation, row.popularity) == (
        "31",
        ("cook", 'a "chef"'),
        "Ann",
        "job",
        120.0,
    )
    assert dict(row.original) == popqa_rows()[0]
    write_table(tmp_path / f"again.{name}", kind, found.columns, [row.original for row in found.rows])
    assert (tmp_path / f"again.{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_a_mapping_goes_before_the_layout(tmp_path):
    write_table(tmp_path / "p.tsv", "tsv", POPQA, popqa_rows())
    row = read_rows(tmp_path / "p.tsv", {"popularity": "o_pop", "answers": "prop"}).rows[0]
    assert (row.popularity, row.answers, row.subject) == (5.0, ("job",), "Ann")


TEMPLATES = {"P1": "Where is [X]?", "P2": "Who is [X]'s child?", "P3": "Broken"}


def official(folder):
    put(folder / "relation_query_templates.json", TEMPLATES)
    for split in ("test", "train"):
        put(
            folder / "dataset" / split / f"P2.{split}.json",
            [{"question": "Who is Ann's child?", "answers": ["Bo"]}],
        )
        put(
            folder / "dataset" / split / f"P1.{split}.json",
            [{"question": f"Where is {split}?", "answers": ["Oslo"]}],
        )
    return folder / "dataset"


def test_entityquestions_as_published(tmp_path):
    folder = official(tmp_path)
    found = read_rows(folder)
    assert (found.adapter, found.kind, found.columns) == ("entityquestions", "jsonl", ("question", "answers"))
    assert [(row.relation, row.subject) for row in found.rows] == [
        ("P1", "train"),
        ("P2", "Ann"),
        ("P1", "test"),
        ("P2", "Ann"),
    ]
    assert found.rows[2].source == str(folder / "test" / "P1.test.json")
    assert [row.relation for row in read_rows(folder / "test").rows] == ["P1", "P2"]
    one = read_rows(folder / "test" / "P2.test.json")
    assert (one.kind, one.adapter, one.rows[0].subject) == ("json", "entityquestions", "Ann")
    assert dict(one.rows[0].original) == {"question": "Who is Ann's child?", "answers": ["Bo"]}


def test_entityquestions_as_lines(tmp_path):
    rows = [
        {"relation": "P2", "question": "Who is Ann's child?", "answers": ["Bo"]},
        {"relation": "P1", "question": "In which place is Oslo?", "answers": ["Norway"]},
        {"relation": "P9", "question": "Where is Bo?", "answers": ["here"]},
        {"relation": "P1", "question": "Where is Bo?", "answers": ["here"], "subject": "own"},
    ]
    for split in ("test", "train"):
        put(tmp_path / f"{split}.jsonl.gz", lined(rows))
    alone = read_rows(tmp_path / "train.jsonl.gz")
    assert (alone.adapter, [row.subject for row in alone.rows]) == ("plain", [None, None, None, "own"])
    put(tmp_path / "relation_query_templates.json", TEMPLATES)
    found = read_rows(tmp_path / "train.jsonl.gz")
    assert (found.adapter, found.kind) == ("entityquestions", "jsonl")
    assert [row.subject for row in found.rows] == ["Ann", None, None, "own"]
    assert [dict(row.original) for row in found.rows] == rows
    both = read_rows(tmp_path)
    assert [row.source.rsplit("/", 1)[1] for row in both.rows] == ["train.jsonl.gz"] * 4 + [
        "test.jsonl.gz"
    ] * 4


def test_without_templates_there_is_no_subject(tmp_path):
    path = put(tmp_path / "P1.test.json", [{"question": "Where is Bo?", "answers": ["here"]}])
    row = read_rows(path).rows[0]
    assert (row.subject, row.relation) == (None, "P1")


@pytest.mark.parametrize(
    ("question", "template", "subject"),
    [
        ("Who is Ann's child?", "Who is [X]'s child?", "Ann"),
        ("Who is 's child?", "Who is [X]'s child?", None),
        ("Who is Ann?", "Who is [X]'s child?", None),
        ("Who is Ann?", "Who is Ann?", None),
    ],
)
def test_the_template_gives_the_subject_back(question, template, subject):
    assert subject_of(question, template) == subject


def test_broken_templates_are_named(tmp_path):
    put(tmp_path / "relation_query_templates.json", ["P1"])
    path = put(tmp_path / "P1.test.json", [{"question": "q", "answers": ["a"]}])
    with pytest.raises(RealmodelsError, match=r"relation_query_templates.json: expected one object"):
        read_rows(path)


RELATION = {
    "name": "star",
    "prompt_templates": ["{} stands in", "{} is part of"],
    "samples": [{"subject": "Vega", "object": "Lyra"}, {"subject": "{}", "object": "x"}],
}


def test_relations(tmp_path):
    put(tmp_path / "b.json", RELATION)
    put(tmp_path / "a.json", RELATION | {"name": "first", "samples": RELATION["samples"][:1]})
    put(tmp_path / "other.json", {"not": "one"})
    found = read_rows(tmp_path)
    assert (found.adapter, found.kind) == ("relations", "jsonl")
    assert [(row.relation, row.question, row.subject, row.answers) for row in found.rows] == [
        ("first", "Vega stands in", "Vega", ("Lyra",)),
        ("star", "Vega stands in", "Vega", ("Lyra",)),
        ("star", "{} stands in", "{}", ("x",)),
    ]
    write_table(tmp_path / "out.jsonl", found.kind, found.columns, [row.original for row in found.rows])
    again = read_rows(tmp_path / "out.jsonl")
    assert [(row.id, row.relation, row.subject) for row in again.rows] == [
        (row.id, row.relation, row.subject) for row in found.rows
    ]
    assert len(read_rows(tmp_path / "b.json")) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 3}, ("'name'", "3")),
        ({"prompt_templates": []}, ("'prompt_templates'", "{}")),
        ({"prompt_templates": ["no slot"]}, ("'prompt_templates'", "no slot")),
        ({"samples": {}}, ("'samples'", "list of pairs")),
        ({"samples": [{"subject": "Vega", "object": 3}]}, ("sample 1", "strings", "3")),
        ({"samples": ["Vega"]}, ("sample 1", '"Vega"')),
    ],
)
def test_broken_relations_are_named(tmp_path, change, says):
    path = put(tmp_path / "r.json", RELATION | change)
    with pytest.raises(RealmodelsError) as error:
        read_rows(path)
    assert all(part in str(error.value) for part in ("r.json", *says)), error.value


BIOGRAPHIES = [
    {
        "topic": "Ann Bo",
        "output": "Ann Bo cooks. She sings.",
        "cat": ["rare", "Europe"],
        "annotations": [
            {"text": "Ann Bo cooks.", "human-atomic-facts": [{"text": "Ann Bo cooks.", "label": "S"}]},
            {"text": "-", "human-atomic-facts": None},
            {"text": "-"},
            {
                "text": "She sings.",
                "human-atomic-facts": [{"text": "She sings.", "label": "NS"}, {"text": "Hm.", "label": "IR"}],
            },
        ],
    },
    {"topic": "Cy", "output": "I do not know.", "cat": ["very freq", "Asia"], "annotations": None},
]


def test_people_and_what_is_claimed_of_them(tmp_path):
    path = put(tmp_path / "ChatGPT.jsonl.gz", lined(BIOGRAPHIES))
    ann, cy = read_people(path)
    assert (ann.name, ann.group, ann.region, ann.popularity, ann.abstained) == (
        "Ann Bo",
        "rare",
        "Europe",
        2.0,
        False,
    )
    assert ann.claims == (Claim("Ann Bo cooks.", "S"), Claim("She sings.", "NS"), Claim("Hm.", "IR"))
    assert (cy.claims, cy.abstained, cy.popularity, cy.line) == ((), True, 5.0, 2)
    assert ann.prompt == "Tell me a bio of Ann Bo."
    named = read_people(put(tmp_path / "names.txt", "Ann Bo\n\nCy\r\n"))
    assert [(person.name, person.line, person.popularity) for person in named] == [
        ("Ann Bo", 1, None),
        ("Cy", 3, None),
    ]


def test_claims_as_rows(tmp_path):
    path = put(tmp_path / "ChatGPT.jsonl", lined(BIOGRAPHIES))
    for source in (path, tmp_path):
        found = read_rows(source)
        assert (found.adapter, found.kind) == ("factscore", "jsonl")
        assert [(row.answers, row.subject, row.popularity, row.line) for row in found.rows] == [
            (("True",), "Ann Bo", 2.0, 1),
            (("False",), "Ann Bo", 2.0, 1),
        ]
        assert all(subject_span(row.question, row.subject) for row in found.rows)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"topic": " "}, ("'topic'", "name")),
        ({"output": None}, ("'output'", "biography")),
        ({"cat": ["often", "Asia"]}, ("'cat'", "very freq", "often")),
        ({"annotations": "none"}, ("'annotations'", "sentences")),
        ({"annotations": ["none"]}, ("'annotations'", "label")),
        (
            {"annotations": [{"human-atomic-facts": [{"text": "x", "label": "?"}]}]},
            ("'annotations'", "label"),
        ),
    ],
)
def test_broken_biographies_are_named(tmp_path, change, says):
    path = put(tmp_path / "c.jsonl", lined([BIOGRAPHIES[1], BIOGRAPHIES[0] | change]))
    with pytest.raises(RealmodelsError) as error:
        read_people(path)
    assert all(part in str(error.value) for part in ("c.jsonl:2", *says)), error.value


def test_a_list_of_names_is_no_data(tmp_path):
    path = put(tmp_path / "names.txt", "Ann Bo\n")
    with pytest.raises(RealmodelsError, match=r"names.txt: .*no answers to judge by"):
        read_rows(path)
    with pytest.raises(RealmodelsError, match="no people in it"):
        read_people(put(tmp_path / "blank.txt", "\n"))


@pytest.mark.parametrize(
    ("source", "adapter", "kind", "rows", "relations", "subjects"),
    [
        ("popqa/popqa_head_1000.tsv", "popqa", "tsv", 1000, 2, True),
        ("popqa/popqa_sample_2000.tsv", "popqa", "tsv", 2000, 16, True),
        ("entityquestions/test.jsonl.gz", "entityquestions", "jsonl", 22075, 24, True),
        ("entityquestions/official_layout", "entityquestions", "jsonl", 3771, 2, True),
        ("entityquestions/official_layout/test/P36.test.json", "entityquestions", "json", 886, 1, True),
        ("mmlu/val", "mmlu", "csv-bare", 1542, 57, False),
        ("mmlu/test/astronomy_test.csv", "mmlu", "csv-bare", 152, 1, False),
        ("relations", "relations", "jsonl", 9696, 26, True),
        ("factscore", "factscore", "jsonl", 14525, 1, True),
    ],
)  # fmt: skip
def test_the_real_data_sets(data, source, adapter, kind, rows, relations, subjects):
    found = read_rows(data / source)
    assert (found.adapter, found.kind, len(found)) == (adapter, kind, rows)
    assert len({row.relation for row in found.rows}) == relations
    assert len({row.id for row in found.rows}) == rows
    assert all(subject_span(row.question, row.subject) for row in found.rows) if subjects else True
    assert all((row.subject is not None) is subjects for row in found.rows)


def test_real_subjects_are_popular_by_their_own_file(data):
    rows = read_rows(data / "popqa" / "popqa_head_1000.tsv").rows
    assert all(row.popularity == int(row.original["s_pop"]) for row in rows)
    assert Counter(row.relation for row in rows) == {"place of birth": 543, "occupation": 457}
    assert all(row.original["obj"].strip() in row.answers for row in rows)


@pytest.mark.parametrize(
    "source", ["popqa/popqa_head_1000.tsv", "popqa/popqa_sample_2000.tsv", "mmlu/test/virology_test.csv"]
)
def test_a_real_file_is_written_back_to_the_byte(data, tmp_path, source):
    found = read_rows(data / source)
    write_table(tmp_path / "again", found.kind, found.columns, [row.original for row in found.rows])
    assert (tmp_path / "again").read_bytes() == (data / source).read_bytes()


def test_the_real_layouts_agree(data):
    folder = data / "entityquestions"
    official = read_rows(folder / "official_layout" / "test").rows
    listed = {
        row.id.partition("-")[0]
        for row in iter_rows(folder / "test.jsonl.gz")
        if row.relation in ("P19", "P36")
    }
    assert {row.id.partition("-")[0] for row in official} == listed
    assert len(templates_near(folder / "official_layout" / "test" / "P36.test.json")) >= 24


def test_real_people(data):
    people = read_people(data / "factscore" / "ChatGPT.jsonl.gz")
    assert (len(people), sum(not person.abstained for person in people)) == (183, 157)
    labels = Counter(claim.label for person in people for claim in person.claims)
    assert labels == {"S": 3194, "NS": 1692, "IR": 540}
    assert {person.name for person in people} == {
        p.name for p in read_people(data / "factscore" / "prompt_entities.txt")
    }


@pytest.mark.slow
def test_the_whole_of_entityquestions_streams(data):
    rows = iter_rows(data / "entityquestions" / "train.jsonl.gz")
    assert Counter(row.subject is not None for row in rows) == {True: 176_560}


def test_reading_all_relation_files_is_not_needed_to_know_one(tmp_path):
    path = put(tmp_path / "one.json", [{"question": "q", "answers": ["a"]}])
    assert read_rows(path).adapter == "plain"
    assert read_relation(put(tmp_path / "r.json", RELATION))[0]["answers"] == ["Lyra"]
