"""The tables of a study against numbers worked out from its files alone: answers of three seeds are made up, everything
behind them is the study's own, and the check reads only audit.jsonl, records.jsonl and which rows were taught."""

import json
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from realmodels.recipe import Recipe
from realmodels.study_arms import Result
from realmodels.study_exam import Sat
from realmodels.study_facts import _guessable, facts_of, read_facts
from realmodels.study_gaps import PRIMARY, gap_sections, remark_section
from realmodels.study_prompts import sections as prompt_sections
from realmodels.study_questions import RECORDS, Bundle, papers_of, run_questions
from realmodels.study_records import of_arm, of_base, supported
from realmodels.study_salience import KIND, names, records
from realmodels.study_sets import draw_sets
from realmodels.study_settings import Settings
from realmodels.study_table import Order, Study
from realmodels.study_verdicts import conclude
from theory.claims.decompose import decompose
from theory.matching import normalize
from theory.records import read_records, write_records

SEEDS = (10, 11, 12)
SETTINGS = Settings(rows=18, dev=8, test=None, ood=None, hold_out=("maker",))
EARLY, END = 4, 8
LABELS = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


@pytest.fixture
def order(write_audit, tmp_path):
    """Two relations have the same answers, which half of the subjects repeat."""
    rows = []
    for relation in ("capital", "chief town", "river", "maker"):
        for k in range(70):
            place = f"{'Town' if 'a' in relation or 'o' in relation else 'Water'} {k * k % 23}"
            row = {
                "question": f"What is the {relation} of {relation}land {k}?",
                "answers": [place],
                "subject": f"{relation}land {k}",
                "relation": relation,
            }
            special = {"label": LABELS[k % 4], "margin": float(k % 7), "dominant_answer": k * k % 23 < 5}
            rows.append((row, special | {"overlaps_subject": k % 3 == 0}))
    write_audit(rows, source={"kind": "jsonl", "columns": []})
    output = tmp_path / "run"
    output.mkdir()
    return Order(
        "m", (), output, SETTINGS, Recipe(), seeds=SEEDS, audit=tmp_path / "audit", lab="realmodels/R3-x"
    )


def made_up(facts, rng, chance, seed):
    """Answers to everything, right by chance; some facts are easier under every seed."""

    def sat(rows, level):
        easy = np.array([0.3 * ((row * 7919) % 5 - 2) / 2 for row in rows])
        hits = rng.random(len(rows)) < level + easy
        said = tuple(facts.rows[i].answers[0] if hit else "?" for i, hit in zip(rows, hits, strict=True))
        return Sat(hits, said, np.where(hits, -1.0, -5.0))

    asked = {}
    for step, level in ((EARLY, chance), (END, chance - 0.05)):
        for split, rows, prompts in (
            ("test", facts.test, ("zero", "few:4")),
            ("ood-relation", facts.ood, ("zero",)),
        ):
            for prompt in prompts:
                asked[step, split, prompt] = sat(rows.tolist(), level)
    return Result("k", END, EARLY, {2: 0.25, EARLY: 0.5, END: 0.375}, asked, {}, {})


@pytest.fixture
def bundles(order):
    facts = read_facts(order.audit, SETTINGS)
    found, base = [], None
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        sets = draw_sets(facts, names(SETTINGS), SETTINGS, seed).sets
        better = {"known": 0.55, "best": 0.5, "whole": 0.5}
        results = {}
        for name, own in sets.items():
            results[name] = made_up(facts, rng, better.get(name, 0.35), seed)
            hits = rng.random(len(own)) < 0.9
            results[name].asked[END, "train", "zero"] = Sat(hits, (), np.where(hits, -1.0, -5.0))
        if base is None:
            one = made_up(facts, rng, 0.3, 0)
            asked = {
                (0, split, prompt): sat for (step, split, prompt), sat in one.asked.items() if step == END
            }
            asked[0, "dev", "zero"] = Sat(np.ones(len(facts.dev), bool), (), np.zeros(len(facts.dev)))
            base = replace(one, steps=0, early=0, dev={}, asked=asked)
        found.append(Bundle(order, facts, seed, sets, results, base, papers_of(facts)))
    write_records(order.output / RECORDS, (record for bundle in found for record in records(bundle)))
    return found


def lines_of(order):
    return [json.loads(line) for line in (order.output / RECORDS).read_text().splitlines()]


def audited(order):
    text = (order.audit / "audit.jsonl").read_text(encoding="utf-8")
    return {row["knowledge"]["id"]: row["knowledge"] for row in map(json.loads, text.splitlines())}


def by_hand(order, bundles, study, pair, step, prompt="zero"):
    """seed -> item -> (hit after the better set minus after the lesser, both, its labels worked out anew)."""
    facts, found = audited(order), defaultdict(dict)
    hits = defaultdict(dict)
    for line in lines_of(order):
        same = (study, step, prompt, "test", "accuracy")
        if (line["study"], line["step"], line["prompt"], line["split"], line["metric"]) == same and line.get(
            "item"
        ):
            hits[line["seed"], line["trained_on"]][line["item"]] = line["value"]
    for bundle in bundles:
        taught = []
        for name in pair:
            rows = [facts[bundle.facts.rows[i].id] for i in bundle.sets[name].rows]
            taught.append({(row["relation"], normalize(row["answers"][0])) for row in rows})
        for item, high in hits[bundle.seed, pair[0]].items():
            fact = facts[item]
            key = fact["relation"], normalize(fact["answers"][0])
            inside = tuple(key in one for one in taught)
            any_relation = any(key[1] == answer for one in taught for _, answer in one)
            labels = {
                "answer": {
                    (True, True): "both",
                    (True, False): "known-only",
                    (False, True): "unknown-only",
                }.get(inside, "neither"),
                "elsewhere": any_relation and not any(inside),
                "overlap": fact["overlaps_subject"],
                "dominant": fact["dominant_answer"],
                "known": fact["label"] != "Unknown",
            }
            found[bundle.seed][item] = (high, hits[bundle.seed, pair[1]][item], labels)
    assert set(found) == set(SEEDS)
    assert all(len(one) == len(bundles[0].facts.test) for one in found.values())
    return found


def same_support(labels):
    return labels["answer"] in ("both", "neither")


CASES = {
    "all test facts (raw)": lambda labels: True,
    PRIMARY: same_support,
    "answer in both or in neither, and taught in no other relation": (
        lambda labels: same_support(labels) and not labels["elsewhere"]
    ),
    "answer in the known set only": lambda labels: labels["answer"] == "known-only",
    "answer in the unknown set only": lambda labels: labels["answer"] == "unknown-only",
    "answer in both": lambda labels: labels["answer"] == "both",
    "answer in neither": lambda labels: labels["answer"] == "neither",
    "answer repeats no word of the subject": lambda labels: not labels["overlap"],
    "answer is no dominant guess": lambda labels: not labels["dominant"],
    "no overlap, both or neither, not dominant": (
        lambda labels: same_support(labels) and not labels["overlap"] and not labels["dominant"]
    ),
    "known before tuning": lambda labels: labels["known"],
}


@pytest.mark.parametrize(
    ("study", "pair"), [("validity", ("known", "unknown")), ("salience", ("best", "lesser"))]
)
def test_gaps_by_hand(order, bundles, study, pair):
    shown = {one.title: one.data for one in gap_sections(order, bundles[0].facts, bundles)}
    table = {(one["stratum"], one["stop"]): one for one in shown[f"{pair[0]} minus {pair[1]}"]}
    sizes = set()
    for stop, step in (("early", EARLY), ("end", END)):
        found = by_hand(order, bundles, study, pair, step)
        for name, inside in CASES.items():
            kept = {seed: [own for own in one.values() if inside(own[2])] for seed, one in found.items()}
            sizes.add((name, sum(map(len, kept.values()))))
            high, low = (np.mean([own[k] for one in kept.values() for own in one]) for k in (0, 1))
            line = table[name, stop]
            assert line["items"] == pytest.approx(np.mean([len(one) for one in kept.values()])), name
            assert line["high"] == pytest.approx(100 * high), name
            assert line["low"] == pytest.approx(100 * low), name
            assert line["gap"] == pytest.approx(100 * (high - low)), name
            own = [100 * np.mean([a - b for a, b, _ in kept[seed]]) for seed in SEEDS]
            assert line["by_seed"] == pytest.approx(own, abs=0.006), name
    assert (
        len({count for _, count in sizes}) >= len(CASES) - 1
    )  # strata differ, so that none stands for another


def test_the_interval_of_a_shared_split_is_the_two_way_analysis_of_variance(order, bundles):
    found = by_hand(order, bundles, "validity", ("known", "unknown"), END)
    items = sorted(found[SEEDS[0]])
    d = np.array([[found[seed][item][0] - found[seed][item][1] for item in items] for seed in SEEDS])
    s, n = d.shape
    mean, of_seed, of_item = d.mean(), d.mean(1), d.mean(0)
    rest = d - of_seed[:, None] - of_item + mean
    between = n * ((of_seed - mean) ** 2).sum() / (s - 1)
    within = s * ((of_item - mean) ** 2).sum() / (n - 1)
    noise = (rest**2).sum() / ((s - 1) * (n - 1))
    assert within > noise  # no part of the variance is below zero
    whole = (between + within - noise) / (s * n)
    variance = max(
        whole, between / (s * n), within / (s * n)
    )  # never below what seeds alone or items alone give
    parts = (between**2 / (s - 1) + within**2 / (n - 1) + noise**2 / ((s - 1) * (n - 1))) / (s * n) ** 2
    df = max(whole**2 / parts, min(s, n) - 1)
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    shown = {one.title: one.data for one in gap_sections(order, bundles[0].facts, bundles)}
    line = next(one for one in shown["known minus unknown"] if one["stratum"] == "all test facts (raw)" and
                one["stop"] == "end")  # fmt: skip
    assert line["interval"] == pytest.approx([100 * (mean - half), 100 * (mean + half)], abs=0.01)


def test_claims_and_the_waterfall_read_the_same_rows(order, bundles):
    board = conclude(order, Study("salience", ("salience", "validity"), Settings, str, list), ()).board
    parts = {(v.claim.id, part.part.name): part for v in board.verdicts for part in v.parts}
    found = by_hand(order, bundles, "validity", ("known", "unknown"), END)

    def gap(inside):
        return 100 * np.mean(
            [a - b for one in found.values() for a, b, labels in one.values() if inside(labels)]
        )

    for claim, name, inside in (
        ("V1", "gap at the end, answers that do not overlap the subject", lambda one: not one["overlap"]),
        ("V2", "gap at the end, answers in both training sets or in neither", same_support),
        ("V3", "gap at the end, answers that are no dominant guess", lambda one: not one["dominant"]),
    ):
        part = parts[claim, name]
        assert part.interval.mean == pytest.approx(gap(inside)), claim
        assert part.seeds == 3
    # the audit says nothing of guessable relations, so that part is not asked; it is neither missing nor opposed
    assert parts["V3", "gap at the end, relations beyond guessing"].outcome == "not asked"
    bars = {bar.name: bar for bar in decompose(read_records(order.output / RECORDS))}
    chain = [
        gap(lambda one: True),
        gap(lambda one: not one["overlap"]),
        gap(lambda one: not one["overlap"] and same_support(one)),
        gap(lambda one: not one["overlap"] and same_support(one) and not one["dominant"]),
    ]
    wanted = [chain[0], chain[0] - chain[1], chain[1] - chain[2], chain[2] - chain[3], chain[3]]
    together = parts[
        "V3", "gap at the end without copying, unequal answer support and guessing together"
    ].interval
    rest = bars["rest"].interval
    assert [100 * x for x in (rest.mean, rest.low, rest.high)] == pytest.approx(
        [together.mean, together.low, together.high]
    )
    assert [100 * bar.interval.mean for bar in bars.values()] == pytest.approx(wanted)
    assert 100 * sum(bar.interval.mean for bar in list(bars.values())[1:]) == pytest.approx(chain[0])


def test_an_arm_that_is_not_there_is_missing_and_contradicts_nothing(order, bundles):
    path = order.output / RECORDS
    kept = [
        line
        for line in path.read_text().splitlines()
        if '"trained_on":"unknown"' not in line.replace(" ", "")
    ]
    path.write_text("".join(f"{line}\n" for line in kept))
    board = conclude(order, Study("salience", ("salience", "validity"), Settings, str, list), ()).board
    answers = {verdict.claim.id: verdict.answer for verdict in board.verdicts}
    assert {answers[name] for name in ("V1", "V2", "V3")} == {"missing"}


def test_the_papers_numbers_stand_beside_counted_seeds_alone(order, bundles):
    study = Study("salience", ("salience", "validity"), Settings, str, list)

    def ours():
        found = next(
            one for one in conclude(order, study, ()).sections if one.title.startswith("The paper's")
        )
        return [one["ours"] for one in found.data]

    alone, path = ours(), order.output / RECORDS
    assert any(value is not None for value in alone)
    tuning = [line for line in lines_of(order) if line["seed"] == SEEDS[0] and not line.get("item")]
    with open(path, "a") as out:
        for line in tuning:
            value = 1.0 if line["split"] == "test" else line["value"]  # dev chooses the stop
            out.write(json.dumps(line | {"seed": 3, "value": value}) + "\n")
    assert ours() == alone


def test_the_study_of_prompts_has_no_tuning_seed_in_a_table_and_the_primary_gap_of_every_prompt(
    order, bundles
):
    def made(seeds):
        some = [replace(bundle, seed=seed) for bundle, seed in zip(bundles, seeds, strict=True)]
        found = []
        for bundle in some:
            pair = [bundle.sets[name] for name in ("known", "unknown")]
            papers = tuple(supported(bundle.facts, asked, *pair) for asked in bundle.papers)
            found += of_base(bundle.stamp("prompts"), bundle.base, papers, bundle.dev)
            for name in ("known", "unknown"):
                rows, result = bundle.sets[name], bundle.results[name]
                found += of_arm(bundle.stamp("prompts"), result, rows, bundle.facts, papers, bundle.dev)
        write_records(order.output / RECORDS, found)
        return {one.title: one.data for one in prompt_sections(order, bundles[0].facts, some)}

    assert made((3, 10, 11))["The zero-shot gap taken apart"][0]["seeds"] == 2
    whole = made((10, 11, 12))
    apart = {(one["stratum"], one["stop"]): one for one in whole["The zero-shot gap taken apart"]}
    by_prompt = {
        (one["prompt"], one["stop"]): one for one in whole["Gap by prompt"] if one["split"] == "test"
    }
    for prompt, stop, more in (("zero", "early", ""), ("zero", "end", ""), ("few:4", "end", ", few:4")):
        line, primary = by_prompt[prompt, stop], apart[f"{PRIMARY}{more}", stop]
        assert line["gap"] == pytest.approx(apart[f"all test facts (raw){more}", stop]["gap"])
        assert line["primary"]["gap"] == pytest.approx(primary["gap"])
        assert line["primary"]["interval"] == primary["interval"]
        assert line["primary"]["gap"] != pytest.approx(line["gap"])
    assert by_prompt["few:4", "early"]["primary"]["gap"] != by_prompt["zero", "early"]["primary"]["gap"]


def test_what_an_audit_was_made_with_is_said_where_settings_differ(order, monkeypatch):
    monkeypatch.setattr("realmodels.study_facts.check_model", lambda order, folder: None)
    about = {"n_prompts": 5, "n_shots": 4, "style": "qa", "source": {"kind": "jsonl", "columns": []}}
    (order.audit / "summary.json").write_text(json.dumps(about))
    said = []
    facts = facts_of(replace(order, settings=replace(SETTINGS, relations=("capital", "maker"))), said.append)
    assert list(facts.remarks) == said
    assert "made with prompts 5: its labels are of that, not of prompts 10" in said[0]
    assert said[1].endswith("they are used: chief town, river")
    assert len(said) == 2
    section = remark_section({10: ("known-permuted: 3 rows kept a right answer",)}, facts.remarks)
    assert "- seed 10: known-permuted: 3 rows kept a right answer" in section.text
    assert remark_section({10: ()}, ()) is None


def test_a_study_shows_what_its_sets_are_not_and_writes_what_the_check_above_reads(
    order, bundles, monkeypatch
):
    before = (order.output / RECORDS).read_bytes()
    (order.output / RECORDS).unlink()
    about = {"n_prompts": 5, "source": {"kind": "jsonl", "columns": []}}
    (order.audit / "summary.json").write_text(json.dumps(about))
    monkeypatch.setattr("realmodels.study_facts.check_model", lambda order, folder: None)

    def results_of(order, arms, say):
        made = {(bundle.seed, name): one for bundle in bundles for name, one in bundle.results.items()}
        return [made[arm.seed, arm.name] if arm.rows else bundles[0].base for arm in arms]

    monkeypatch.setattr("realmodels.study_questions.results_of", results_of)
    shown = {one.title: one for one in run_questions(order, KIND, lambda text: None)}
    assert "- facts: the audit was made with prompts 5" in shown["Remarks"].text
    assert (order.output / RECORDS).read_bytes() == before


def test_in_a_relation_of_which_nothing_is_known_nothing_can_be_guessed(tmp_path):
    rows = [("a", 0.0, 0.0), ("b", 0.25, 0.5), ("c", 0.2, 0.5), ("d", None, 0.5)]
    keys = ("relation", "permuted", "accuracy_written")
    said = {"relations": [dict(zip(keys, row, strict=True)) for row in rows]}
    (tmp_path / "summary.json").write_text(json.dumps(said))
    assert _guessable(tmp_path) == {"a": False, "b": True, "c": False, "d": False}
