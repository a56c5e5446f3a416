"""Facts split for a study, and the sets drawn from them."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from realmodels.errors import RealmodelsError
from realmodels.study_facts import halves_of, read_facts
from realmodels.study_sets import ABSTAIN, draw_sets, spread, support
from realmodels.study_settings import Settings
from theory.matching import normalize
from theory.slick import Category

RELATIONS = ("capital", "river", "maker", "sport", "food")
SMALL = Settings(rows=20, dev=None, test=None, ood=None)
SINGLES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def audited(write_audit, per=80, labels=(0.2, 0.3, 0.2, 0.3), **special):
    """Rows of every label in every relation; 7 answers a relation, subjects of their own."""
    rng = np.random.default_rng(0)
    rows = []
    for relation in RELATIONS:
        for k in range(per):
            label = rng.choice(SINGLES, p=labels)
            row = {
                "question": f"What {relation} has {relation}-{k}?",
                "answers": [f"{relation} answer {k % 7}"],
                "subject": f"{relation} subject {k}",
                "relation": relation,
            }
            rows.append(
                (
                    row,
                    {
                        "label": str(label),
                        "margin": float(rng.normal()),
                        "dominant_answer": k % 7 < 2,
                        **special,
                    },
                )
            )
    write_audit(rows)


def names_of(facts, rows):
    return {facts.audited.relations[code] for code in facts.audited.relation[rows]}


@pytest.fixture
def folder(write_audit, tmp_path):
    audited(write_audit)
    return tmp_path / "audit"


def test_no_subject_is_on_two_sides_and_held_out_relations_are_only_tested(folder):
    facts = read_facts(folder, SMALL)
    subject = facts.audited.subject
    sides = [set(subject[getattr(facts, name)].tolist()) for name in ("train", "dev", "test", "ood")]
    for i, one in enumerate(sides):
        assert one, i
        for other in sides[i + 1 :]:
            assert not one & other
    held = set(facts.held_out)
    assert len(held) == 1
    assert names_of(facts, facts.ood) == held
    for name in ("train", "dev", "test"):
        assert not held & names_of(facts, getattr(facts, name))
    assert held <= names_of(facts, facts.shots)  # solved questions there are of every relation
    assert not set(facts.shots.tolist()) & {*facts.train.tolist(), *facts.test.tolist(), *facts.ood.tolist()}


def test_the_split_follows_from_content_and_not_from_the_order_of_the_file(folder, tmp_path):
    def sides(where):
        facts = read_facts(where, SMALL)
        return {
            name: {facts.rows[i].question for i in getattr(facts, name)}
            for name in ("train", "dev", "test", "ood")
        }

    turned = tmp_path / "turned"
    turned.mkdir()
    lines = (folder / "audit.jsonl").read_text().splitlines()
    (turned / "audit.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert sides(turned) == sides(folder)


def test_sizes_are_caps_and_spread_over_relations(folder):
    facts = read_facts(folder, replace(SMALL, test=24, dev=12, ood=5))
    assert (len(facts.test), len(facts.dev), len(facts.ood)) == (24, 12, 5)
    count = np.bincount(facts.audited.relation[facts.test])
    assert count[count > 0].max() - count[count > 0].min() <= 3


def test_relations_to_hold_out_can_be_named(folder):
    facts = read_facts(folder, replace(SMALL, hold_out=("river", "food")))
    assert names_of(facts, facts.ood) == {"river", "food"}
    with pytest.raises(RealmodelsError, match=r"hold_out: unknown 'rivers'.*river"):
        read_facts(folder, replace(SMALL, hold_out=("rivers",)))
    with pytest.raises(RealmodelsError, match="leave some"):
        read_facts(folder, replace(SMALL, hold_out=RELATIONS))


def test_rows_without_a_subject_cannot_be_split(write_audit, tmp_path):
    write_audit([({"question": "Q?", "answers": ["A"], "relation": "r"}, {})])
    with pytest.raises(RealmodelsError, match="1 rows have no subject"):
        read_facts(tmp_path / "audit", SMALL)


def test_labels_say_what_the_audit_found(folder):
    facts = read_facts(folder, SMALL)
    labels = facts.labels(facts.test)
    category = facts.audited.label[facts.test]
    assert labels["category"].tolist() == [Category(c).name for c in category]
    assert (labels["known"] == "yes").tolist() == (category != Category.Unknown).tolist()
    assert (labels["dominant"] == "yes").tolist() == facts.audited.dominant[facts.test].tolist()
    assert "popularity" not in labels  # the rows have none
    assert "guessable" not in labels  # there is no summary


def test_relations_that_dealt_answers_get_half_right_are_guessable(folder):
    said = [
        {"relation": name, "accuracy_written": 0.4, "permuted": 0.2 if name == "food" else 0.1}
        for name in RELATIONS
    ]
    (folder / "summary.json").write_text(
        json.dumps({"source": {"kind": "jsonl", "columns": []}, "relations": said})
    )
    facts = read_facts(folder, replace(SMALL, hold_out=("river",)))
    names = np.array([facts.audited.relations[c] for c in facts.audited.relation[facts.test]])
    assert ((facts.labels(facts.test)["guessable"] == "yes") == (names == "food")).all()


def test_popularity_halves_are_within_relations():
    assert halves_of(np.array([0, 0, 0, 1, 1]), np.array([3.0, 1, 2, 5, 9])).tolist() == [
        "high", "low", "low", "low", "high",
    ]  # fmt: skip


@pytest.fixture
def drawn(folder):
    facts = read_facts(folder, SMALL)
    names = (
        "known",
        "unknown",
        "known-permuted",
        "best",
        "lesser",
        "whole",
        "random",
        "mix:0",
        "mix:0.25",
        "mix:0.5",
    )
    names += (
        "mix:0.75",
        "mix:1",
        "known-only:0.25",
        "idk:0.5",
        *(f"category:{name}" for name in SINGLES),
        "natural",
    )
    return facts, draw_sets(facts, names, SMALL, seed=3).sets


def relations(facts, one):
    return Counter(facts.audited.relation[one.rows].tolist())


def test_sets_are_equal_in_size_and_in_every_relation(drawn):
    facts, sets = drawn
    for group in (
        ("known", "unknown", "known-permuted", "mix:0.25", "mix:0.5", "mix:1", "idk:0.5"),
        ("best", "lesser", "random"),
        (*(f"category:{name}" for name in SINGLES), "natural"),
    ):
        counts = [relations(facts, sets[name]) for name in group]
        assert all(count == counts[0] for count in counts), group
    assert len(sets["known"]) == 20
    assert len(sets["whole"]) == 40
    assert all(np.isin(one.rows, facts.train).all() for one in sets.values())
    assert all(len(set(one.rows.tolist())) == len(one) for one in sets.values())


def test_sets_hold_what_they_are_named_for(drawn):
    facts, sets = drawn
    label = facts.audited.label
    assert (label[sets["known"].rows] >= Category.MaybeKnown).all()
    assert (label[sets["unknown"].rows] == Category.Unknown).all()
    for name in SINGLES:
        assert (label[sets[f"category:{name}"].rows] == Category[name]).all()
    for share in (0, 0.25, 0.5, 0.75, 1):
        assert (~sets[f"mix:{share:g}"].known).mean() == share
    assert set(sets["whole"].rows) == {*sets["best"].rows, *sets["lesser"].rows}
    assert set(sets["random"].rows) <= set(sets["whole"].rows)
    margin = facts.audited.scores["margin"]
    assert margin[sets["best"].rows].mean() > margin[sets["lesser"].rows].mean() + 0.5


def test_known_rows_alone_are_the_mix_without_unknown_ones_and_can_be_shared(drawn):
    _, sets = drawn
    assert sets["mix:0"].rows.tolist() == sets["known"].rows.tolist()
    assert sets["mix:0"].answers == sets["known"].answers
    assert sets["mix:1"].rows.tolist() == sets["unknown"].rows.tolist()


def test_larger_shares_contain_smaller_ones_and_deleting_leaves_the_known_rows(drawn):
    _, sets = drawn
    unknown = {share: {int(r) for r, k in zip(sets[share].rows, sets[share].known, strict=True) if not k}
               for share in ("mix:0.25", "mix:0.5", "mix:0.75", "mix:1")}  # fmt: skip
    assert unknown["mix:0.25"] < unknown["mix:0.5"] < unknown["mix:0.75"] < unknown["mix:1"]
    known = {int(r) for r, k in zip(sets["mix:0.25"].rows, sets["mix:0.25"].known, strict=True) if k}
    assert set(sets["known-only:0.25"].rows.tolist()) == known


def test_abstaining_replaces_the_answers_of_unknown_rows_alone(drawn):
    _, sets = drawn
    idk, mix = sets["idk:0.5"], sets["mix:0.5"]
    assert idk.rows.tolist() == mix.rows.tolist()
    for known, told, usual in zip(idk.known, idk.answers, mix.answers, strict=True):
        assert told == (usual if known else ABSTAIN)


def test_permuted_answers_are_false_and_from_the_same_relation(drawn):
    facts, sets = drawn
    known, permuted = sets["known"], sets["known-permuted"]
    assert permuted.rows.tolist() == known.rows.tolist()
    changed = [a != b for a, b in zip(known.answers, permuted.answers, strict=True)]
    assert np.mean(changed) > 0.8
    for relation in relations(facts, known):
        here = facts.audited.relation[known.rows] == relation
        one, other = (sorted(np.array(s.answers)[here].tolist()) for s in (known, permuted))
        assert one == other


def test_a_seed_decides_and_another_draws_others(folder):
    facts = read_facts(folder, SMALL)
    one, same, other = (draw_sets(facts, ("known", "best"), SMALL, seed).sets for seed in (5, 5, 6))
    for name in one:
        assert one[name].rows.tolist() == same[name].rows.tolist()
        assert one[name].rows.tolist() != other[name].rows.tolist()


def test_a_set_does_not_depend_on_what_else_is_asked_for(folder):
    facts = read_facts(folder, SMALL)
    alone = draw_sets(facts, ("mix:0.5",), SMALL, 4).sets["mix:0.5"]
    among = draw_sets(facts, ("best", "natural", "known", "mix:0.5"), SMALL, 4).sets["mix:0.5"]
    assert alone.rows.tolist() == among.rows.tolist()


def test_matching_on_answers_leaves_none_that_only_one_set_teaches(folder):
    settings = replace(SMALL, match=("relation", "answer"))
    facts = read_facts(folder, settings)
    sets = draw_sets(
        facts, ("known", "unknown", "known:by-relation", "unknown:by-relation"), settings, 0
    ).sets
    assert set(support(facts, facts.test, sets["known"], sets["unknown"]).tolist()) <= {"both", "neither"}
    loose = support(facts, facts.test, sets["known:by-relation"], sets["unknown:by-relation"])
    assert {"known-only", "unknown-only"} & set(loose.tolist())


def test_what_cannot_be_drawn_is_left_out_and_said(write_audit, tmp_path):
    audited(write_audit, labels=(0.0, 0.5, 0.0, 0.5))
    facts = read_facts(tmp_path / "audit", SMALL)
    found = draw_sets(facts, ("known", "category:HighlyKnown"), replace(SMALL, rows=10_000), 0)
    assert set(found.sets) == {"known"}
    assert any("category:HighlyKnown" in remark and "no row is" in remark for remark in found.remarks)
    assert any("no more can be matched" in remark for remark in found.remarks)
    with pytest.raises(RealmodelsError, match="no training set is called 'knwon'"):
        draw_sets(facts, ("knwon",), SMALL, 0)


def test_answer_support_is_by_relation(drawn):
    facts, sets = drawn
    found = support(facts, facts.test, sets["known"], sets["unknown"])
    taught = {
        name: {
            (int(facts.audited.relation[row]), normalize(answer))
            for row, answer in zip(sets[name].rows, sets[name].answers, strict=True)
        }
        for name in ("known", "unknown")
    }
    for row, word in zip(facts.test.tolist(), found.tolist(), strict=True):
        pair = (int(facts.audited.relation[row]), normalize(facts.rows[row].answers[0]))
        where = (pair in taught["known"], pair in taught["unknown"])
        assert (
            word == {(1, 1): "both", (1, 0): "known-only", (0, 1): "unknown-only", (0, 0): "neither"}[where]
        )


def test_spreading_a_share_takes_it_from_every_group():
    group = np.repeat([0, 1, 2], [40, 20, 4])
    for share in (0.25, 0.5, 0.75):
        taken = spread(group, share, np.random.default_rng(0))
        assert taken.sum() == share * 64
        for one, size in ((0, 40), (1, 20), (2, 4)):
            assert abs(taken[group == one].sum() - share * size) <= 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"rows": 1}, "rows: expected a whole number of at least 2"),
        ({"test": 0}, "test: expected a whole number"),
        ({"prompts": 0}, "prompts"),
        ({"train_share": 1.0}, "train_share: expected a share"),
        ({"train_share": 0.6, "dev_share": 0.5}, "1.1 together"),
        ({"match": ("answer",)}, "must have 'relation'"),
        ({"match": ("relation", "anser")}, "unknown 'anser'.*answer"),
        ({"by": "margn"}, "unknown score 'margn'.*margin"),
        ({"hold_out": (1,)}, "hold_out: expected names"),
        ({"looks": True}, "looks: expected a whole number"),
    ],
)
def test_settings_refuse_nonsense(more, said):
    with pytest.raises(RealmodelsError, match=said.replace("'", "['\"]")):
        Settings(**more)


def test_a_set_that_nobody_asked_for_leaves_no_remark(folder):
    facts = read_facts(folder, SMALL)
    with_it, without = (
        draw_sets(facts, names, SMALL, 10)
        for names in (("known", "unknown", "known-permuted"), ("known", "unknown"))
    )
    assert [one for one in with_it.remarks if "rows kept a right answer" in one]
    assert without.remarks == ()
    assert np.array_equal(with_it.sets["unknown"].rows, without.sets["unknown"].rows)
    large = replace(SMALL, rows=5000)
    (said,) = draw_sets(facts, ("mix:0", "mix:1"), large, 10).remarks
    assert said.startswith("known, unknown: ")
    assert (
        draw_sets(facts, ("known-permuted",), large, 10)
        .remarks[0]
        .startswith("known, unknown, known-permuted: ")
    )
