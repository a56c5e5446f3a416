from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import base as module
from synthetic.asking import asked
from synthetic.base import base
from synthetic.cache import address, kept
from synthetic.errors import SyntheticError
from synthetic.prompts import ask
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split, stated

TINY = replace(
    DEFAULT,
    world=replace(DEFAULT.world, subjects=60, never_seen=8, answers=8, mean_exposure=4.0),
    shape=Shape(width=16, layers=1, heads=2, hidden=24),
    shots_from=0.1,
    dev=0.1,
)


@pytest.fixture(scope="module")
def tiny():
    return base(TINY, 3)


def test_the_same_setup_and_seed_give_the_same_base(tiny):
    again, other = base(TINY, 3), base(TINY, 4)
    assert again.world == tiny.world
    assert again.vocabulary == tiny.vocabulary
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in tiny.weights.items())
    assert not all(
        torch.equal(a, b)
        for a, b in zip(other.weights.values(), tiny.weights.values(), strict=True)
        if a.shape == b.shape
    )


def test_what_is_kept_is_what_was_made_and_is_not_made_again(tiny, tmp_path, monkeypatch):
    first = base(TINY, 3, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("base-")
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("pretrained again"))
    second = base(TINY, 3, tmp_path)
    for name, tensor in tiny.weights.items():
        assert torch.equal(tensor, first.weights[name])
        assert torch.equal(tensor, second.weights[name])
    assert second.spec == tiny.spec


def test_only_what_decides_a_base_names_its_file():
    def name(setup, seed=3):
        return address(module.base_key(setup, seed), "synthetic.base")

    same = [
        TINY,
        replace(TINY, tune=replace(TINY.tune, epochs=3)),
        replace(TINY, prompts=3),
        replace(TINY, rung="R1-mlp"),
    ]
    others = [
        replace(TINY, world=replace(TINY.world, answers=9)),
        replace(TINY, text=replace(TINY.text, lists=0.5)),
        replace(TINY, shape=replace(TINY.shape, width=32)),
        replace(TINY, pretrain=replace(TINY.pretrain, rate=1e-3)),
        replace(TINY, question="please {r} {s} reply"),
    ]
    assert len({name(setup) for setup in same}) == 1
    assert len({name(setup) for setup in (TINY, *others)} | {name(TINY, 4)}) == len(others) + 2


def test_a_damaged_file_is_said_and_not_used(tmp_path):
    base(TINY, 3, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-5] + b"xxxxx")
    with pytest.raises(SyntheticError, match="damaged") as error:
        base(TINY, 3, tmp_path)
    assert str(path) in str(error.value)
    path.write_bytes(content[:200])
    with pytest.raises(SyntheticError, match="damaged"):
        base(TINY, 3, tmp_path)


def test_a_file_of_other_content_is_refused(tmp_path):
    kept(tmp_path, "base", module.base_key(TINY, 3), module.__name__, lambda: {"losses": np.zeros(2)})
    with pytest.raises(SyntheticError, match="other tensors"):
        base(TINY, 3, tmp_path)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    import hashlib

    kept(tmp_path, "x", {}, "synthetic.cache", lambda: {"a": np.arange(3)})
    (path,) = tmp_path.iterdir()
    path.write_bytes(hashlib.sha256(b"hello").hexdigest().encode() + b"hello")
    with pytest.raises(SyntheticError, match="cannot be read"):
        kept(tmp_path, "x", {}, "synthetic.cache", dict)


def test_nothing_is_left_behind_when_making_fails(tmp_path):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        kept(tmp_path, "x", {}, "synthetic.cache", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_fine_tuning_are_in_the_vocabulary_but_not_in_pretraining(tiny):
    assert set(TINY.words()) <= set(tiny.vocabulary.words)
    clash = tiny.world.relation_name(0)
    with pytest.raises(SyntheticError, match="is a name of the world"):
        base(replace(TINY, abstention=clash), 3)


def test_names_are_spelled_as_the_world_spells_them(tiny):
    decode = tiny.vocabulary.decode
    assert [decode(t) for t in tiny.names.subjects] == [
        tiny.world.subject_name(i) for i in range(tiny.world.spec.n_subjects)
    ]
    assert decode(tiny.names.answers[5]) == tiny.world.answer_name(5)
    assert decode(tiny.names.relations[2]) == tiny.world.relation_name(2)


@pytest.mark.parametrize("template", [None, "the {r} of {s} is", "{s} has {r}"])
def test_questions_are_those_that_are_spelled_fact_by_fact(tiny, template):
    facts = np.arange(0, len(tiny.world), 7)
    slow = ask(tiny.world, TINY.text, tiny.vocabulary, facts, template or TINY.question)
    fast = asked(tiny, facts, template)
    assert fast.prompts == slow.prompts
    assert fast.answers == slow.answers
    assert fast.end == slow.end
    assert np.array_equal(fast.facts, slow.facts)
    assert np.array_equal(fast.relation, slow.relation)


def test_no_subject_serves_two_purposes(tiny):
    uses, world = split(tiny), tiny.world
    subjects = {
        name: set(world.subject[getattr(uses, name)].tolist())
        for name in ("train", "dev", "test", "shots", "unseen", "unseen_train")
    }
    names = list(subjects)
    for i, one in enumerate(names):
        assert subjects[one], one
        for other in names[i + 1 :]:
            assert not subjects[one] & subjects[other], (one, other)
    test_like = set(world.subject[np.concatenate([uses.ood_relation, uses.test])].tolist())
    assert test_like == subjects["test"]
    assert (
        not set(world.subject[uses.ood_type].tolist()) & set().union(*subjects.values()) - subjects["shots"]
    )


def test_relations_and_types_are_held_out(tiny):
    uses, world, spec = split(tiny), tiny.world, tiny.world.spec
    trained = spec.types - TINY.foreign
    assert len(uses.relations) == trained * (spec.relations - TINY.held_out)
    assert len(uses.held_out) == trained * TINY.held_out
    for name in ("train", "dev", "test", "unseen", "unseen_train"):
        assert set(world.relation[getattr(uses, name)].tolist()) == set(uses.relations.tolist()), name
    assert set(world.relation[uses.ood_relation].tolist()) == set(uses.held_out.tolist())
    assert (world.base_relation[uses.held_out] < 0).all()
    foreign = world.relation_type[world.relation[uses.ood_type]]
    assert set(foreign.tolist()) == set(range(trained, spec.types))
    assert not world.seen[world.subject[np.concatenate([uses.unseen, uses.unseen_train])]].any()
    assert world.stated[uses.shots].all()
    assert set(world.relation[uses.shots].tolist()) == set(range(spec.n_relations))


def test_withheld_facts_are_split_too_and_can_be_left_out(tiny):
    uses = split(tiny)
    assert not tiny.world.stated[uses.test].all()
    some = stated(tiny, uses.test)
    assert tiny.world.stated[some].all()
    assert len(some) == tiny.world.stated[uses.test].sum()


def test_shares_are_as_asked_and_alike_at_every_popularity(tiny):
    uses, world = split(tiny), tiny.world
    shares = {"shots": TINY.shots_from, "dev": TINY.dev, "test": TINY.test}
    ranks = {}
    for name, share in shares.items():
        subjects = np.unique(world.subject[getattr(uses, name)])
        subjects = subjects[world.subject_type[subjects] < world.spec.types - TINY.foreign]
        assert len(subjects) == pytest.approx(share * 3 * TINY.world.subjects, abs=4), name
        ranks[name] = world.popularity_rank[subjects].mean()
    middle = (TINY.world.subjects + 1) / 2
    assert all(rank == pytest.approx(middle, rel=0.12) for rank in ranks.values()), ranks


def test_splits_follow_from_the_seed(tiny):
    again = split(base(TINY, 3))
    assert all(
        np.array_equal(a, b) for a, b in zip(vars(again).values(), vars(split(tiny)).values(), strict=True)
    )
    assert not np.array_equal(again.test, split(base(TINY, 4)).test)


def test_a_world_that_is_too_small_is_refused():
    small = replace(TINY, world=replace(TINY.world, subjects=3))
    with pytest.raises(SyntheticError, match="too few to leave facts for"):
        split(base(small, 0))
