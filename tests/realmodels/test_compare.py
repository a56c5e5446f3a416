"""Paired comparison: by hand, against scipy, and what must be refused."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from realmodels.compare import bootstrap, by_unit, compare
from realmodels.compare_cli import Compare, render
from realmodels.compare_read import Items, Run, read_run, read_runs
from realmodels.errors import RealmodelsError
from theory.command import main
from theory.intervals import crossed_interval, minimum_detectable_effect, t_interval


@pytest.fixture
def put(tmp_path):
    """Write a run's samples: right or wrong (or any number) by item."""

    def write(
        name, values, *, subjects=None, strata=None, hashes=None, task="facts_zero", metric="exact", **more
    ):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        lines = []
        for i, value in enumerate(values):
            doc = {"question": f"q{i}", "subject": subjects[i] if subjects else ""}
            line = {"doc_id": i, "doc": doc, "metrics": [metric, *more], metric: value}
            line["doc_hash"] = hashes[i] if hashes else f"h{i}"
            line |= {key: column[i] for key, column in more.items()}
            lines.append(json.dumps(line | ({"strata": strata[i]} if strata else {})) + "\n")
        (folder / f"samples_{task}_2026-01-02T03-04-05.678.jsonl").write_text("".join(lines))
        return folder

    return write


def run(first, second, **options):
    return compare(read_runs(f"{first}"), read_runs(f"{second}"), **options)


def test_by_hand(put):
    a = put("a", [1, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    b = put("b", [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    (found,) = run(a, b)
    assert (found.n, found.seeds, found.first, found.second) == (10, 1, 0.7, 0.2)
    assert found.difference == pytest.approx(0.5)
    (pair,) = found.mcnemar
    assert (pair.first, pair.second) == (6, 1)
    assert pair.p == pytest.approx(2 * (1 + 7) / 2**7)
    assert pair.p == pytest.approx(stats.binomtest(6, 7, 0.5).pvalue)
    assert (found.p, found.test, found.by_subject, found.crossed) == (pair.p, "McNemar", None, None)
    d = [0, 1, 1, 1, 1, 1, 1, 0, 0, -1]
    wanted = minimum_detectable_effect(np.std(d, ddof=1), 10)
    assert found.detectable == pytest.approx(float(wanted))
    assert found.by_item.low < 0.5 < found.by_item.high
    (back,) = run(b, a)
    assert back.difference == pytest.approx(-0.5)
    assert back.by_item.high == pytest.approx(-found.by_item.low, abs=0.11)  # another draw of steps of 0.1


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_is_the_binomial_test(put, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((2, 60)) < np.array([[0.6], [0.4]])).astype(int)
    (found,) = run(put("a", a.tolist()), put("b", b.tolist()))
    more, less = int((a > b).sum()), int((a < b).sum())
    assert found.mcnemar[0].p == pytest.approx(stats.binomtest(more, more + less, 0.5).pvalue)
    assert found.p == found.mcnemar[0].p


def test_item_bootstrap_is_scipys(put):
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.3, 1, 200), rng.normal(0, 1, 200)
    (found,) = run(
        put("a", a.tolist(), metric="logprob"), put("b", b.tolist(), metric="logprob"), draws=20_000
    )
    theirs = stats.bootstrap(
        (a - b,), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    # the tail is widened to Student's t, which at 200 items is by less than 1%
    assert found.by_item.low == pytest.approx(theirs.low, abs=0.01)
    assert found.by_item.high == pytest.approx(theirs.high, abs=0.01)
    assert (found.mcnemar, found.test) == ((), "t over items")
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_subjects_that_cluster_widen_the_interval(put):
    rng = np.random.default_rng(2)
    subjects = np.repeat(np.arange(40), 8)
    shift = rng.normal(0.2, 1, 40)[subjects]
    a = shift + rng.normal(0, 0.2, 320)
    names = [f"S{s}" for s in subjects]
    (found,) = run(
        put("a", a.tolist(), subjects=names, metric="f1"), put("b", [0.0] * 320, subjects=names, metric="f1")
    )
    own = found.by_subject
    assert (found.subjects, own.n, own.method) == (40, 40, "bootstrap by subject")
    wide = (own.high - own.low) / (found.by_item.high - found.by_item.low)
    assert 2.3 < wide < 3.4  # the square root of 8, less what is not shared
    per_subject = t_interval([a[subjects == s].mean() for s in range(40)])
    assert (own.low, own.high) == pytest.approx((per_subject.low, per_subject.high), abs=0.06)
    assert found.test == "t over subjects"
    assert found.p == pytest.approx(per_subject.pvalue(), rel=0.25)


def test_subjects_that_do_not_cluster_do_not():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (400, 1))
    groups = np.repeat(np.arange(100), 4)
    (item,), (subject,) = bootstrap(values, np.arange(400)), bootstrap(values, groups)
    assert (subject.high - subject.low) / (item.high - item.low) == pytest.approx(1, abs=0.15)


def test_a_test_over_items_of_few_subjects_is_called_one(put):
    one = [1, 1, 0, 1, 1, 0, 1, 1]
    for subjects in (2, 4, 5, 8):
        names = [f"S{i % subjects}" for i in range(8)]
        (found,) = run(put(f"a{subjects}", one, subjects=names), put("b", [0, 0, 1, 0, 0, 0, 0, 1]))
        text = render([found], "a", "b")
        said = (
            f"facts_zero exact: its 8 items have {subjects} subjects, too few to test over; "
            "p is over items, as if those of a subject were independent: ask about more subjects"
        )
        assert (said in text.splitlines()) == found.over_items == (subjects < 5)
        assert (found.test == "McNemar") == (subjects != 5)
    alone = put("alone", one, subjects=["S"] * 8)
    (found,) = run(alone, put("b", [0] * 8))
    assert "its 8 items have 1 subject, too few" in render([found], "a", "b")
    two = f"{put('c', one, subjects=list('aabbccdd'))},{put('d', one)}"
    (found,) = run(two, put("b", [0] * 8))
    assert (found.over_items, found.test) == (False, "seeds x subjects")


def test_subjects_of_unequal_size_weigh_by_their_items():
    values, groups = np.array([[1.0], [1.0], [1.0], [0.0], [0.0]]), np.array([0, 0, 0, 1, 2])
    (found,) = bootstrap(values, groups, draws=4000)
    assert found.mean == pytest.approx(0.6)
    assert (found.low, found.high) == (0.0, 1.0)


def test_one_group_says_nothing():
    (found,) = bootstrap(np.ones((3, 1)), np.zeros(3, np.int64))
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_bootstrap_covers():
    """Of 200 samples of 30 clustered items nearly all intervals hold the truth."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(30), 3)
    values = (rng.normal(0, 1, (30, 200)))[groups] + rng.normal(0, 1, (90, 200))
    found = bootstrap(values, groups, draws=1000)
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.91 <= held <= 0.985


def test_seeds_and_items_both_vary(put):
    rng = np.random.default_rng(5)
    shift, item = rng.normal(0.1, 0.1, 3)[:, None], rng.normal(0, 0.3, 50)
    d = shift + item + rng.normal(0, 0.2, (3, 50))
    firsts = ",".join(str(put(f"a{s}", row.tolist(), metric="logprob")) for s, row in enumerate(d))
    (found,) = run(firsts, put("b", [0.0] * 50, metric="logprob"))
    assert (found.seeds, found.test) == (3, "seeds x items")
    wanted = crossed_interval(d)
    assert found.crossed == wanted
    assert found.p == pytest.approx(wanted.pvalue())
    assert found.difference == pytest.approx(d.mean())
    assert found.crossed.high - found.crossed.low > found.by_item.high - found.by_item.low
    assert "leave out what seeds vary" in render([found], "a", "b")
    paired = ",".join(str(put(f"b{s}", [0.0] * 50, metric="logprob")) for s in range(3))
    assert run(firsts, paired)[0].crossed == wanted
    assert run(put("b", [0.0] * 50, metric="logprob"), firsts)[0].difference == pytest.approx(-d.mean())


def clustered(rng, shift, seeds=3, trials=300):
    """Runs of `seeds` each side: 20 subjects of 4 to 16 items, whose answers lean by subject; a metric a trial."""
    size = 4 + rng.permutation(20) % 13
    subject = np.repeat(np.arange(20), size)
    lean = rng.choice([0.3, 0.5, 0.7], (trials, 20))[:, subject]

    def side(chance):
        metrics = {str(t): (rng.random(len(subject)) < chance[t]).astype(float) for t in range(trials)}
        hashes, names = tuple(map(str, range(len(subject)))), tuple(f"s{i}" for i in subject)
        return Run(Path("x"), {"t": Items(Path("x"), hashes, metrics, names, ({},) * len(subject))})

    return [side(lean + shift) for _ in range(seeds)], [side(1 - lean) for _ in range(seeds)]


def test_seeds_do_not_make_subjects_forgotten():
    """No difference, but every subject leans one way: of 300 tables a twentieth or so may say that there is one."""
    found = compare(*clustered(np.random.default_rng(6), 0.0), draws=20)
    assert {one.test for one in found} == {"seeds x subjects"}
    wrong = sum(one.p < 0.05 for one in found)
    low, high = stats.binom.ppf(0.001, 300, 0.05), stats.binom.ppf(0.999, 300, 0.10)
    assert low <= wrong <= high
    assert np.mean([one.crossed.low <= 0 <= one.crossed.high for one in found]) > 0.88
    told = float(np.median([one.detectable for one in found]))
    shifted = compare(*clustered(np.random.default_rng(7), told, trials=100), draws=20)
    assert 0.65 < np.mean([one.p < 0.05 for one in shifted]) < 0.92


def test_subjects_over_seeds_weigh_by_their_items(put):
    names, d = ["S", "S", "S", "T", "U", "U"], np.random.default_rng(8).normal(0.2, 1, (3, 6))
    firsts = ",".join(str(put(f"a{s}", row.tolist(), subjects=names, metric="f1")) for s, row in enumerate(d))
    (found,) = run(firsts, put("b", [0.0] * 6, subjects=names, metric="f1"))
    assert found.difference == pytest.approx(d.mean()) == pytest.approx(found.crossed.mean)
    group = np.array([0, 0, 0, 1, 2, 2])
    mean = d.mean(axis=1)
    units = np.stack([mean + 3 / 6 * (d - mean[:, None])[:, group == g].sum(axis=1) for g in range(3)], 1)
    assert found.crossed.low == pytest.approx(crossed_interval(units).low)
    assert "seeds x subjects" in render([found], "a", "b")
    even = np.repeat(d[:, :3], 2, axis=1)
    alike = by_unit(even, np.repeat(np.arange(3), 2))
    assert alike == pytest.approx(even[:, ::2])  # subjects of one size: their means


def test_a_clean_sweep_over_seeds_is_no_more_certain_than_its_items(put):
    firsts = ",".join(str(put(f"a{s}", [1] * 8)) for s in range(3))
    (found,) = run(firsts, put("b", [0] * 8))
    assert found.p == pytest.approx(found.mcnemar[0].p)
    assert (found.crossed.low, found.crossed.high) == pytest.approx((1 - 2 * (1 - 0.025 ** (1 / 8)), 1.0))


def test_seeds_have_a_mcnemar_each(put):
    one, two = put("a0", [1, 1, 0, 1]), put("a1", [0, 1, 1, 1])
    (found,) = run(f"{one},{two}", put("b", [0, 0, 0, 1]))
    assert [(pair.first, pair.second) for pair in found.mcnemar] == [(2, 0), (2, 0)]


def test_items_are_paired_by_hash_and_not_by_place(put):
    a = put("a", [1, 0, 1, 0], hashes=["w", "x", "y", "y"])
    b = put("b", [0, 1, 0, 1], hashes=["y", "w", "x", "y"])
    (found,) = run(a, b)
    assert (found.mcnemar[0].first, found.mcnemar[0].second) == (1, 1)  # equal items in their order
    assert found.difference == 0


def test_holm_over_the_table(put):
    first, second = run(
        put("a", [1] * 8, contains=[1] * 8), put("b", [0] * 8, contains=[1, 1, 0, 1, 1, 1, 0, 1])
    )
    assert (first.p, second.p) == (pytest.approx(2 / 256), pytest.approx(0.5))
    assert (first.adjusted, second.adjusted) == (pytest.approx(4 / 256), pytest.approx(0.5))
    (alone,) = run(put("a", [1] * 8), put("b", [0] * 8), metrics=("exact",))
    assert alone.adjusted == alone.p


def test_strata_are_those_of_the_first(put):
    strata = [
        {"overlap": "no", "dominant": "no"},
        {"overlap": "no", "dominant": "yes"},
        {"overlap": "yes"},
    ] * 2
    a, b = put("a", [1, 0, 0, 1, 1, 0], strata=strata), put("b", [0] * 6)
    (found,) = run(a, b, stratum="overlap=no,dominant=no")
    assert (found.n, found.difference) == (2, 1.0)
    (found,) = run(a, b, stratum="overlap=yes")
    assert (found.n, found.difference) == (2, 0.0)


def test_equal_runs_show_nothing(put):
    (found,) = run(put("a", [1, 0, 1]), put("b", [1, 0, 1]))
    assert (found.difference, found.p) == (0, 1)
    assert math.isnan(found.detectable)


def test_the_latest_file_of_a_task_counts(put):
    folder = put("a", [0, 0])
    (folder / "samples_facts_zero_2027-01-01T00-00-00.000.jsonl").write_text(
        "".join(json.dumps({"doc_hash": f"h{i}", "metrics": ["exact"], "exact": 1}) + "\n" for i in range(2))
    )
    assert read_run(folder).task("facts_zero").metrics["exact"].tolist() == [1, 1]


def test_the_harness_own_filters_and_pairs_are_read(tmp_path):
    """gsm8k has two filters a document; perplexities are no numbers; booleans are."""
    lines = [
        {
            "doc_hash": f"h{i}",
            "doc": {"q": i},
            "filter": name,
            "metrics": ["em", "ppl"],
            "em": i == 0,
            "ppl": [1, 2],
        }
        for i in range(2)
        for name in ("strict", "flexible")
    ]
    path = tmp_path / "samples_gsm8k_2026-01-02T03-04-05.678.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_run(tmp_path)
    assert sorted(found.tasks) == ["gsm8k/flexible", "gsm8k/strict"]
    assert list(found.task("gsm8k/strict").metrics) == ["em"]
    assert found.task("gsm8k/strict").metrics["em"].tolist() == [1, 0]
    assert read_run(path).tasks.keys() == found.tasks.keys()


def test_table_and_json(put, capsys):
    subjects = [f"S{i // 2}" for i in range(12)]
    a, b = put("a", [1] * 10 + [0] * 2, subjects=subjects), put("b", [0] * 11 + [1], subjects=subjects)
    assert Compare(f"{a}", f"{b}").run() == 0
    out = capsys.readouterr().out
    for part in ("95% by subject", "+0.750", "only first", "McNemar", "Holm", "80% power at", "another seed"):
        assert part in out
    assert Compare(f"{a}", f"{b}", json=True).run() == 0
    said = json.loads(capsys.readouterr().out)
    (one,) = said["differences"]
    assert one["mcnemar"][0] == {"first": 10, "second": 1, "p": pytest.approx(2 * 12 / 2**11)}
    assert one["by_subject"]["n"] == 6
    assert one["by_item"]["df"] is None
    assert Compare(f"{a}", f"{a}", json=True).run() == 0
    assert json.loads(capsys.readouterr().out)["differences"][0]["detectable"] is None


BAD = {
    "nothing there": (["nowhere", "a"], "nowhere: no such folder; give one that holds samples_\\*.jsonl"),
    "no folder": ([",", "a"], "no folder given"),
    "no samples": (["bare", "a"], "bare: holds no samples_\\*.jsonl"),
    "runs inside": ([".", "a"], "it has runs inside, name one:"),
    "other items": (["a", "other"], "other items than .* \\(3 in common, 1 only here, 1 only there\\)"),
    "fewer items": (["a", "short"], "3 in common, 0 only here, 1 only there"),
    "other tasks": (["a", "task"], "a: has no task 'facts_cot', which task has"),
    "no such task": (["a", "b", "--tasks", "facts_zeros"], "no task 'facts_zeros'; did you mean 'facts_zero'"),
    "no such metric": (["a", "b", "--metrics", "exat"], "no metric 'exat'; known are exact"),
    "no common metric": (["a", "f1"], "no metric that both sides have"),
    "runs": (["a,b,a", "a,b"], "3 runs against 2"),
    "level": (["a", "b", "--level", "95"], "--level: expected a number between 0 and 1, such as 0.95, got 95"),
    "draws": (["a", "b", "--draws", "3"], "--draws: expected at least 100, got 3"),
    "stratum key": (["a", "b", "--stratum", "overlaps=no"], "no item has 'overlaps'; did you mean 'overlap'"),
    "stratum value": (["a", "b", "--stratum", "overlap=nope"], "no item with overlap=nope; did you mean 'no'"),
    "stratum none": (["b", "a", "--stratum", "overlap=no"], "it has no strata"),
    "stratum empty": (["a", "b", "--stratum", "overlap=no,dominant=yes"], "no item is in all of it"),
    "no hash": (["a", "nohash"], "nohash.jsonl:1: field 'doc_hash': expected a hash, got null"),
    "no metrics": (["a", "nometrics"], "field 'metrics': expected a list of names"),
    "only pairs": (["a", "pairs"], "none of its metrics \\(ppl\\) is a number"),
    "a gap": (["a", "gap"], ":2: field 'exact': expected a number, got null"),
    "not JSON": (["a", "broken"], "not JSON"),
    "blank": (["a", "blank"], "the file is empty|no samples"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, put, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    strata = [{"overlap": "no", "dominant": "no"}] * 2 + [{"overlap": "yes", "dominant": "yes"}] * 2
    put("a", [1, 0, 1, 0], strata=strata), put("b", [1, 1, 1, 0]), put("short", [1, 0, 1])
    put("other", [1, 0, 1, 0], hashes=["h0", "h1", "h2", "new"]), put("task", [1, 0, 1, 0], task="facts_cot")
    put("f1", [1, 0, 1, 0], metric="f1"), put("gap", [1, None, 1, 0])
    (tmp_path / "empty/samples").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    texts = {
        "nohash": '{"metrics": ["exact"], "exact": 1}\n',
        "nometrics": '{"doc_hash": "h0", "exact": 1}\n',
        "pairs": '{"doc_hash": "h0", "metrics": ["ppl"], "ppl": [1, 2]}\n',
        "broken": '{"doc_hash": "h0",\n',
        "blank": "\n",
    }
    for name, text in texts.items():
        (tmp_path / f"empty/samples/samples_facts_zero_{name}.jsonl").write_text(text)
    words, said = BAD[case]
    words = [f"empty/samples/samples_facts_zero_{word}.jsonl" if word in texts else word for word in words]
    code = main("x", "y", {"compare": Compare}, ["compare", *words])
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(said, err), err


def test_refused_before_any_number(put):
    with pytest.raises(RealmodelsError, match="evaluate both on the same rows"):
        run(put("a", [1, 0]), put("b", [1, 0], hashes=["p", "q"]))
