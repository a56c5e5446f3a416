"""Support by facts, the probe, filters and summaries: no model is needed."""

import json
import resource

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import mannwhitneyu

from realmodels.bios_facts import facts_from, read_facts
from realmodels.bios_files import Bio, Stated, names_in, read_bios, write_bios
from realmodels.bios_filter import (
    at_random,
    kept_by,
    manifest_of,
    read_rules,
    signals_in,
    text_of,
    train_rows,
)
from realmodels.bios_probe import crossed, folds, judged
from realmodels.bios_score import read_all, summaries, summary_of, supported
from realmodels.errors import RealmodelsError
from theory.probe import auroc, fit_probe

ROWS = [
    ("Ann Lee", "place of birth", ["Rome", "Roma"], "Where was Ann Lee born?"),
    ("Ann Lee", "occupation", ["poet"], "What is Ann Lee's occupation?"),
    ("Bob Ray", "place of birth", ["Oslo"], "Where was Bob Ray born?"),
    ("Ida Wu", "place of death", ["Kyiv"], "Where did Ida Wu die?"),
]


@pytest.mark.parametrize(
    ("claim", "name", "support", "relation"),
    [
        ("Ann Lee was born in Roma.", "Ann Lee", True, "place of birth"),
        ("Ann Lee was born in Oslo.", "ann lee", False, "place of birth"),
        ("Ann Lee is a poet.", "Ann Lee", True, "occupation"),
        ("Ann Lee is a poetess.", "Ann Lee", None, ""),
        ("Ann Lee was born a poet.", "Ann Lee", False, "place of birth"),
        ("Bob Ray is a poet.", "Bob Ray", None, ""),
        ("Cem was born in Rome.", "Cem", None, ""),
        ("Ann Lee died in Rome.", "Ann Lee", None, ""),  # where she was born
        ("Ida Wu was born in Kyiv.", "Ida Wu", None, ""),
        ("Ida Wu died in Kyiv.", "Ida Wu", True, "place of death"),
        ("Ida Wu is of Kyiv.", "Ida Wu", True, "place of death"),
    ],
)
def test_a_claim_is_judged_by_the_relation_it_speaks_of(claim, name, support, relation):
    verdict = facts_from(ROWS).judge(claim, name)
    assert (verdict.support, verdict.relation) == (support, relation)


def test_other_matchers_and_readers(tmp_path):
    assert facts_from(ROWS, "contains").judge("Ann Lee is a poetess.", "Ann Lee").support is True
    path = tmp_path / "facts.jsonl"
    rows = [
        '{"subject": "A", "relation": "born_in", "object": ["X", "Y"]}',
        '{"subject": "A", "relation": "job", "object": "Z"}',
    ]
    path.write_text(chr(10).join(rows) + chr(10))
    facts = read_facts(path)
    assert facts.judge("A was born in Y", "A").support is True
    assert facts.judge("A was born in Z", "A").support is False
    asked = tmp_path / "asked.jsonl"
    asked.write_text(
        '{"question": "Where was A born?", "answers": ["X"], "subject": "A", "relation": "P19"}\n'
    )
    assert read_facts(asked).judge("A was born in Q", "A").support is False
    for text, line in (
        ('{"subject": "A", "object": ""}\n', ":1: field 'object'"),
        ('{"subject": "", "object": "x"}\n', ":1: field 'subject'"),
        ('{"question": "q?", "answers": ["X"]}\n', "no row has a subject"),
    ):
        bad = tmp_path / "bad.jsonl"
        bad.write_text(text)
        with pytest.raises(RealmodelsError, match=line):
            read_facts(bad)
    with pytest.raises(RealmodelsError, match=r"--matcher: unknown 'word'.*did you mean 'words'"):
        read_facts(path, matcher="word")


def bios():
    said = (
        Stated("Ann Lee was born in Rome.", 0),
        Stated("Ann Lee is a poet.", 1),
        Stated("Ann Lee won.", 1),
    )
    one = Bio("a#0", "Ann Lee", "p", "Ann was born in Rome. Ann is a poet. X.", 0, said)
    two = Bio("a#1", "Ann Lee", "p", "Ann was born in Oslo.", 1, (Stated("Ann Lee was born in Oslo.", 0),))
    return supported([one, two], facts_from(ROWS))


def test_summary_counts_what_is_known_and_what_there_is():
    found = summary_of(bios(), facts_from(ROWS))
    assert (found.texts, found.claims, found.precision, found.judged) == (2, 2.0, 0.5, 0.75)
    assert found.precision_judged == pytest.approx(2 / 3)
    assert found.recall == 2 / 4  # two facts in each of two texts
    plain = summary_of([Bio("x", "x", "p", "t", 0, (Stated("c"),))])
    assert (plain.precision, plain.recall) == (None, None)
    assert set(summaries(bios())) == {"all", "greedy", "sampled", "signals"}


def test_biographies_come_back_as_they_were(tmp_path):
    first = tuple(bios())
    write_bios(tmp_path / "b.jsonl", first)
    assert read_bios(tmp_path / "b.jsonl", claims=True) == first


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"text": "t"}, "field 'name'"),
        ({"name": "A"}, "field 'text'"),
        ({"name": "A", "text": "t", "draw": -1}, "field 'draw'"),
        ({"name": "A", "text": "t", "claims": "c"}, "field 'claims'"),
        ({"name": "A", "text": "t", "claims": [{"text": ""}]}, "field 'claims'"),
        ({"name": "A", "text": "t", "claims": [{"text": "c", "belief": {"x": "y"}}]}, "field 'claims'"),
        ({"name": "A", "text": "t", "id": 3}, "field 'id'"),
        ({"name": "A", "text": "t"}, "bios split --data"),
    ],
)
def test_bad_biographies_are_told_by_line_and_field(tmp_path, row, line):
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(RealmodelsError, match=line):
        read_bios(path, claims=True)


def test_people_are_named_in_many_ways(tmp_path):
    path = tmp_path / "x.jsonl"
    for text, names in (
        ('{"subject": "A", "relation": "r", "object": "o"}\n{"subject": "A", "object": "p"}\n', ("A",)),
        (
            '{"subject": "A", "question": "q", "answers": ["o"]}\n{"subject": "B", "question": "r", "answers": "o"}\n',
            ("A", "B"),
        ),
        ('{"topic": "C", "output": "", "cat": ["rare", "Asia"], "annotations": null, "input": ""}\n', ("C",)),
    ):
        path.write_text(text)
        assert names_in(path) == names
    path.write_text('{"question": "q", "answers": ["o"]}\n')
    with pytest.raises(RealmodelsError, match="no row has a subject"):
        names_in(path)


def test_two_of_one_id_and_names_alone_are_refused(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"name": "A", "text": "t"}\n' * 2)
    with pytest.raises(RealmodelsError, match="two biographies have the id"):
        read_bios(path)
    names = tmp_path / "n.txt"
    names.write_text("A\n")
    with pytest.raises(RealmodelsError, match="bios write --people"):
        read_bios(names)


def test_the_probe_is_ridge_logistic_regression_also_with_few_labels():
    rng = np.random.default_rng(3)
    for rows, width in ((60, 4), (12, 40)):
        x, y = rng.normal(size=(rows, width)), rng.random(rows) < 0.5
        probe = fit_probe(x, y, ridge=2.0)
        z = (x - x.mean(0)) / (x.std(0) + 1e-6)

        def loss(w, z=z, y=y):
            line = z @ w[:-1] + w[-1]
            return np.logaddexp(0, np.where(y, -line, line)).sum() + (w[:-1] ** 2).sum() + 0.5e-3 * w[-1] ** 2

        best = minimize(loss, np.zeros(width + 1), tol=1e-10).x
        assert probe(x) == pytest.approx(1 / (1 + np.exp(-(z @ best[:-1] + best[-1]))), abs=1e-4)


def test_cross_fitting_never_sees_the_person():
    names = [f"n{i % 12}" for i in range(120)]
    person = np.array([int(n[1:]) for n in names])
    x = np.eye(12)[person]  # names alone: what is learned of others says nothing
    labels = [bool(p % 2) for p in person]
    found, count = crossed(x, labels, names)
    assert count == 120
    assert auroc(found, labels) <= 0.5
    assert len(set(folds(["a", "b", "c", "d", "e", "f", "g", "h"]))) > 1
    alone, _ = crossed(x, [True] * 120, names)
    assert np.isnan(alone).all()


def test_auroc_is_the_rank_statistic_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    true = rng.random(200) < 0.4
    score = np.round(0.5 * true + rng.random(200), 1) / 1.5
    wanted = mannwhitneyu(score[true], score[~true]).statistic / (true.sum() * (~true).sum())
    found = judged(score, true, [f"{i // 10}" for i in range(200)], draws=200)
    assert found.auroc == pytest.approx(wanted)
    assert found.low < found.auroc < found.high
    assert (found.claims, found.people) == (200, 20)
    assert found.calibration_error is not None
    assert judged(score * 5, true, ["a"] * 200, draws=5).calibration_error is None
    assert np.isnan(auroc([1, 2], [True, True]))


def believing():
    kept = []
    for i, values in enumerate(([0.9, 0.2, 0.6], [0.7])):
        bio = bios()[i]
        claims = [
            Stated(c.text, c.sentence, c.support, c.by, None, c.relation, {"probe": v})
            for c, v in zip(bio.claims, values, strict=True)
        ]
        kept.append(Bio(bio.id, bio.name, bio.prompt, bio.text, bio.draw, tuple(claims)))
    return kept


def texts_of(found):
    return [[claim.text.split()[-1] for claim in bio.stated] for bio in found]


def test_filters_at_every_level():
    found = believing()
    assert signals_in(found) == ("probe",)
    none, support, belief, both = read_rules("none,support,belief:probe,belief:probe+support", ("probe",))
    assert texts_of(kept_by(found, none)) == [["Rome.", "poet.", "won."], ["Oslo."]]
    assert texts_of(kept_by(found, support)) == [["Rome.", "poet."], []]
    assert texts_of(kept_by(found, belief)) == [["Rome.", "won."], ["Oslo."]]
    assert texts_of(kept_by(found, both)) == [["Rome."], []]
    assert texts_of(kept_by(found, belief, top=0.5)) == [["Rome."], ["Oslo."]]
    assert texts_of(kept_by(found, belief, level="sentence")) == [["Rome."], ["Oslo."]]
    assert [bio.id for bio in kept_by(found, belief, level="text")] == ["a#1"]
    assert [bio.id for bio in kept_by(found, support, level="text")] == ["a#0"]
    assert text_of(kept_by(found, support, level="sentence")[0], "sentence") == "Ann was born in Rome."
    assert [row["completion"] for row in train_rows(kept_by(found, support))] == [
        " Ann Lee was born in Rome. Ann Lee is a poet."
    ]
    about = manifest_of({"support": kept_by(found, support)}, "claim")["support"]
    assert (about["texts"], about["claims"], about["words"], about["supported_of_judged"]) == (1, 2, 11, 1.0)


def test_random_is_as_long_text_by_text_and_follows_from_the_seed():
    found = believing()
    like = kept_by(found, read_rules("belief:probe", ("probe",))[0])
    cut = at_random(found, like, 4)
    assert [len(bio.stated) for bio in cut] == [2, 1]
    assert cut == at_random(found, like, 4)
    assert len({tuple(map(tuple, texts_of(at_random(found, like, seed)))) for seed in range(20)}) == 3
    with pytest.raises(RealmodelsError, match="are others"):
        at_random(found, like[:1], 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "none given"),
        ("supports", "unknown 'supports'"),
        ("belief:prob", r"no belief 'prob'; did you mean 'probe'"),
        ("none+support", "'none' stands alone"),
        ("support:x", "unknown 'support:x'"),
    ],
)
def test_arms_that_cannot_be(text, line):
    with pytest.raises(RealmodelsError, match=line):
        read_rules(text, ("probe",))


def test_states_cut_short_are_told_of_and_leave_nothing(tmp_path, monkeypatch):
    """numpy writes arrays past Python's file and does not look whether all of it fitted."""
    read = pytest.importorskip("realmodels.bios_beliefs").Read
    bio = Bio("a", "Ann Lee", "Who?", "...", claims=tuple(Stated(f"claim {k}", "") for k in range(7)))

    def said(loaded, pairs, layer, batch):
        return [read(-1.0, 3, np.ones(32, np.float32)) for _ in pairs]

    monkeypatch.setattr("realmodels.bios_beliefs.read_claims", said)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            read_all(lambda: None, "f", [bio], 1, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "states").iterdir()) == []
    assert read_all(lambda: None, "f", [bio], 1, tmp_path)[1].shape == (7, 32)
