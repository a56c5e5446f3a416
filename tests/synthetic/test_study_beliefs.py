from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from tinylab import SEEDS, check_names, tiny

from synthetic import belief_exams, free_statements, long_form, text_sets
from synthetic.beliefs import Claims, states_of
from synthetic.biographies import true_claims
from synthetic.long_form import Written, tuning
from synthetic.preference import CONTROL, PAIRS, log_likelihood, pairs, preferred, read_on
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split
from synthetic.studies import beliefs
from synthetic.studies.beliefs import desk_of
from synthetic.text_sets import SAMPLES, Library, text_set
from theory.claims.scoreboard import evaluate
from theory.probe import fit_probe
from theory.table import Table

TINY = tiny(
    world={"never_seen": 8, "mean_exposure": 36.0},
    tune={"epochs": DEFAULT.tune.epochs, "batch": DEFAULT.tune.batch},
    text=replace(
        DEFAULT.text,
        statements=0.4,
        biographies=0.5,
        lists=0.0,
        questions=0.1,
        thoughts=0.0,
        verifications=0.05,
    ),
    shape=Shape(width=48, layers=1, heads=2, hidden=64, context=128),
    pretrain=replace(DEFAULT.pretrain, rate=8e-3, batch=4),
)
CLAIMS = ("D1", "D2", "D3", "D4", "D5", "U4", "X6")


@pytest.fixture(scope="module", autouse=True)
def _small():
    """A tiny base is sure of little, and what is swept takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_sets, "THRESHOLD", 0.6)
        patch.setattr(free_statements, "TOKENS", 2000)
        patch.setattr(free_statements, "MENTIONS", (2.0,))
        patch.setattr(long_form, "BATCH", 4)
        yield


@pytest.fixture(scope="module")
def records(cache):
    """Of each seed; all arms in the first, the brief ones in the others."""
    return {
        seed: list(beliefs.run(replace(TINY, brief=seed > 0), seed, cache, lambda *_: None)) for seed in SEEDS
    }


@pytest.fixture(scope="module")
def desk(cache):
    return desk_of(TINY, 0, cache)


@pytest.fixture(scope="module")
def found(desk):
    return Library(desk)


def value(records, **where):
    (found,) = [r for r in records if all(getattr(r, name) == wanted for name, wanted in where.items())]
    return found.value


def test_every_claim_of_the_study_finds_its_rows(records):
    board = evaluate(Table.from_records([r for some in records.values() for r in some]), CLAIMS)
    assert [v.claim.id for v in board.verdicts] == list(CLAIMS)
    for verdict in board.verdicts:
        assert verdict.lab == "synthetic/R2-2layer"
        assert verdict.answer != "missing", verdict.reason
        assert not [part.missing for part in verdict.parts if part.missing]
        assert {part.seeds for part in verdict.parts if part.part.role == "decides"} == {len(SEEDS)}


def test_no_observation_stands_there_twice_and_all_names_are_in_the_vocabulary(records):
    check_names(records)


def test_the_arms_are_those_that_were_trained(records):
    for seed, some in records.items():
        trained = {r.trained_on for r in some if r.arm == "all"}
        arms = set(beliefs.arms(replace(TINY, brief=seed > 0)))
        assert trained == arms - {beliefs.PAIRS}
        assert (beliefs.PAIRS in arms) == ("dpo" in {r.arm for r in some}) == (seed == 0)
        assert {r.step for r in some if r.arm == "base"} == {0}


def test_a_seed_gives_the_same_records_cold_and_warm_and_whatever_was_done_before(records):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    said = []
    brief = replace(TINY, brief=True)
    again = list(beliefs.run(brief, 1, None, lambda what, share=None: said.append((what, share))))
    assert again == records[1]
    shares = [share for what, share in said if what.startswith("tuning")]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1


def test_all_sets_are_read_for_as_many_tokens(records, desk, found):
    budget = beliefs.EPOCHS * int(desk.script.documents(found.generated).lengths.sum())
    step = long_form.BATCH * long_form.ROOM
    read = {r.trained_on: r.value for r in records[0] if r.metric == "tokens_read"}
    for afterwards in ("pairs:belief", CONTROL):  # as many again
        assert 2 * budget <= read.pop(afterwards) < 2 * budget + 2 * step
    assert set(read) == set(beliefs.SETS) | set(beliefs.REPORTED)
    assert all(budget <= tokens < budget + step for tokens in read.values())


def test_sets_cut_at_random_are_as_long_as_the_believed_one(found):
    def size(name):
        texts = text_set(found, name)
        return texts.claims.sum() / (texts.claims > 0).sum()

    for name in ("gold+random", "gold+belief+random", "generated+random"):
        assert size(name) == pytest.approx(size("generated+belief"), rel=0.03), name
    assert size("better") == pytest.approx(size("generated"), rel=0.03)
    assert size("gold") == 3


def test_sets_keep_what_their_names_say(found):
    base, true = found.desk.base, found.true
    assert true_claims(base, text_set(found, "gold")).all()
    assert true_claims(base, text_set(found, "gold+random")).all()
    supported = text_set(found, "generated+support")
    assert true_claims(base, supported).all()
    assert len(supported.of) == true.sum()
    assert len(text_set(found, "generated+belief").of) == (found.belief > 0.6).sum()
    both = text_set(found, "generated+belief+support")
    assert len(both.of) == (true & (found.belief > 0.6)).sum()
    probed = text_set(found, "generated+belief:probe")
    assert len(probed.of) == len(found.believed.of)
    with pytest.raises(Exception, match="'gold\\+hope' is not known"):
        text_set(found, "gold+hope")


def test_the_first_text_of_each_subject_is_the_first(found):
    first, own = text_set(found, "generated:first"), found.own
    assert (first.subject == found.desk.learnt).all()
    for i in range(len(first)):
        here = (own.of == SAMPLES * i) & (own.relation >= 0)
        assert first.answer[first.of == i].tolist() == own.answer[here].tolist()
    assert first.claims.sum() < found.generated.claims.sum()


def test_the_probe_keeps_the_claims_that_it_scores_highest(found):
    """Fitted to claims about subjects of dev, which nobody reads about or is asked about."""
    base, script = found.desk.base, found.desk.script
    held = np.unique(base.world.subject[split(base).dev])
    claims = Claims(base, script.write(base.weights, held, draws=SAMPLES, seed=found.desk.draw("labels")))
    fitted = fit_probe(states_of(claims), claims.distinct(true_claims(base, claims.texts)))
    own = Claims(base, found.generated)
    score = dict(zip(map(tuple, own.triples.tolist()), fitted.logit(states_of(own)), strict=True))
    kept = text_set(found, "generated+belief:probe")
    chosen = list(zip(kept.about.tolist(), kept.relation.tolist(), kept.answer.tolist(), strict=True))
    assert 0 < len(chosen) < len(found.generated.of)
    assert min(score[one] for one in chosen) >= max(v for one, v in score.items() if one not in chosen)


def test_labels_of_the_probe_are_counted_once_or_as_often_as_they_are_said(found):
    (states, right), (all_states, all_right) = found.labelled, found.labelled_as_said
    claims = Claims(found.desk.base, found.own)
    assert len(right) == len(claims.triples) < len(all_right) == claims.well.sum()
    assert all_right.tolist() == true_claims(found.desk.base, found.own)[claims.well].tolist()
    assert {row.tobytes() for row in all_states} == {row.tobytes() for row in states}


def test_labels_that_are_needed_are_the_fewest_that_come_near_to_all(records):
    for some in records.values():
        rows = [r for r in some if r.split == "test" and r.stratum.startswith("signal=probe")]
        areas = {
            int(r.stratum.partition("labels=")[2]): r.value
            for r in rows
            if r.metric == "belief_auroc" and "labels=" in r.stratum
        }
        enough = [size for size, area in areas.items() if area >= areas[max(areas)] - belief_exams.ENOUGH]
        assert value(rows, metric="labels_needed") == min(enough)
        assert len(areas) >= 2


def test_noise_and_gaps_of_gold_are_a_dial(found):
    support = len(text_set(found, "generated+support").of)
    covered = [text_set(found, f"generated+support:coverage{share}") for share in (0.7, 0.4)]
    assert all(true_claims(found.desk.base, texts).all() for texts in covered)
    assert support > len(covered[0].of) > len(covered[1].of) > 0
    noisy = [
        true_claims(found.desk.base, text_set(found, f"generated+support:noise{share}")).mean()
        for share in (0.1, 0.3)
    ]
    assert 1 > noisy[0] > noisy[1]


@pytest.mark.parametrize("filtered", ["belief", "support"])
def test_whole_texts_are_chosen_by_their_claims(found, filtered):
    texts, own = text_set(found, f"generated+{filtered}:document"), found.own
    belief = found.own_belief if filtered == "belief" else true_claims(found.desk.base, own).astype(float)
    assert (texts.subject == found.desk.learnt).all()
    for i in range(0, len(texts), 7):
        six = [np.flatnonzero(own.of == SAMPLES * i + j) for j in range(SAMPLES)]
        longest = min(max(map(len, six)), int(found.generated.claims[i]))
        rivals = [belief[claims].mean() for claims in six if len(claims) >= longest and len(claims)]
        here = np.flatnonzero(texts.of == i)
        if rivals:
            chosen = [c for c in six if len(c) == len(here) and (own.answer[c] == texts.answer[here]).all()]
            assert max(belief[c].mean() for c in chosen) == pytest.approx(max(rivals))


def test_a_better_informed_model_writes_more_that_is_true(desk, monkeypatch):
    monkeypatch.setattr(text_sets, "READINGS", 80)
    found, base = Library(desk), desk.base
    assert true_claims(base, found.better).mean() > true_claims(base, found.generated).mean() + 0.2


def test_nobody_is_both_learnt_about_and_asked_about(desk):
    uses, world = split(desk.base), desk.base.world
    for subjects in desk.asked.values():
        assert not set(subjects) & set(desk.learnt)
    assert set(world.subject_type[desk.asked["ood-type"]]) == {TINY.world.types - 1}
    assert set(world.subject[uses.test]) == set(desk.asked["test"])


def test_what_is_read_and_what_is_written_are_measured_by_the_truth(records, desk, found):
    rows = [r for r in records[0] if r.trained_on == "generated" and r.arm == "all"]
    assert value(rows, split="train", metric="claim_precision") == pytest.approx(found.true.mean())
    step = max(r.step for r in rows)
    texts = long_form.learn(desk, "generated", found.generated, beliefs.EPOCHS * int(
        desk.script.documents(found.generated).lengths.sum()))  # fmt: skip
    assert texts.stamp.step == step
    said = long_form.recite(
        desk, texts.weights, desk.asked["test"], beliefs.DRAWS, 1.0, desk.draw("recite", "test")
    )
    true = true_claims(desk.base, said)
    here = {r.metric: (r.value, r.n) for r in rows if r.split == "test"}
    assert here["claim_precision"] == (pytest.approx(true.mean()), len(true))
    assert here["claims"] == (pytest.approx(len(true) / len(said)), len(said))
    distinct = {(t, r) for t, r in zip(said.of[true], said.relation[true], strict=True)}
    assert here["true_claims"] == (pytest.approx(len(distinct) / len(said)), len(said))
    assert here["claim_recall"] == (pytest.approx(len(distinct) / (3 * len(said))), 3 * len(said))


def test_signals_of_all_kinds_are_judged_on_both_splits(records):
    for some in records.values():
        for name in ("test", "ood-type"):
            areas = {r.stratum: r.value for r in some if r.metric == "belief_auroc" and r.split == name}
            kinds = ("probe", "statement", "token", "question", "consistency", "verification")
            assert {f"signal={kind}" for kind in kinds} <= set(areas)
            assert areas["signal=statement"] > 0.6
            labels = max(int(s.partition("labels=")[2]) for s in areas if "labels=" in s)
            assert areas[f"signal=probe,labels={labels}"] == areas["signal=probe"]


def test_the_bins_of_belief_hold_all_claims_and_make_up_the_calibration_error(records):
    for some, split_name in product(records.values(), ("test", "ood-type")):
        here = {(r.metric, r.stratum): r for r in some if r.split == split_name and r.arm == "base"}
        errors = {stratum: r for (metric, stratum), r in here.items() if metric == "belief_calibration_error"}
        assert len(errors) == 7
        for signal, error in errors.items():
            bins = {
                s: r for (m, s), r in here.items() if m == "belief_bin_true" and s.startswith(f"{signal},")
            }
            off = 0.0
            for stratum, true in bins.items():
                mean, k = here["belief_bin_mean", stratum], int(stratum.partition("bin=")[2])
                assert (k - 1) / 10 - 1e-9 <= mean.value <= k / 10 + 1e-9
                assert 0 <= true.value <= 1
                assert mean.n == true.n
                off += true.n * abs(mean.value - true.value)
            assert sum(true.n for true in bins.values()) == error.n
            assert off / error.n == pytest.approx(error.value)


def test_a_base_that_believes_nothing_leaves_out_what_it_cannot_choose(monkeypatch, cache):
    monkeypatch.setattr(text_sets, "THRESHOLD", 2.0)
    monkeypatch.setattr(beliefs, "SETS", ("generated+belief", "gold+random", "generated"))
    found = list(beliefs.run(replace(TINY, brief=True), 0, cache, lambda *_: None))
    assert {r.trained_on for r in found} == {"none", "generated"}


def test_the_prompt_with_texts_shows_gold_about_subjects_of_no_other_use(desk, monkeypatch):
    shown = []

    def look(_, __, stamp, draws, before=None):
        shown.append((stamp.prompt, before))
        return iter(())

    monkeypatch.setattr(belief_exams, "examined", look)
    assert not list(belief_exams.without_tuning(desk, 1))
    (native, nothing), (few, before) = shown
    assert (native, nothing, few) == ("zero", None, "few:2")
    words = desk.base.vocabulary.decode(before[1])
    assert words.count("about") == 2
    assert words.count(" is ") == 6
    assert "</s>" not in words


def both_sides(desk, found):
    """The better and the worse believed texts with their heads, and how a network hears either on average."""
    sides = [desk.script.sequences(texts.keep(texts.relation >= 0)) for texts in pairs(found)]

    def heard(weights):
        with torch.inference_mode():
            return [
                float(log_likelihood(weights, desk.base.spec, whole, np.array(heads)).mean())
                for whole, heads in sides
            ]

    return sides, heard


def test_preference_moves_towards_the_better_believed_text_for_as_long_as_it_was_told(desk, found):
    """Whether it does, and by how many tokens, is worked out here from the pairs themselves."""
    sides, heard = both_sides(desk, found)
    start = Written(desk.stamp, desk.base.weights, 0)

    def margin(weights):
        high, low = heard(weights)
        return high - low

    lengths = sorted(len(high) + len(low) for high, low in zip(*(w for w, _ in sides), strict=True))
    budget = int(2.5 * sum(lengths))
    tuned = preferred(desk, found, start, budget)
    assert margin(tuned.weights) > margin(start.weights) + 0.1
    assert budget <= tuned.tokens < budget + sum(lengths[-PAIRS:])
    assert tuned.stamp.step >= 3
    assert (tuned.stamp.arm, tuned.stamp.trained_on) == ("dpo", "pairs:belief")


def test_what_preference_is_held_against_reads_the_preferred_texts_alone_for_as_long(desk, found):
    """By likelihood of each side, and by the tokens that were read; the other side gains by less."""
    sides, heard = both_sides(desk, found)
    start = Written(desk.stamp, desk.base.weights, 0)
    budget = 4 * sum(map(len, sides[0][0]))
    read = read_on(desk, found, start, budget)
    before, after = heard(start.weights), heard(read.weights)
    assert after[0] > before[0] + 0.1
    assert after[0] - before[0] > after[1] - before[1]
    assert budget <= read.tokens < budget + 16 * 64
    assert (read.stamp.arm, read.stamp.trained_on) == ("all", CONTROL)


def test_a_probe_is_tried_with_other_penalties_too(records):
    some = [r for r in records[0] if r.split == "test" and "signal=probe,ridge=" in r.stratum]
    tried = {float(r.stratum.partition("ridge=")[2]): r.value for r in some}
    assert set(tried) == set(belief_exams.RIDGES)
    assert len(set(tried.values())) > 1
    assert all(0 < area < 1 for area in tried.values())


def test_tuning_is_gentler_than_on_questions(desk):
    assert tuning(desk.base).rate == pytest.approx(0.3 * TINY.tune.rate)
    assert beliefs.cost_seconds(TINY) < beliefs.cost_seconds(DEFAULT)


@pytest.mark.parametrize(
    ("name", "make", "arm"), [("pairs:belief", preferred, "dpo"), (CONTROL, read_on, "all")]
)
def test_what_comes_afterwards_starts_where_own_text_has_led(records, desk, found, name, make, arm):
    """What the study records of it is what follows from the network tuned on `generated`, and not from the base."""
    budget = beliefs.EPOCHS * int(desk.script.documents(found.generated).lengths.sum())
    rows = [r for r in records[0] if (r.trained_on, r.arm) == (name, arm)]
    start = long_form.learn(desk, "generated", found.generated, budget)

    def written(first):
        after = make(desk, found, first, budget)
        return {(r.split, r.metric): r.value for r in long_form.examined(desk, after.weights, after.stamp, 3)}

    recorded = {(r.split, r.metric): r.value for r in rows if r.metric != "tokens_read"}
    assert written(start) == recorded
    assert written(Written(desk.stamp, desk.base.weights, start.tokens)) != recorded


def test_where_no_texts_differ_in_belief_nothing_is_learnt_from_pairs(monkeypatch, cache):
    none = Library.own_belief.func  # all claims of all texts as likely
    monkeypatch.setattr(Library, "own_belief", property(lambda found: 0 * none(found)))
    monkeypatch.setattr(beliefs, "SETS", ("generated",))
    monkeypatch.setattr(beliefs, "REPORTED", ())
    monkeypatch.setattr(beliefs, "sweep", lambda *_: ())
    found = list(beliefs.run(TINY, 0, cache, lambda *_: None))
    assert {r.trained_on for r in found} == {"none", "generated"}
