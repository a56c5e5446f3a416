"""The scorer against people: what agrees and what does not, on made-up labels and on FActScore's."""

import json

import numpy as np
import pytest

from realmodels import bios_agree as agree
from realmodels.bios_judge import Question
from realmodels.bios_report import render_agreement
from realmodels.bios_split import by_rules, by_sentences
from realmodels.errors import RealmodelsError
from theory.probe import auroc

NAMES = [f"Person {i}" for i in range(24)]


def labelled(folder, system, share, extra=()):
    """Everyone is a poet, which is true, and lived in towns, which for `share` of the people is true."""
    rows = []
    for i, name in enumerate(NAMES):
        right = i < share * len(NAMES)
        facts = [("is a poet", "S"), (f"lived in Town{i}", "S" if right else "NS"), ("is old", "IR")]
        rows.append(
            {
                "topic": name,
                "input": "",
                "output": " ".join(f"{name} {text}." for text, _ in facts),
                "cat": ["rare" if i % 2 else "freq", "Asia"],
                "annotations": [
                    {
                        "text": "t",
                        "human-atomic-facts": [
                            {"text": f"{name} {t}.", "label": label} for t, label in facts
                        ],
                        "model-atomic-facts": [{"text": f"{name} is a poet."}],
                    }
                ],
            }
        )
    (folder / f"{system}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, *extra]))


@pytest.fixture
def folder(tmp_path):
    for system, share in (("one", 1.0), ("two", 0.5), ("three", 0.25)):
        labelled(tmp_path, system, share)
    return tmp_path


def test_made_up_people(folder):
    labelled(
        folder, "one", 1.0, [{"topic": "Q", "output": "Sorry.", "cat": ["rare", "Asia"], "annotations": None}]
    )
    bios = agree.read_labelled(folder)
    assert agree.systems(bios) == ("one", "three", "two")
    assert len(bios) == 3 * len(NAMES)  # the abstention is left out
    found = agree.compare(bios, by_rules, "all")
    ours = next(c for c in found.coverage if c.name == "our claims")
    assert (ours.precision[0], ours.recall[0]) == (1.0, 1.0)
    made = next(c for c in found.coverage if c.name.startswith("InstructGPT") and c.name.endswith("two"))
    assert (made.claims, made.precision[0], made.recall[0]) == (len(NAMES), 1.0, pytest.approx(1 / 3))
    human, moved, *_ = found.rankings
    assert human.scores == pytest.approx({"one": 1.0, "two": 0.75, "three": 0.625})
    assert moved.scores == pytest.approx(human.scores)
    assert (human.order, human.same_order, human.pairs_agreeing) == (("one", "two", "three"), True, 3)
    always = found.agreements[0]
    assert always.accuracy[0] == pytest.approx((2 + 1.5 + 1.25) / 6)
    assert always.auroc[0] == 0.5
    text = render_agreement(found)
    assert "always supported" in text
    assert json.dumps(agree.PARTS)


def test_overlap_never_sees_the_system_it_judges(folder):
    bios = agree.read_labelled(folder)
    two = next(
        b for b in bios if b.system == "two" and b.person.name == NAMES[20]
    )  # town untrue for two and three
    assert agree.others_facts(two, bios) == [
        f"{NAMES[20]} is a poet.",
        f"{NAMES[20]} lived in Town20.",
        f"{NAMES[20]} is a poet.",
    ]
    one = next(b for b in bios if b.system == "one" and b.person.name == NAMES[20])
    assert agree.others_facts(one, bios) == [f"{NAMES[20]} is a poet."] * 2
    scores = agree.overlap_scores([one], [["He lived in Town20."]], bios)[0]
    assert scores[0] < 1.0


def test_the_parts_are_apart_and_together_everyone(folder):
    bios = agree.read_labelled(folder)
    apart = [{b.person.name for b in agree.in_part(bios, part)} for part in ("held-out", "development")]
    assert not apart[0] & apart[1]
    assert apart[0] | apart[1] == set(NAMES)
    assert {b.person.name for b in agree.in_part(bios, "all")} == set(NAMES)
    with pytest.raises(RealmodelsError, match="--people"):
        agree.in_part(bios, "test")


def test_the_threshold_is_the_best_there_is():
    rng = np.random.default_rng(1)
    right = rng.random(80) < 0.5
    scores = np.round(rng.random(80) + 0.3 * right, 2)
    edge = agree.best_threshold(scores, right)
    tried = [((scores > e) == right).mean() for e in np.linspace(-0.1, 1.5, 400)]
    assert ((scores > edge) == right).mean() == pytest.approx(max(tried))


def test_agreement_is_accuracy_kappa_and_auroc(folder):
    bios = agree.in_part(agree.read_labelled(folder), "all")
    right = [np.array([yes for _, yes in bio.judged]) for bio in bios]
    rng = np.random.default_rng(0)
    scores = [rng.random(len(own)) + own for own in right]
    found = agree.agreement("x", scores, right, bios, 1.0)
    assert found.accuracy[0] == 1.0
    assert found.kappa == pytest.approx(1.0)
    assert found.auroc[0] == found.within == 1.0
    noise = agree.agreement("x", [rng.random(len(own)) for own in right], right, bios, 0.5)
    said, true = np.concatenate(scores), np.concatenate(right)
    assert auroc(said, true) == 1.0
    assert abs(noise.kappa) < 0.25
    assert noise.accuracy[1] < noise.accuracy[0] < noise.accuracy[2]


def test_a_sample_is_balanced_spread_and_the_same_again(folder):
    bios = agree.read_labelled(folder)
    found = agree.sample(bios, 10, True, bios)
    assert found == agree.sample(bios, 10, True, bios)
    by_system = {s: [(b, q, yes) for b, q, yes in found if b.system == s] for s in agree.systems(bios)}
    assert {s: sum(yes for *_, yes in own) for s, own in by_system.items()} == {
        "one": 5,
        "two": 5,
        "three": 5,
    }
    assert len({b.person.name for b, _, yes in by_system["two"] if yes}) == 5
    assert all(isinstance(q, Question) and "poet" in q.passage for _, q, _ in found)
    told = agree.agreement_of_sample("j", found, [1.0 if yes else -1.0 for *_, yes in found])
    assert told.accuracy[0] == 1.0
    assert agree.sample(bios, 10, False, bios)[0][1].passage is None


def test_ranking_counts_pairs_and_resamples():
    people = {"a": {"x": 0.9, "y": 0.8}, "b": {"x": 0.5, "y": 0.4}, "c": {"x": 0.1, "y": 0.2}}
    turned = {"a": {"x": 0.1, "y": 0.1}, "b": {"x": 0.5, "y": 0.5}, "c": {"x": 0.9, "y": 0.9}}
    assert agree.ranking("r", people, people).resampled == 1.0
    found = agree.ranking("r", turned, people)
    assert (found.order, found.same_order, found.pairs_agreeing, found.resampled) == (
        ("c", "b", "a"),
        False,
        0,
        0.0,
    )


def test_folders_without_systems_are_refused(tmp_path):
    with pytest.raises(RealmodelsError, match="is no folder"):
        agree.read_labelled(tmp_path / "x")
    labelled(tmp_path, "one", 0.5)
    with pytest.raises(RealmodelsError, match="two systems at least"):
        agree.read_labelled(tmp_path)


@pytest.mark.slow
def test_factscore_held_out(data):
    """What README states, with its tolerance; and that splitting is better than whole sentences."""
    bios = agree.read_labelled(data / "factscore")
    assert agree.systems(bios) == ("ChatGPT", "InstructGPT", "PerplexityAI")
    assert len(bios) == 157 + 182 + 166 - 9  # answered, but without a single labelled claim
    found = agree.compare(bios, by_rules)
    assert found.people == 120
    cover = {c.name: c for c in found.coverage}
    assert cover["our claims"].precision[0] == pytest.approx(0.71, abs=0.02)
    assert cover["our claims"].recall[0] == pytest.approx(0.56, abs=0.02)
    assert cover["whole sentences"].recall[0] < 0.1
    ranks = {r.name: r for r in found.rankings}
    assert ranks["people's labels, on our claims that match theirs"].same_order
    assert not ranks[
        "overlap, on our claims"
    ].same_order  # the best system is judged by what lesser ones know
    overlap = found.agreements[-1]
    assert overlap.auroc[1] > 0.65
    whole = agree.compare(agree.in_part(bios, "development"), by_sentences, "development")
    assert whole.coverage[0].recall[0] == whole.coverage[4].recall[0]
