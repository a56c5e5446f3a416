import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmodels.spans import subject_span


@pytest.mark.parametrize(
    ("question", "subject", "found"),
    [
        ("Where was Ann Bo born?", "Ann Bo", "Ann Bo"),
        ("Who is Ann's child?", "Ann", "Ann"),
        ("Is Annapolis near Ann?", "Ann", "Ann"),
        ("Is Annapolis far?", "Ann", "Ann"),
        ("where is new york?", "New York", "new york"),
        ("Where is New  York?", "New York", "New  York"),
        ("Where is Besançon?", "Besancon", "Besançon"),
        ("Where is Besanc\u0327on?", "Besançon", "Besanc\u0327on"),
        ("Where is Besançon?", "Besanc\u0327on", "Besançon"),
        ("Where is caf\u0065\u0301?", "cafe", "cafe\u0301"),
        ("What is STRASSE?", "straße", "STRASSE"),
        ("What is Großs?", "Gros", None),
        ("What is O’Brien–Smith?", "O'Brien–Smith", "O’Brien–Smith"),
        ("What is ﬁlm?", "film", "ﬁlm"),
        ("Where is 東京都?", "東京都", "東京都"),
        ("Who wrote C++?", "C++", "C++"),
        ("Where was Where made?", "Where", "Where"),
        ("Who is it?", "Ann", None),
        ("Who is it?", " ", None),
        ("What is \u0301?", "\u0301", "\u0301"),
    ],
)
def test_the_subject_is_found(question, subject, found):
    span = subject_span(question, subject)
    assert (None if span is None else question[slice(*span)]) == found


def test_of_several_places_the_last_whole_word_as_written_counts():
    assert subject_span("Where was Where made?", "Where") == (10, 15)
    assert subject_span("Where was Where made, where?", "Where") == (10, 15)
    assert subject_span("Ann, Anna: Annex", "Ann") == (0, 3)


words = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd")), min_size=1, max_size=8)


@given(before=words, subject=words, after=words, form=st.sampled_from(["NFC", "NFD", "NFKC"]))
def test_any_word_is_found_in_any_form(before, subject, after, form):
    question = unicodedata.normalize(form, f"{before} {subject} {after}?")
    start, end = subject_span(question, subject)
    found, wanted = (
        unicodedata.normalize("NFKD", text).casefold() for text in (question[start:end], subject)
    )
    assert found == wanted or unicodedata.normalize("NFKD", found) == unicodedata.normalize("NFKD", wanted)


def test_every_subject_of_the_real_questions_is_found_where_the_template_has_it(data):
    from realmodels.entityquestions import templates_near
    from realmodels.rows import iter_rows

    source = data / "entityquestions" / "test.jsonl.gz"
    templates = templates_near(source)
    wrong = []
    for row in iter_rows(source):
        start = templates[row.relation].index("[X]")
        if subject_span(row.question, row.subject) != (start, start + len(row.subject)):
            wrong.append(row.question)
    assert wrong == []
