"""Biographies of many lengths and several in a row, and that neither touches what is told by default."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from synthetic.base import vocabulary_of
from synthetic.documents import write_documents
from synthetic.errors import SyntheticError
from synthetic.gathering import evenly, gather, in_a_row, nth
from synthetic.setup import setup_for
from synthetic.text_spec import TextSpec
from synthetic.vocabulary import Vocabulary
from theory.world import WorldSpec, make_world

WORLD = make_world(
    WorldSpec(types=2, subjects=30, never_seen=5, relations=5, answers=7, mean_exposure=14.0), 3
)
TEXT = TextSpec(biographies=0.4, gathered=0.2, in_a_row=3)


def documents(text, world=WORLD, seed=0):
    """The words of every document."""
    vocabulary = Vocabulary.of(world, text)
    told = write_documents(world, text, vocabulary, seed)
    return [vocabulary.decode(told[i]) for i in range(len(told))]


def biographies(text, world=WORLD, seed=0):
    """Document by document of biographies: each one's subject and facts, read word by word."""
    subjects = {world.subject_name(i): i for i in range(world.spec.n_subjects)}
    facts = {world.triple(i): i for i in range(len(world))}
    relations = {world.relation_name(i) for i in range(world.spec.n_relations)}
    found = []
    for body in documents(text, world, seed):
        words = body.removeprefix("<s> ").removesuffix(" </s>")
        if not words.startswith("about "):
            continue
        row = []
        for one in words.removeprefix("about ").split(" about "):
            name, _, lines = one.partition(" :")
            said = []
            for line in lines.strip().removesuffix(" .").split(" . "):
                relation, _, answer = line.partition(" is ")
                assert relation in relations
                said.append(facts[name, relation, answer])
            row.append((subjects[name], said))
        found.append(row)
    return found


def test_what_is_told_by_default_is_what_was_always_told():
    """Every byte of the text that a base of the default laboratory reads."""
    setup = setup_for("quick")
    assert (setup.text.gathered, setup.text.in_a_row) == (0.0, 1)
    world = make_world(setup.world, 120)
    told = write_documents(world, setup.text, vocabulary_of(setup, world), 120)
    digest = hashlib.sha256()
    for array in (told.tokens, told.scored, told.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    assert world.fingerprint == "ee0e71903488cfc96358a8d914a47f86de21943d84ef7991d2f6748533273cb4"
    assert digest.hexdigest() == "2935b2890c065673dcf93baec79a50aa58073ab447deb4568f35ea7112d7edaa"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("text", [TEXT, replace(TEXT, gathered=0.5, in_a_row=2), replace(TEXT, gathered=1.0)])
def test_no_fact_stands_twice_in_a_text_and_no_subject_twice_in_a_document(text, seed):
    longest = 0
    for row in biographies(text, seed=seed):
        who = [subject for subject, _ in row]
        assert len(set(who)) == len(who) <= text.in_a_row
        assert len(set(WORLD.subject_type[who])) == 1
        for subject, said in row:
            assert len(set(said)) == len(said)
            assert set(WORLD.subject[said]) == {subject}
            assert (WORLD.exposure[said] > 0).all()
        longest = max(longest, len(row))
    assert longest == text.in_a_row


@pytest.mark.parametrize("in_a_row", [1, 3])
@pytest.mark.parametrize("gathered", [0.0, 0.2, 1.0])
def test_every_fact_is_stated_as_often_as_its_exposure_says(gathered, in_a_row):
    only = TextSpec(
        **dict.fromkeys(("statements", "lists", "questions", "thoughts", "verifications", "links"), 0.0),
        biographies=1.0,
        gathered=gathered,
        in_a_row=in_a_row,
    )
    counted = Counter(fact for row in biographies(only) for _, said in row for fact in said)
    assert counted == {i: count for i, count in enumerate(WORLD.exposure.tolist()) if count}
    mixed = replace(TEXT, gathered=gathered, in_a_row=in_a_row)
    plain = replace(mixed, gathered=0.0, in_a_row=1)
    by_subject, usual = (
        Counter(subject for row in biographies(text) for subject, said in row for _ in said)
        for text in (mixed, plain)
    )
    assert by_subject == usual  # as much about each subject as without, only other facts


def test_all_lengths_up_to_all_facts_occur_and_the_share_makes_them_longer():
    share = {}
    for gathered in (0.0, 0.2, 0.5, 1.0):
        sizes = [len(said) for row in biographies(replace(TEXT, gathered=gathered)) for _, said in row]
        share[gathered] = np.bincount(sizes, minlength=6)[1:6] / len(sizes)
    assert share[0.2].min() > 0.02
    means = [(np.arange(1, 6) * found).sum() for found in share.values()]
    assert means == sorted(means)
    assert means[0] < 2 < means[1]


def test_what_is_told_of_a_subject_is_told_evenly():
    rng = np.random.default_rng(0)
    mentions = rng.permutation(np.repeat(np.arange(len(WORLD)), WORLD.exposure))
    told = mentions[: len(mentions) // 3]
    taken = mentions[evenly(WORLD, mentions, told, rng)]
    wanted = np.bincount(WORLD.subject[told], minlength=WORLD.spec.n_subjects)
    assert (np.bincount(WORLD.subject[taken], minlength=WORLD.spec.n_subjects) == wanted).all()
    times = np.bincount(taken, minlength=len(WORLD))
    assert (times <= WORLD.exposure).all()
    for subject in range(WORLD.spec.n_subjects):
        own = np.flatnonzero(WORLD.subject == subject)
        most = times[own].max()
        assert (times[own] >= np.minimum(WORLD.exposure[own], most - 1)).all()
    assert (times != np.bincount(told, minlength=len(WORLD))).any()


def test_texts_are_gathered_by_the_share_and_never_longer_than_allowed():
    facts = np.repeat(np.arange(8), [6, 6, 6, 6, 9, 2, 1, 0])
    subjects = facts // 4
    for least, longest in ((0.2, 4), (0.5, 4), (1.0, 4), (1.0, 2)):
        rng = np.random.default_rng(5)
        text, place = gather(subjects, facts, least, longest, rng)
        sizes = []
        for number in np.unique(text):
            some = text == number
            assert len(set(subjects[some])) == 1
            assert len(set(facts[some])) == some.sum() <= longest
            assert sorted(place[some]) == list(range(some.sum()))
            sizes.append((int(subjects[some][0]), int(some.sum())))
        first = [size for subject, size in sizes if subject == 0]
        if least == 1.0:
            assert set(first) == {longest}
            assert max(size for subject, size in sizes if subject == 1) == min(3, longest)
        assert len([1 for subject, _ in sizes if subject == 1]) >= 9  # its most told fact asks for as many
    assert nth(np.array([3, 1, 3, 3, 1])).tolist() == [0, 0, 1, 2, 1]


def test_rows_of_texts_are_of_every_length_about_different_subjects_of_a_type():
    rng = np.random.default_rng(1)
    subjects = rng.integers(0, 6, 600)
    document, place = in_a_row(subjects, subjects // 3, 3, rng)
    sizes = Counter()
    for number in np.unique(document):
        some = document == number
        assert len(set(subjects[some])) == some.sum()
        assert len(set(subjects[some] // 3)) == 1
        assert sorted(place[some]) == list(range(some.sum()))
        sizes[int(some.sum())] += 1
    assert set(sizes) == {1, 2, 3}
    alone, _ = in_a_row(subjects, subjects // 3, 1, rng)
    assert sorted(alone) == list(range(600))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gathered": 1.5}, "gathered is 1.5; give a share from 0 to 1"),
        ({"gathered": float("nan")}, "gathered is nan"),
        ({"in_a_row": 0}, "in_a_row is 0; give a whole number of at least 1"),
        ({"in_a_row": 2.0}, "in_a_row is 2.0"),
        ({"in_a_row": 2, "biography_head": "{s} :"}, "begin it with a word that no line has"),
        ({"in_a_row": 2, "biography_head": "is {s} :"}, "begin it with a word that no line has"),
    ],
)
def test_nonsense_is_refused(fields, message):
    with pytest.raises(SyntheticError, match=r"^[^\n]*$") as error:
        TextSpec(**fields)
    assert message in str(error.value)
    TextSpec(biography_head="is {s} :")  # alone it may begin as it likes
