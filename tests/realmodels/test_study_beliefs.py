"""The study `beliefs`: text sets, the exam, and a run on the pocket model that stops and goes on."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from realmodels import study_beliefs_seed, train_loop
from realmodels.bios_facts import facts_from
from realmodels.bios_files import Bio, Stated
from realmodels.errors import RealmodelsError
from realmodels.study_beliefs import STUDY, USUAL, Settings, people_of
from realmodels.study_beliefs_exam import by_labels, measured, probes, signals
from realmodels.study_beliefs_texts import BELIEF, SETS, Library, told, worded
from realmodels.study_records import Stamp
from realmodels.study_settings import read_settings
from realmodels.study_table import Order, available
from theory.records import read_records

STAMP = Stamp("realmodels/R3-tiny", "beliefs", "r", 10, "lora")
FACTS = facts_from([("A", "job", ["poet"], ""), ("A", "town", ["Rome"], ""), ("B", "job", ["cook"], "")])


def bio(name, draw, *claims):
    return Bio(f"{name}#{draw}", name, f"about {name} :", "t", draw, tuple(claims), {"tokens": 4})


def claim(text, support, relation="", belief=None):
    return Stated(text, 0, support, "facts", None, relation, {} if belief is None else {BELIEF: belief})


def library():
    gold = (
        bio(
            "A", 0, claim("g1", True, "job", 0.9), claim("g2", True, "town", 0.1), claim("g3", True, "x", 0.2)
        ),
        bio("B", 0, claim("g4", True, "job", 0.8)),
    )
    own = (
        bio("A", 0, claim("a0", True, "job", 0.9)),
        bio("A", 1, claim("a1", True, "job", 0.9), claim("a2", False, "", 0.6), claim("a3", None, "", 0.1)),
        bio(
            "A", 2, claim("a4", True, "job", 0.5), claim("a5", True, "town", 0.5), claim("a6", True, "", 0.5)
        ),
        bio("B", 0, claim("b0", False, "", 0.2)),
    )
    return Library(gold, own, 0.5, 10)


def said(bios):
    return [[one.text for one in text.stated] for text in bios]


def test_the_sets_are_what_their_names_say():
    found = library()
    assert said(found.generated) == [["a1", "a2", "a3"], ["b0"]]
    assert said(found.texts("generated+support")) == [["a1"], []]
    assert said(found.texts("generated+belief")) == [["a1", "a2"], []]
    assert said(found.texts("gold+belief")) == [["g1"], ["g4"]]
    for name in SETS:
        if name.endswith("random"):
            texts = found.texts(name)
            whole = found.texts(name.removesuffix("+random"))
            wanted = [min(len(a.stated), n) for a, n in zip(whole, (2, 0), strict=True)]
            assert [len(text.stated) for text in texts] == wanted
            assert said(texts) == said(library().texts(name))
    with pytest.raises(RealmodelsError, match="no training texts 'golden'"):
        found.texts("golden")


def test_gold_is_every_fact_in_an_order_of_chance():
    names = ["A", "B"]
    found = told(names, FACTS, "{relation} is {object} .", {n: f"about {n} :" for n in names}, 3)
    assert found[0].text in ("job is poet . town is Rome .", "town is Rome . job is poet .")
    assert found[1].text == "job is cook ."
    assert found == told(names, FACTS, "{relation} is {object} .", {n: f"about {n} :" for n in names}, 3)
    assert (
        worded("The {relation} of {name} is {object}.", "A", "place_of_birth", "Ro{me")
        == "The place of birth of A is Ro(me."
    )


def test_measures_are_counted_by_hand():
    bios = [
        bio("A", 1, claim("x", True, "job"), claim("y", True, "job"), claim("z", None)),
        bio("B", 1, claim("w", False)),
        bio("A", 0, claim("x", True, "town")),
    ]
    found = {r.metric: (r.value, r.n) for r in measured(STAMP, "test", bios, FACTS)}
    assert found["claim_precision"] == (0.5, 4)
    assert found["claim_precision_greedy"] == (1.0, 1)
    assert found["claim_recall"] == (pytest.approx(1 / 3), 3)  # a fact told twice counts once
    assert found["claims"] == (2.0, 2)
    assert found["true_claims"] == (0.5, 2)
    assert found["tokens_greedy"] == (4.0, 1)


def test_signals_and_labels():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(300, 5))
    true = (states[:, 0] + 0.3 * rng.normal(size=300) > 0).tolist()
    fitted = probes(states[:200], true[:200], 1)
    assert sorted(fitted) == [16, 64, 200]
    by_size = {size: probe(states[200:]).tolist() for size, probe in fitted.items()}
    found = list(by_labels(STAMP, "test", by_size, true[200:]))
    areas = {r.stratum: r.value for r in found if r.metric == "belief_auroc"}
    assert areas["signal=probe,labels=200"] > 0.9
    assert [r.arm for r in found] == ["base"] * len(found)
    assert {r.metric for r in found} == {"belief_auroc", "labels_needed"}
    one = list(signals(STAMP, "test", {"probe": by_size[200], "statement": [float("nan")] * 100}, true[200:]))
    assert [(r.stratum, r.metric) for r in one] == [
        ("signal=probe", "belief_auroc"),
        ("signal=probe", "belief_calibration_error"),
    ]
    assert probes(states[:20], [True] * 20, 0) == {}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["people=1"], "people: expected a whole number of at least 2"),
        (["draws=0"], "draws"),
        (["keep=0"], "keep: expected a share"),
        (["line=hello"], "line: expected"),
        (["belief=hope"], "belief: expected statement"),
        (["sets=[gold, silver]"], "sets: unknown 'silver'"),
        (["domain=kind"], "domain and ood"),
        (["splitter=rulez"], "did you mean 'rules'"),
        (["request=hello"], "--request"),
        (["verdicts=[a]"], "verdicts"),
        (["ask=hello"], "--ask"),
    ],
)
def test_settings_that_cannot_be(words, line):
    with pytest.raises(RealmodelsError, match=line):
        read_settings(Settings, USUAL, {}, words)


def pocket_order(pocket, output, **changes):
    settings = Settings(
        people=14, test=6, request="about {name} :", line="{relation} is {object} .", shots=0, tokens=16, draws=2,
        splitter="lines", belief="statement", ask="claim : the {claim}", verdicts=("yes", "no"),
        sets=("gold", "generated", "generated+belief", "gold+random"),
    )  # fmt: skip
    recipe = replace(USUAL, rank=2, epochs=1, batch=4, style="plain")
    data = (str(pocket / "questions.jsonl"),)
    order = Order(str(pocket), data, output, settings, recipe, seeds=(10,), lab="realmodels/R3-pocket")
    return replace(order, **changes)


def test_people_are_split_by_content(pocket, tmp_path):
    order = pocket_order(pocket, tmp_path)
    people = people_of(order)
    assert not set(people.train) & set(people.asked["test"])
    assert (len(people.train), len(people.asked["test"])) == (14, 6)
    fewer = people_of(replace(order, settings=replace(order.settings, people=5)))
    assert fewer.train == people.train[:5]
    rows = [json.loads(line) for line in (pocket / "questions.jsonl").read_text().splitlines()]
    for row in rows:
        row["kind"] = "b" if row["subject"] in people.train[:3] else "a"
    path = tmp_path / "kinds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    apart = replace(order, data=(str(path),), settings=replace(order.settings, domain="kind", ood="b"))
    assert set(people_of(apart).asked["ood-type"]) == set(people.train[:3])
    with pytest.raises(RealmodelsError, match="0 of"):
        people_of(replace(apart, settings=replace(order.settings, domain="kind", ood="c")))
    few = people_of(replace(order, settings=replace(order.settings, shots=2)))
    assert len(few.shown) == 2
    assert not set(few.shown) & {*few.train, *few.asked["test"]}
    assert people.shown == ()  # nobody is shown, nobody set aside
    assert "beliefs" in available()
    said = STUDY.plan(replace(order, speed=1000.0))
    assert "14 people to train on, 6 to write about" in said
    assert (
        f"at most {6 * (14 + 6) + 5 * 3 * 6} texts to write" in said
    )  # own texts about all, then of 5 models
    assert "(1,000 tokens a second as --speed says; a training token counts 2)" in said
    assert "GiB a process" in said


def test_a_run_that_stops_goes_on_to_the_same_records(pocket, tmp_path, monkeypatch):
    heard = []
    whole = pocket_order(pocket, tmp_path / "a" / "run")
    texts, beliefs = STUDY.run(whole, heard.append)
    assert "| generated+belief | zero | test |" in texts.text
    assert "| statement | test | 0." in beliefs.text
    table = read_records(whole.output / "records.jsonl")
    sets = set(table.column("trained_on").tolist())
    assert sets == {"none", "gold", "generated", "generated+belief", "gold+random"}
    tuned = table.take(table.mask(arm="lora", split="test", metric="claims"))
    assert set(tuned.column("prompt").tolist()) == {"zero"}
    read = table.take(table.mask(metric="tokens_read")).numbers["value"]
    assert read.max() <= 1.6 * read.min()  # one budget of tokens, in whole steps
    at_most = re.search(r"at most ([\d,]+) tokens to train on", STUDY.plan(replace(whole, speed=1.0)))[1]
    assert read.sum() <= int(at_most.replace(",", "")) <= 4 * read.sum()
    areas = table.take(table.mask(metric="belief_auroc")).column("stratum").tolist()
    assert {"signal=statement", "signal=probe", "signal=consistency", "signal=verification"} <= set(areas)

    real, count = train_loop.train_adapter, []

    def stops(*args, **knobs):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(*args, **knobs)

    cut = pocket_order(pocket, tmp_path / "b" / "run")
    monkeypatch.setattr(train_loop, "train_adapter", stops)
    with pytest.raises(KeyboardInterrupt):
        STUDY.run(cut, heard.append)
    assert not (cut.output / "records.jsonl").exists()
    STUDY.run(cut, heard.append)
    assert len(count) == 5  # two finished, one cut, two more
    assert (cut.output / "records.jsonl").read_bytes() == (whole.output / "records.jsonl").read_bytes()

    def never(*args, **knobs):
        raise AssertionError("trained again")

    monkeypatch.setattr(train_loop, "train_adapter", never)
    STUDY.run(cut, heard.append)
    assert study_beliefs_seed.COPIES > 1


def test_a_model_that_claims_nothing_is_told(pocket, tmp_path, monkeypatch):
    (tmp_path / "splits_nothing.py").write_text("def cut(text, name):\n    return []\n")
    monkeypatch.chdir(tmp_path)
    order = pocket_order(pocket, tmp_path / "run")
    order = replace(order, settings=replace(order.settings, splitter="splits_nothing:cut"))
    with pytest.raises(RealmodelsError, match="make no claim"):
        STUDY.run(order, lambda text: None)
