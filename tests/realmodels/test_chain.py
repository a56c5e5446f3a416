"""From a pocket model to the gap of known over unknown rows, by the commands that a person would type.

World, sizes, rate and epochs were settled on seeds 0 to 2; the seeds below were named before any of them was run."""

import json
import os
import time

import pytest

SEEDS = (1000, 1001, 1002)
KNOWN = "category=HighlyKnown|MaybeKnown"
STRATA = {
    "all known": KNOWN,
    "taught by both or neither": f"{KNOWN},answer=both|neither",
    "neither copied nor guessed nor taught by one": f"{KNOWN},answer=both|neither,overlap=no,dominant=no",
    "taught by the known rows alone": f"{KNOWN},answer=known-only",
    "taught by the unknown rows alone": f"{KNOWN},answer=unknown-only",
}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _cores_seconds():
    """What ended children have used."""
    spent = os.times()
    return spent.children_user + spent.children_system


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_known_rows_beat_unknown_rows(seed, cli, tmp_path, capsys):
    seconds, before = {}, _cores_seconds()

    def run(*words):
        started = time.perf_counter()
        done = cli(*map(str, words), env={"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        seconds[words[1]] = seconds.get(words[1], 0) + time.perf_counter() - started
        return done.stdout

    run("synthetic", "pocket", "pocket", "--seed", seed)
    few = ["--prompts", 2, "--limit", 1200, "--style", "sentence"]
    run("realmodels", "audit", "--model", "pocket", "--data", "pocket/questions.jsonl", *few, "-o", "audit")
    drawn = ["--match", "relation", "--disjoint-subjects", "--held-out", 0.3]
    run("realmodels", "filter", "audit", "--arms", "known,unknown", *drawn, "-o", "arms")
    rows = {name: lines(tmp_path / "arms" / f"{name}.jsonl") for name in ("known", "unknown", "held-out")}
    assert len(rows["known"]) == len(rows["unknown"]) > 100
    about = {name: {row["subject"] for row in some} for name, some in rows.items()}
    assert not about["held-out"] & (about["known"] | about["unknown"])
    assert not about["known"] & about["unknown"]

    arms = [word for name in ("known", "unknown") for word in ("--arm", f"{name}=arms/{name}.jsonl")]
    recipe = ["--set", "style=sentence", "rate=1e-3", "epochs=10"]
    run("realmodels", "train", "--model", "pocket", *arms, "-o", "adapters", *recipe)
    wear = [word for name in ("known", "unknown") for word in ("--adapter", f"adapters/{name}")]
    asked = [
        "--tasks",
        "facts=arms/held-out.jsonl",
        "--prompts",
        "zero",
        "--style",
        "sentence",
        "--longest",
        4,
    ]
    run("realmodels", "eval", "--model", "pocket", *wear, *asked, "-o", "eval")

    found = {}
    for name, stratum in STRATA.items():
        words = ["--metrics", "exact", "--stratum", stratum, "--json"]
        (found[name],) = json.loads(run("realmodels", "compare", "eval/known", "eval/unknown", *words))[
            "differences"
        ]
    (bare,) = json.loads(
        run(
            "realmodels",
            "compare",
            "eval/base",
            "eval/known",
            "--metrics",
            "exact",
            "--stratum",
            KNOWN,
            "--json",
        )
    )["differences"]

    with capsys.disabled():  # what the commands found is worth reading
        spent = ", ".join(f"{name} {s:.0f} s" for name, s in seconds.items())
        print(f"\nseed {seed}: untuned {bare['first']:.3f}; {spent}; in all {sum(seconds.values()):.0f} s")
        for name, one in found.items():
            limits = one["by_subject"] or one["by_item"]
            print(
                f"  {name}: known rows {one['first']:.3f}, unknown rows {one['second']:.3f}, gap "
                f"{one['difference']:+.3f} [{limits['low']:+.3f}, {limits['high']:+.3f}], n = {one['n']}"
            )
    assert (
        sum(seconds.values()) < 180 or _cores_seconds() - before < 180
    )  # of a core, where others use it too
    assert bare["first"] > 0.9  # the untuned model answers what it knows, asked as it has read
    for name in list(STRATA)[:3]:
        one = found[name]
        assert one["by_subject"]["low"] > 0, name
        assert one["p"] < 0.05, name
        assert one["n"] >= 50, name
