import json
from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from tinylab import SEEDS, check_names, every_other, tiny

from synthetic import prompt_hall
from synthetic.edges import Edges, by_relation, gap_follows_edges, gaps
from synthetic.errors import SyntheticError
from synthetic.exemplars import Prompt, exemplars
from synthetic.finetune import finetune, steps_of
from synthetic.generate import generate
from synthetic.graph_picture import find_relation, write_graph
from synthetic.mechanism import rank_correlation
from synthetic.prefixed import Prefixed, concluded
from synthetic.probe import score_answers
from synthetic.prompt_exams import longest_thought, pose, right
from synthetic.score import exam, say, sit
from synthetic.selections import NAMES, chosen, left_over, rank_agreement, rank_shift
from synthetic.similarity import similarity
from synthetic.split import split, stated
from synthetic.studies import prompts
from theory import graph
from theory.claims.scoreboard import evaluate
from theory.table import Table

TINY = tiny(
    world={"subjects": 45, "relations": 4, "derived": 1, "derived_answers": 3, "mean_exposure": 24.0},
    tune={"rate": 3e-3, "epochs": 4},
    shots_from=0.2,
    dev=0.2,
)
CLAIMS = ("B1", "B2", "B3", "B4", "B5", "B6")
DEALT = (prompt_hall, every_other)


@pytest.fixture(scope="module")
def records(cache):
    """Of each seed."""
    return {seed: list(prompts.run(TINY, seed, cache, lambda *_: None)) for seed in SEEDS}


@pytest.fixture(scope="module")
def hall(cache):
    return prompt_hall.make_hall(TINY, 0, cache)


@pytest.fixture(scope="module")
def shown(hall):
    return exemplars(hall.base, 3)


def some(records, **where):
    return [r for r in records if all(getattr(r, name) == wanted for name, wanted in where.items())]


def value(records, **where):
    (found,) = some(records, **where)
    return found.value


def test_every_claim_of_the_study_finds_its_rows(records):
    board = evaluate(Table.from_records([r for own in records.values() for r in own]), CLAIMS)
    assert [v.claim.id for v in board.verdicts] == list(CLAIMS)
    for verdict in board.verdicts:
        assert verdict.lab == "synthetic/R2-2layer"
        assert verdict.arm == "all"
        assert verdict.answer != "missing", verdict.reason
        assert not [part.missing for part in verdict.parts if part.missing]
        assert {part.seeds for part in verdict.parts if part.part.role == "decides"} == {len(SEEDS)}


def test_no_observation_stands_there_twice_and_all_names_are_in_the_vocabulary(records):
    check_names(records)


def test_the_arms_are_those_that_were_trained_and_brief_setups_leave_some_out(records, cache):
    for own in records.values():
        of = {(r.arm, r.trained_on) for r in own} - {
            ("base", "none"),
            ("base@instruct", "none"),
            ("all", "across"),
        }
        assert of == {
            tuple(n.split(":", 1)) if n.startswith("all@") else ("all", n) for n in prompts.arms(TINY)
        }
        assert {r.step for r in own if r.trained_on == "none"} == {0}
    brief = replace(TINY, brief=True)
    short = list(prompts.run(brief, 0, cache, lambda *_: None))
    assert {r.trained_on for r in short} - {"none", "across"} == set(prompts.arms(brief))
    assert {r.prompt for r in short} < {r.prompt for r in records[0]}
    assert prompts.cost_seconds(brief) < prompts.cost_seconds(TINY)
    board = evaluate(Table.from_records(short), CLAIMS)
    missing = {
        m for v in board.verdicts for part in v.parts if part.part.role == "decides" for m in part.missing
    }
    assert not missing


def test_a_seed_gives_the_same_records_whatever_was_done_before(records):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    told = []
    again = list(prompts.run(TINY, 0, None, lambda what, share=None: told.append(share)))
    assert again == records[0]
    shares = [share for share in told if share is not None]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1


def test_sets_are_of_one_size_and_have_as_many_rows_of_every_relation(hall):
    relation = hall.base.world.relation
    sets = [*hall.rows.values(), *(chosen(hall.pool, hall.known, name, hall.rows["known"]) for name in NAMES)]
    counts = [Counter(relation[rows.facts].tolist()) for rows in sets]
    assert all(count == counts[0] for count in counts)
    assert all(np.array_equal(rows.answers, hall.base.world.answer[rows.facts]) for rows in sets)
    held_out = np.concatenate([split(hall.base).dev, hall.graded.facts])
    subject = hall.base.world.subject
    assert all(not set(subject[rows.facts]) & set(subject[held_out]) for rows in sets)
    assert not set(left_over(hall.pool, hall.rows.values()).facts) & {f for r in sets[:2] for f in r.facts}


def test_a_method_takes_what_it_prefers_in_every_relation(hall):
    world, like = hall.base.world, hall.rows["known"]
    picked = {name: chosen(hall.pool, hall.known, name, like).facts for name in NAMES}
    assert len({tuple(facts) for facts in picked.values()}) == len(NAMES)
    score = {
        "set:exposed": world.exposure,
        "set:salient": hall.known.salience,
    }
    for name, by in score.items():
        for relation in np.unique(hall.pool.relation):
            here = hall.pool.fact[hall.pool.relation == relation]
            taken = np.isin(here, picked[name])
            assert 0 < taken.sum() < len(here)
            assert by[here[taken]].min() >= by[here[~taken]].max()
    with pytest.raises(SyntheticError, match="no way to choose rows is called 'set:best'"):
        chosen(hall.pool, hall.known, "set:best", like)


def test_all_steps_across_sets_are_one(records):
    for own in records.values():
        (step,) = {r.step for r in own if r.trained_on == "across"}
        last = {
            n: max(r.step for r in some(own, arm="all", trained_on=n)) for n in ("known", "unknown", *NAMES)
        }
        assert set(last.values()) == {step}


def test_accuracies_are_those_of_single_questions(records, hall):
    weights = finetune(hall.base, hall.rows["unknown"]).weights
    own = some(records[0], arm="all", trained_on="unknown", split="test", metric="accuracy", stratum="all")
    last = max(r.step for r in own)
    truth = hall.base.world.answer[hall.test.facts]
    for prompt, template in (("zero", None), ("own", TINY.text.question)):
        asked = exam(hall.base, "test", hall.test.facts, template=template)
        expected = (say(asked, hall.base, weights) == truth).mean()
        assert value(own, prompt=prompt, step=last) == pytest.approx(expected)
    assert {r.n for r in own} == {len(stated(hall.base, split(hall.base).test))}


@pytest.mark.parametrize(
    "name", ["zero", "own", "few:1", "few:8", "few-wrong:4", "few-unrelated:2", "few-taught:3"]
)
def test_shared_batches_mark_as_one_question_after_the_other(hall, shown, name):
    facts = hall.graded.facts[::3]
    weights = finetune(hall.base, hall.rows["known"]).weights
    posed = pose(shown, facts, name)
    found = right(posed, hall.base, weights)
    slow = []
    for fact, prefix in zip(facts, (posed.questions.prefixes[i] for i in posed.questions.of), strict=True):
        template = None if name in ("zero", "few-taught:3") else TINY.text.question
        asked = exam(hall.base, "test", [fact], template=template, prefix=prefix[1:])
        slow.append(sit(asked, hall.base, weights)[0])
    assert found.tolist() == slow
    assert right(pose(shown, facts[::-1], name), hall.base, weights)[::-1].tolist() == slow


@pytest.mark.parametrize("name", ["cot", "few-cot:2"])
def test_shared_batches_conclude_as_one_text_after_the_other(hall, shown, name):
    ground, facts = hall.base, hall.graded.facts[::5]
    posed = pose(shown, facts, name)
    eos, end = ground.vocabulary.eos, ground.vocabulary.ids["."]
    lead = tuple(ground.vocabulary.encode("so answer"))
    slow = []
    for whole, answer in zip(posed.questions.whole, posed.questions.asked.answers, strict=True):
        text = generate(ground.weights, ground.spec, [whole], most=longest_thought(ground), stop=(eos,))[0, 0]
        slow.append(concluded(text.tolist(), lead, end) == answer)
    assert right(posed, ground, ground.weights).tolist() == slow


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([5, 1, 2, 7, 8, 0, 1, 2, 9, 0], (7, 8)),  # the first conclusion
        ([7, 8, 0, 5, 5], (7, 8)),  # none: what is said at once
        ([7, 0, 1, 2, 9, 0, -1], (9,)),  # a sentence, then a conclusion
        ([1, 2, 7, 8, -1], None),  # no end
        ([5, 6], None),
        ([1, 2, 0], ()),
    ],
)
def test_what_a_text_concludes(said, answer):
    assert concluded(said, (1, 2), 0) == answer


def test_a_right_thought_is_right_and_its_conclusion_decides(hall, shown, monkeypatch):
    from synthetic import prefixed

    posed = pose(shown, hall.test.facts[:6], "cot")
    vocabulary, world = hall.base.vocabulary, hall.base.world
    texts = []
    for i, fact in enumerate(hall.test.facts[:6].tolist()):
        _, _, answer = world.triple(fact)
        other = world.answer_name(
            next(a for a in world.pool(int(world.relation[fact])) if a != world.answer[fact])
        )
        first, second = (answer, other) if i % 2 else (other, answer)
        texts.append(vocabulary.encode(f"{first} . so answer {second} ."))

    def fake(weights, spec, read, before, of, prompts, marks, most):
        order = np.argsort([len(p) for p in posed.questions.asked.prompts], kind="stable")
        return torch.tensor([(texts[i] + [-1] * 20)[:20] for i in order])

    monkeypatch.setattr(prefixed, "_continued", fake)
    assert right(posed, hall.base, hall.base.weights).tolist() == [True, False] * 3


def test_exemplars_are_what_their_names_say(hall, shown):
    ground, world = hall.base, hall.base.world
    decode, parts = ground.vocabulary.decode, split(ground)
    asked = {int(world.subject[f]) for f in np.concatenate([parts.dev, hall.graded.facts, parts.train])}
    names = {(world.subject_name(s), world.relation_name(r)): world.fact(s, r) for s, r in pairs(world)}

    def told(name, relation, draw):
        text = decode(shown.before(Prompt(name), relation, draw)).removeprefix("<s>").strip()
        pieces = [piece.split() for piece in text.removesuffix(".").split(" .")] if text else []
        found = []
        for words in pieces:
            where = words.index("answer") if "answer" in words else words.index("reply")
            middle = words[1:where]
            if "of" in middle:
                relation_, subject = middle[0], " ".join(middle[2:-1])
            else:
                relation_, subject = middle[0], " ".join(middle[1:])
            found.append((int(names[subject, relation_]), " ".join(words[where + 1 :])))
        return found

    for relation in (0, 5, world.spec.n_relations - 1):
        for draw in range(3):
            eight = told("few:8", relation, draw)
            facts = [fact for fact, _ in eight]
            assert len(set(facts)) == 8
            assert all(world.relation[fact] == relation for fact in facts)
            assert all(world.triple(fact)[2] == answer for fact, answer in eight)
            assert not asked & {int(world.subject[fact]) for fact in facts}
            here = world.stated[facts]
            assert (here[:-1] >= here[1:]).all()  # never stated ones come last
            for k in (1, 2, 4):
                assert told(f"few:{k}", relation, draw) == eight[:k]
            assert told("few-taught:4", relation, draw) == eight[:4]
            wrong = told("few-wrong:8", relation, draw)
            assert [fact for fact, _ in wrong] == facts
            own_answers = {world.answer_name(a) for a in world.pool(relation)}
            assert all(a != b for (_, a), (_, b) in zip(eight, wrong, strict=True))
            assert {answer for _, answer in wrong} <= own_answers
            (other,) = {int(world.relation[fact]) for fact, _ in told("few-unrelated:4", relation, draw)}
            assert other != relation
            assert told("few-unrelated:4", relation, draw) == told("few:4", other, draw)
    assert told("zero", 0, 0) == []


def pairs(world):
    return [(int(world.subject[f]), int(world.relation[f])) for f in range(len(world))]


def test_worked_exemplars_go_through_the_base_fact_of_a_derived_one(shown):
    world, decode = shown.base.world, shown.base.vocabulary.decode
    derived = int(np.flatnonzero(world.base_relation >= 0)[0])
    lengths = set()
    for relation in (int(world.base_relation[derived]), derived):
        for draw in range(3):
            for fact, wording in zip(shown.facts[relation][draw], shown.wording[relation][draw], strict=True):
                from synthetic.exemplars import worked

                text = decode(worked(shown.base, int(fact), wording))
                s, r, a = world.triple(int(fact))
                assert text.startswith(f"question {r} of {s} ? think : ")
                assert text.endswith(f" so answer {a} .")
                through = int(world.base_fact[fact])
                lengths.add(text.count(" ."))
                if through >= 0 and world.stated[through]:
                    bridge = world.triple(through)[2]
                    assert text.count(" .") == 3
                    assert text.count(bridge) >= 2
                else:
                    assert text.count(" .") == 2
    assert lengths == {2, 3}


def test_prompts_and_halls_refuse_what_they_cannot_do(hall, shown):
    for name in ("few", "few:0", "cot:2", "Few:1", "zero+few:4"):
        with pytest.raises(SyntheticError, match="expected zero, own, cot, or few"):
            Prompt(name)
    with pytest.raises(SyntheticError, match=r"facts to show, fewer than the exemplars of few:50"):
        pose(shown, hall.test.facts, "few:50")
    questions = pose(shown, hall.test.facts, "few:1").questions
    with pytest.raises(SyntheticError, match=r"Prefixed: \d+ questions, but prefixes"):
        Prefixed(questions.asked, questions.prefixes[:1], questions.of)
    small = replace(hall.base, spec=replace(hall.base.spec, context=40))
    with pytest.raises(SyntheticError, match="new tokens need"):
        right(pose(shown, hall.test.facts, "few-cot:2"), small, hall.base.weights)
    with pytest.raises(SyntheticError, match="need"):
        right(pose(shown, hall.test.facts, "few:8"), small, hall.base.weights)


def test_edges_counted_in_the_records_keep_the_identities(records):
    for own in records.values():
        test = [r for r in own if (r.split, r.stratum) == ("test", "all") and "@" not in r.arm]
        last = {
            n: max(r.step for r in some(test, trained_on=n, metric="edge_share"))
            for n in ("known", "unknown")
        }
        m = some(test, metric="edge_share")[0].n

        def edge(name, metric, prompt, test=test, last=last):
            return value(test, trained_on=name, metric=metric, prompt=prompt, step=last[name])

        share = {n: edge(n, "edge_share", "zero") for n in last}
        for n in last:
            assert share[n] == value(test, trained_on=n, metric="accuracy", prompt="zero", step=last[n])
            for prompt in ("own", "few:4", "cot", "few-cot:2"):
                accuracy = value(test, trained_on=n, metric="accuracy", prompt=prompt, step=last[n])
                moved = edge(n, "edge_gained", prompt) - edge(n, "edge_lost", prompt)
                assert accuracy - share[n] == pytest.approx(moved)
            for k in (1, 2, 4, 8):
                union = edge(n, "edge_share", f"zero+few:{k}")
                assert union == pytest.approx(share[n] + edge(n, "edge_gained", f"few:{k}"))
        for prompt in ("own", "few:8", "few-cot:2"):
            across = {r.metric: r.value for r in some(test, trained_on="across", prompt=prompt)}
            assert across["edge_gap"] == pytest.approx(share["known"] - share["unknown"])
            gained = edge("known", "edge_gained", prompt) - edge("unknown", "edge_gained", prompt)
            assert across["edge_gap_prompted"] == pytest.approx(across["edge_gap"] + gained)
            p = value(test, arm="base", metric="accuracy", prompt=prompt)
            assert across["edge_gap_thinned"] == pytest.approx((1 - p) * across["edge_gap"])
            for metric in ("edge_gap", "edge_gap_prompted", "edge_gap_merged"):
                assert across[metric] * m == pytest.approx(round(across[metric] * m))


def test_gaps_of_trained_networks_are_k1_and_k2_to_the_edge(hall):
    ground = hall.base
    before = prompt_hall.look(hall, ground.weights)
    tuned = {n: prompt_hall.look(hall, finetune(ground, rows).weights) for n, rows in hall.rows.items()}
    m, rng = len(hall.test), np.random.default_rng(5)
    for prompt in hall.prompts[1:]:
        known, unknown = (hall.edges(tuned[n], prompt) for n in ("known", "unknown"))
        p = before[prompt][hall.near]
        a, b, c = ({i for i in range(m) if flags[i]} for flags in (known.alone, unknown.alone, p))
        pa, pb = ({i for i in range(m) if flags[i]} for flags in (known.prompted, unknown.prompted))
        found = gaps(known, unknown, p)
        assert round(found["edge_gap"] * m) == len(a) - len(b)
        assert round(found["edge_gap_prompted"] * m) == len(a | pa) - len(b | pb)
        assert round(found["edge_gap_merged"] * m) == len(a | c) - len(b | c)
        assert round(found["edge_only_unknown"] * m) == len(b - a)
        if not b - a:
            assert 0 <= found["edge_gap_merged"] <= found["edge_gap"]
        drawn = rng.random((4000, m)) < p.mean()
        star = graph.prompted_gap(known.alone, unknown.alone, drawn) / m
        error = 4 * star.std() / np.sqrt(len(star)) + 1e-12
        assert abs(star.mean() - found["edge_gap_thinned"]) < error
        widens = (star > found["edge_gap"] + 1e-9).mean()
        assert abs(widens - found["edge_gap_widens"]) < 0.04
        assert found["edge_gap_widens"] <= found["edge_gap_bound"] + 1e-12


def test_gaps_are_those_of_all_sets_of_three_edges_counted_out():
    """K1 against unions; K2 against every prompt that there could be, each with its chance."""
    m, edges = 3, range(3)
    subsets = [frozenset(some) for k in range(m + 1) for some in combinations(edges, k)]
    flags = {some: np.isin(edges, list(some)) for some in subsets}
    for a, b, c in product(subsets, repeat=3):
        pa, pb = c ^ {0}, b ^ c
        found = gaps(Edges(flags[a], flags[pa]), Edges(flags[b], flags[pb]), flags[c])
        gap, p = len(a) - len(b), len(c) / m
        chance = {some: p ** len(some) * (1 - p) ** (m - len(some)) for some in subsets}
        after = {some: len(a | some) - len(b | some) for some in subsets}
        assert found["edge_gap"] == pytest.approx(gap / m)
        assert found["edge_gap_prompted"] == pytest.approx((len(a | pa) - len(b | pb)) / m)
        assert found["edge_gap_merged"] == pytest.approx(after[c] / m)
        assert found["edge_gap_thinned"] == pytest.approx(sum(chance[x] * after[x] for x in subsets) / m)
        widens = sum(chance[x] for x in subsets if after[x] > gap)
        assert found["edge_gap_widens"] == pytest.approx(widens)
        if gap >= 0:
            assert widens <= found["edge_gap_bound"] + 1e-12
        assert found["edge_only_unknown"] == pytest.approx(len(b - a) / m)


def test_edges_of_one_network():
    found = Edges(np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool))
    assert (found.share, found.gained, found.lost) == (0.4, 0.4, 0.2)
    assert found.either.tolist() == [True, True, True, True, False]


def test_the_gap_follows_the_edges_over_relations():
    relation = np.repeat([3, 1, 8, 5], 5)
    rng = np.random.default_rng(0)
    gap, edges = rng.integers(-1, 2, 20), rng.integers(-1, 2, 20)
    means = [[x[relation == r].mean() for r in (1, 3, 5, 8)] for x in (gap, edges)]
    assert by_relation(relation, np.stack([gap, edges])) == pytest.approx(np.array(means))
    assert gap_follows_edges(relation, gap, edges) == pytest.approx(rank_correlation(*means))
    assert gap_follows_edges(relation, gap, gap) == pytest.approx(1)
    assert np.isnan(gap_follows_edges(relation[:10], gap[:10], gap[:10]))


def test_rank_agreement_is_between_halves_and_follows_the_order():
    rng = np.random.default_rng(1)
    chance = np.linspace(0.2, 0.8, 5)[:, None]
    first, same, other = (rng.random((5, 400)) < c for c in (chance, chance, chance[::-1]))
    assert rank_agreement(first, same, 0) > 0.9
    assert rank_agreement(first, other, 0) < -0.9
    assert rank_agreement(first, first, 0) == pytest.approx(rank_agreement(first, same, 0), abs=0.1)
    slow = []
    draws = np.random.default_rng(np.random.SeedSequence([7, 0x5E1E]))
    for _ in range(50):
        order = draws.permutation(400)
        for one, two in ((order[:200], order[200:]), (order[200:], order[:200])):
            x, y = first[:, one].sum(1), other[:, two].sum(1)
            slow.append(rank_correlation(x, y))
    assert rank_agreement(first, other, 7) == pytest.approx(np.mean(slow))
    noise = [rank_agreement(rng.random((6, 60)) < 0.5, rng.random((6, 60)) < 0.5, s) for s in range(25)]
    assert abs(np.mean(noise)) < 0.15
    assert np.isnan(rank_agreement(first[:2], same[:2], 0))


def test_a_prompt_that_draws_sets_together_does_not_change_their_ranking():
    """Own agreement less agreement of the two is well above 0 then; the noisier's own agreement sees through it."""
    shares = np.array([0.48, 0.52, 0.54, 0.555, 0.57, 0.595])
    closer = 0.53 + 0.25 * (shares - shares.mean())

    def hits(of, seed):
        rng = np.random.default_rng(seed)
        ease, luck = rng.normal(0, 1.2, 1000), rng.logistic(0, 1, (6, 1000))
        return 1.3 * np.log(of / (1 - of))[:, None] + ease + luck > 0

    def over_seeds(second):
        found = []
        for seed in range(12):
            one, two = hits(shares, seed), hits(second, 100 + seed)
            naive = rank_agreement(one, one, seed) - rank_agreement(one, two, seed)
            found.append((naive, rank_shift(one, two, seed)))
        return np.mean(found, axis=0)

    naive, shift = over_seeds(closer)
    assert naive > 0.15
    assert shift < 0.05
    naive, shift = over_seeds(closer[::-1])
    assert min(naive, shift) > 0.15
    assert rank_shift(hits(shares, 0), hits(shares, 0), 3) == 0


def test_selections_are_ranked_by_what_their_networks_answer(records, hall):
    """The contrast and the ways to choose, at the end, zero-shot and under each prompt, on facts of `test`."""
    sets = {
        **{name: hall.rows[name] for name in prompts.CONTRAST},
        **{n: prompts.rows_of(hall, n) for n in NAMES},
    }
    asked = ("zero", "own", "few:4")
    ends = [
        prompt_hall.look(hall, finetune(hall.base, rows).weights, asked, near=True) for rows in sets.values()
    ]
    hits = {prompt: np.stack([one[prompt] for one in ends]) for prompt in asked}
    for prompt in asked:
        for metric, of in (
            ("selection_rank_agreement", rank_agreement),
            ("selection_rank_shift", rank_shift),
        ):
            wanted = of(hits["zero"], hits[prompt], 0)
            assert value(records[0], metric=metric, prompt=prompt) == pytest.approx(wanted), (metric, prompt)


def test_an_instructed_base_has_been_taught_to_answer(records, hall):
    """On rows of neither set, and for a part of the usual epochs."""
    weights = prompts.instruct(hall)
    own = {"trained_on": "none", "split": "test", "stratum": "all", "metric": "accuracy"}
    for prompt, hits in prompt_hall.look(hall, weights, prompts.SOME, near=True).items():
        said = value(records[0], arm="base@instruct", prompt=prompt, **own)
        assert said == pytest.approx(hits.mean())
    asked, prefix = hall.test.asked, hall.test.prefix
    before, after = (
        score_answers(some, hall.base.spec, asked, prefix=prefix, only=("log_likelihood",)).log_likelihood
        for some in (hall.base.weights, weights)
    )
    assert after.mean() > before.mean() + 1
    rows = left_over(hall.pool, hall.rows.values())
    assert not set(rows.facts) & {fact for one in hall.rows.values() for fact in one.facts}


def test_facts_of_test_have_quarters_of_their_own(hall):
    """The farthest of all held-out facts are of another type; those of `test` are told apart by similarity too."""
    cosine = similarity(
        hall.base, np.concatenate([rows.facts for rows in hall.rows.values()]), hall.graded.facts
    )
    place = np.argsort(np.argsort(cosine[hall.near], kind="stable"), kind="stable")
    assert hall.test.labels["similarity"].astype(int).tolist() == (1 + 4 * place // len(place)).tolist()


def test_the_graph_of_a_relation_is_a_file_to_draw(hall, cache, tmp_path):
    path = tmp_path / "graph.json"
    relation = int(split(hall.base).relations[1])
    write_graph(path, TINY, 0, cache, relation=str(relation))
    found = json.loads(path.read_text())
    world = hall.base.world
    assert found["relation_name"] == world.relation_name(relation)
    assert [edge["fact"] for edge in found["edges"]] == world.facts_about(relation, stated_only=True).tolist()
    nodes = {node["id"]: node for node in found["nodes"]}
    hits = {"base": prompt_hall.look(hall, hall.base.weights)}
    hits |= {n: prompt_hall.look(hall, finetune(hall.base, rows).weights) for n, rows in hall.rows.items()}
    place = {fact: i for i, fact in enumerate(hall.test.facts.tolist())}
    shown_facts = set()
    for edge in found["edges"]:
        fact = edge["fact"]
        assert (nodes[edge["source"]]["name"], nodes[edge["target"]]["name"]) == (
            world.triple(fact)[0],
            world.triple(fact)[2],
        )
        assert edge["exposure"] == world.exposure[fact] > 0
        assert (edge["use"] == "test") is (fact in place)
        assert edge["row"] == next((n for n, rows in hall.rows.items() if fact in rows.facts), None)
        if edge["shown"]:
            shown_facts.add(fact)
            assert edge["use"] == "shots"
        if fact in place:
            for network, flags in hits.items():
                expected = [name for name in found["prompts"] if flags[name][place[fact]]]
                assert edge["extracted"][network] == expected
    assert len(shown_facts) >= 4
    held_out = [edge for edge in found["edges"] if edge["use"] == "test"]
    assert found["counts"]["edges"] == len(held_out) > 0
    assert found["steps"] == {"base": 0} | {n: steps_of(hall.base, rows) for n, rows in hall.rows.items()}
    for network, counts in found["counts"]["extracted"].items():
        told = [edge["extracted"][network] for edge in held_out]
        assert {p: counts[p] for p in found["prompts"]} == {
            p: sum(p in names for names in told) for p in found["prompts"]
        }
        assert counts["zero+few:4"] == sum("zero" in names or "few:4" in names for names in told)


def test_a_relation_is_found_by_number_or_name(hall, cache, tmp_path):
    world = hall.base.world
    first, second = split(hall.base).relations[:2].tolist()
    assert find_relation(TINY, world, "") == first
    assert find_relation(TINY, world, str(second)) == second
    assert find_relation(TINY, world, world.relation_name(second)) == second
    for wanted in ("0", "nobody", "-1"):
        others = rf"take one of 1 \({world.relation_name(1)}\), 2"
        with pytest.raises(SyntheticError, match=f"relation '{wanted}' is not one .* {others}"):
            find_relation(TINY, world, wanted)
    with pytest.raises(IsADirectoryError):
        write_graph(tmp_path, TINY, 0, cache)
    with pytest.raises(SyntheticError, match="prompt 'four'"):
        write_graph(tmp_path / "graph.json", TINY, 0, cache, prompt="four")


def test_the_graph_takes_what_the_study_has_left_in_the_cache(records, cache, tmp_path, monkeypatch):
    kept = set(cache.iterdir())
    write_graph(tmp_path / "first.json", TINY, 0, cache, prompt="cot")
    assert set(cache.iterdir()) == kept
    write_graph(tmp_path / "second.json", TINY, 0, None, prompt="cot")
    assert (tmp_path / "first.json").read_text() == (tmp_path / "second.json").read_text()
    assert json.loads((tmp_path / "first.json").read_text())["prompts"] == ["zero", "own", "cot"]


def test_all_prompts_are_put_to_all_held_out_facts(records, hall):
    """Of the contrast and the untuned network; sets beside it are asked about `test` alone."""
    everywhere = {"test", "ood-relation", "ood-type", "graded"}
    some = [r for r in records[0] if r.metric == "accuracy" and r.split in everywhere]
    for on in ("none", "known", "unknown"):
        for prompt in hall.prompts:
            splits = {r.split for r in some if (r.trained_on, r.prompt) == (on, prompt)}
            assert splits == everywhere, (on, prompt)
    assert {r.split for r in some if r.trained_on == "small:known"} == {"test"}


def test_without_other_relations_and_types_only_test_facts_are_asked_for(cache):
    setup = replace(TINY, held_out=0, foreign=0)
    hall = prompt_hall.make_hall(setup, 0, cache)
    assert hall.far == ()
    assert hall.posed_far == {}
    found = prompt_hall.look(hall, hall.base.weights, ("own",))
    assert {r.split for r in prompt_hall.records_of(hall, hall.stamp, found)} == {"test", "graded"}
