import pytest

from realmodels.overlap import overlaps, words


@pytest.mark.parametrize(
    ("subject", "answers", "expected"),
    [
        ("Nikon D4S", ["Nikon"], True),
        ("Nikon D4S", ["Canon", "nikon corporation"], True),
        ("Nikon D4S", ["Canon"], False),
        ("Panjgur District", ["Panjgur"], True),
        ("Kirovo-Chepetsky District", ["Kirovo-Chepetsk"], True),
        ("Harar", ["Harari Region"], False),
        ("University of Oslo", ["Bank of England"], False),
        ("What is the capital of Peru?", ["The Hague"], False),
        ("U2", ["U2 Limited"], True),
        ("J. R. Smith", ["R. Kelly"], False),
        ("Ann's House", ["Bob's Place"], False),
        ("The The", ["the the"], True),
        ("X", ["X"], True),
        ("São Paulo", ["SAO TOME"], True),
        ("1984", ["1984"], True),
        ("Prince", [], False),
        ("!!!", ["???"], False),
    ],
)
def test_shared_words(subject, answers, expected):
    assert overlaps(subject, answers) is expected


def test_words_that_count():
    assert words("The Queen's  Head, 7 de Mayo") == {"queen", "head", "7", "mayo"}
    assert words("of the") == {"of", "the"}
    assert words("a_b2") == {"b2"}


def test_real_relations_differ_as_copying_does(data):
    from realmodels.rows import read_rows

    rows = read_rows(data / "entityquestions" / "test.jsonl.gz").rows

    def share(relation):
        of = [overlaps(row.subject, row.answers) for row in rows if row.relation == relation]
        return sum(of) / len(of)

    # capitals are often called like their region and products like their maker; jobs never like the person
    assert share("P36") > 0.3
    assert share("P176") > 0.3
    assert share("P106") < 0.01
