"""Biographies into sentences and claims, and claims held against each other."""

import sys
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from realmodels.bios_cover import content, likeness, paired, support_by
from realmodels.bios_sentences import clean, sentences
from realmodels.bios_split import SPLITTERS, atoms, splitter_named
from realmodels.errors import RealmodelsError
from theory.matching import token_f1

NAME = "Ann Lee"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He left. She won.", ["He left.", "She won."]),
        ("Dr. No met J. R. Smith in St. Louis. He won.", ["Dr. No met J. R. Smith in St. Louis.", "He won."]),
        ("It reached No. 4 in the U.S. charts. He won!", ["It reached No. 4 in the U.S. charts.", "He won!"]),
        ("He lives in the U.S. He won.", ["He lives in the U.S.", "He won."]),
        ('She said "No. Never." to him. He won.', ['She said "No. Never." to him.', "He won."]),
        ("Born in 1950[1][2]. Died\n\n- First. \n2) Second", ["Born in 1950.", "Died", "First.", "Second"]),
        ("", []),
        ("... !!", []),
        ("He paid 3.5 million. Then he left", ["He paid 3.5 million.", "Then he left"]),
    ],
)
def test_sentences(text, wanted):
    assert list(sentences(text)) == wanted


def test_reference_marks_and_spaces_go():
    assert clean("a [1] b[2][3],  c") == "a b, c"


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        (
            "She was born on October 9, 1970, in Bro, Sweden.",
            {"Ann Lee was born on October 9, 1970.", "Ann Lee was born in Bro.", "Bro is in Sweden."},
        ),
        (
            "Ann Lee (born 1 May 1950) is an American actress and model.",
            {
                "Ann Lee is American.",
                "Ann Lee is an actress.",
                "Ann Lee is a model.",
                "Ann Lee was born 1 May 1950.",
            },
        ),
        (
            "Ann Lee (1900–1950) was a poet.",
            {"Ann Lee was a poet.", "Ann Lee was born in 1900.", "Ann Lee died in 1950."},
        ),
        (
            'He appeared in films such as "Gaslight" (1944) and "Rain".',
            {
                "Ann Lee appeared in films.",
                'Ann Lee appeared in "Gaslight".',
                'Ann Lee appeared in "Rain".',
                '"Gaslight" is a film.',
                '"Rain" is a film.',
                '"Gaslight" was released in 1944.',
            },
        ),
        (
            "He played for Verona and Parma, and retired in 1987.",
            {"Ann Lee played for Verona.", "Ann Lee played for Parma.", "Ann Lee retired in 1987."},
        ),
        (
            "Ann, also known as General China, caught the attention of Dortmund, who signed her in 2018.",
            {
                "Ann is also known as General China.",
                "Ann caught the attention of Dortmund.",
                "Dortmund signed her in 2018.",
                "Dortmund signed her.",
            },
        ),
        (
            "Although she was ill, she won in 2017 and 2018.",
            {"Ann Lee was ill.", "Ann Lee won in 2017.", "Ann Lee won in 2018."},
        ),
        ("His work won.", {"Ann Lee's work won."}),
        ("He played in the 2019 Africa Cup.", {"Ann Lee played in the 2019 Africa Cup."}),
    ],
)
def test_atoms(sentence, wanted):
    assert set(atoms(sentence, NAME)) == wanted


@pytest.mark.parametrize(
    "sentence", ["He.", "xyz", "1990", '"Unclosed, and (broken', "and, and, and", "of the and in or"]
)
def test_whatever_is_written_gives_at_least_one_claim(sentence):
    assert atoms(sentence, NAME)


def test_a_splitter_gives_each_claim_once_with_its_sentence():
    found = SPLITTERS["rules"]("Ann Lee is a poet. She was born in 1950. Ann Lee is a poet.", NAME)
    assert [(claim.text, claim.sentence) for claim in found] == [
        ("Ann Lee is a poet.", 0),
        ("Ann Lee was born in 1950.", 1),
    ]
    assert SPLITTERS["rules"]("", NAME) == ()
    whole = SPLITTERS["sentences"]("She is a poet. She won.", NAME)
    assert [claim.text for claim in whole] == ["Ann Lee is a poet.", "Ann Lee won."]
    lines = SPLITTERS["lines"]("a is b . c is d .", NAME)
    assert [(claim.text, claim.sentence) for claim in lines] == [("a is b .", 0), ("c is d .", 1)]


def test_a_splitter_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine_to_split.py").write_text(
        "def cut(text, name):\n    return [f'{name}: {text}', 'b']\nX = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert [claim.text for claim in splitter_named("mine_to_split:cut")("t", NAME)] == ["Ann Lee: t", "b"]
    assert sys.path == before
    for name, line in (
        ("rule", "unknown 'rule'; did you mean 'rules'"),
        ("nowhere_at_all:cut", "cannot be imported"),
        ("mine_to_split:other", "cannot be imported"),
        ("mine_to_split:X", "is no function"),
    ):
        with pytest.raises(RealmodelsError, match=line):
            splitter_named(name)


def test_content_is_words_without_the_person():
    assert content("He is the son of Ann Lee's aunt, an aunt!", NAME) == Counter(
        ["is", "son", "of", "lees", "aunt", "aunt"]
    )
    assert content("She", NAME) == Counter(["she"])


def test_likeness_is_token_f1():
    texts = ["born in paris in 1950", "born in paris", "won", "in in in"]
    alike = likeness([content(t, "") for t in texts], [content(t, "") for t in texts])
    assert alike == pytest.approx(np.array([[token_f1(a, [b]) for b in texts] for a in texts]))


def test_pairs_are_the_best_one_to_one_matching():
    first, second = (
        ["was born in Rome", "is a poet", "born in Rome"],
        ["born in Rome", "is a poet from Rome", "was born in Rome Italy"],
    )
    found = paired(first, second, NAME, same=0.5)
    alike = likeness([content(t, NAME) for t in first], [content(t, NAME) for t in second])
    kept = np.where(alike >= 0.5, alike, 0)
    best = max(sum(kept[i, p[i]] for i in range(3)) for p in permutations(range(3)))
    assert sum(kept[i, j] for i, j in found.pairs) == pytest.approx(best)
    assert (found.precision, found.recall) == (1.0, 1.0)
    none = paired([], second, NAME)
    assert np.isnan(none.precision)
    assert none.recall == 0.0


def test_support_by_the_nearest_fact():
    assert support_by(
        ["Ann Lee was born in Rome."], ["He was born in Rome.", "He won."], NAME
    ) == pytest.approx([1.0])
    assert support_by(["Ann won."], [], NAME).tolist() == [0.0]
    assert support_by([], ["x"], NAME).shape == (0,)
