"""The biographies that are read before tuning, counted from their words."""

from dataclasses import replace

import numpy as np

from synthetic.base import vocabulary_of
from synthetic.documents import write_documents
from synthetic.setup import setup_for
from tests.hardening import biography_lengths
from theory.world import make_world

SEED = 120


def test_biographies_are_shorter_than_what_there_is_to_tell_of_a_subject():
    setup = setup_for("quick")
    world = make_world(setup.world, SEED)
    vocabulary = vocabulary_of(setup, world)
    told = write_documents(world, setup.text, vocabulary, SEED)
    texts = (vocabulary.decode(told[i]) for i in range(len(told)))
    slow = [text.split().count(".") for text in texts if text.split()[1] == "about"]
    claims, several = biography_lengths.lengths(setup, SEED)
    assert claims.tolist() == slow
    assert several == 0
    facts = np.bincount(world.subject)[0]
    assert facts == 5
    assert claims.min() == 1
    assert 1 < claims.mean() < 2
    assert (claims == facts).mean() < 0.001
    set_length = replace(setup.text, together=(*setup.text.together[:2], 100, setup.text.together[3]))
    assert biography_lengths.lengths(replace(setup, text=set_length), SEED)[0].tolist() == slow


def test_the_line_says_how_many_of_every_length(monkeypatch, capsys):
    claims = np.array([1, 1, 3, 2, 1])
    monkeypatch.setattr(biography_lengths, "lengths", lambda *_: (claims, 7))
    biography_lengths.main(["--profile", "quick", "--seeds", "1", "2"])
    assert capsys.readouterr().out == (
        2 * "5 biographies: 3 with 1, 1 with 2, 1 with 3; 1.60 claims each; 7 share a document\n"
    )
