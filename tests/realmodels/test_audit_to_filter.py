"""From rows over an audit to rows again: what `filter` writes is what was audited."""

import json
from collections import Counter

import pytest

from realmodels.cli import COMMANDS
from realmodels.rows import read_rows
from theory.command import main
from theory.world import make_world
from theory.world_file import spec_from_mapping


def run(*words):
    return main("python -m realmodels", "test", COMMANDS, [str(word) for word in words])


def audit(model, source, out, *words):
    few = [] if "--prompts" in words else ["--prompts", 1, "--shots", 1]
    assert run("audit", "--model", model, "--data", source, "-o", out, *few, *words) == 0
    return out


def test_a_table_with_columns_of_its_own_comes_back_byte_for_byte(tiny, tmp_path):
    rows = [
        "prompt,extra,completion",
        'Capital of France?,"a, b",Paris',
        "Of Japan?,,Tokyo",
        "Of Peru?,é,Lima",
    ]
    table = "\n".join([*rows, ""])
    source = tmp_path / "rows.csv"
    source.write_text(table, encoding="utf-8")
    out = audit(tiny, source, tmp_path / "run", "--map", "question=prompt", "answers=completion")
    assert run("filter", out, "--limit", 3, "-o", tmp_path / "all.csv") == 0
    assert (tmp_path / "all.csv").read_text("utf-8") == table
    manifest = json.loads((tmp_path / "all.csv.manifest.json").read_text())
    assert (
        manifest["source"]["fingerprint"]
        == read_rows(source, {"question": "prompt", "answers": "completion"}).fingerprint
    )
    assert manifest["audit"]["estimator"] == "exact"
    assert (
        run("filter", out, "--arms", "random", "--match", "none", "--size", 2, "-o", tmp_path / "arms") == 0
    )
    assert set((tmp_path / "arms" / "random.csv").read_text("utf-8").splitlines()) < set(table.splitlines())


@pytest.mark.parametrize(
    "source",
    [
        "popqa/popqa_sample_2000.tsv",
        "entityquestions/official_layout",
        "entityquestions/dev.jsonl.gz",
        "mmlu/test/global_facts_test.csv",
        "relations",
        "factscore/ChatGPT.jsonl.gz",
    ],
)
def test_real_rows_come_back_as_they_were_read(source, data, tiny, tmp_path):
    path = data / source
    read = read_rows(path, limit=12)
    out = audit(tiny, path, tmp_path / "run", "--limit", 12, "--shots", 0)
    assert run("filter", out, "--top", 0.5, "--by", "logprob") == 0
    (written,) = (file for file in out.glob("filtered.*") if not file.name.endswith("manifest.json"))
    knowledge = [json.loads(line)["knowledge"] for line in (out / "audit.jsonl").read_text().splitlines()]
    order = sorted(range(12), key=lambda i: (-knowledge[i]["logprob"], i))
    kept = [read.rows[i].original for i in sorted(order[:6])]
    if read.kind == "csv-bare":
        import csv

        with open(written, newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [list(row.values()) for row in kept]
    elif read.kind == "jsonl":
        assert [json.loads(line) for line in written.read_text("utf-8").splitlines()] == kept
    else:
        assert [row.original for row in read_rows(written).rows] == kept


def test_a_pocket_models_facts_make_matched_arms(pocket, tmp_path):
    about = json.loads((pocket / "nameblind.json").read_text())
    world = make_world(spec_from_mapping(about["world"]), about["seed"])
    rows = [
        {
            "question": f"question {relation} of {subject} ? answer",
            "answers": answers,
            "about": [subject, relation],
        }
        | {"subject": subject, "relation": relation}
        for subject, relation, answers in map(world.triple, range(len(world)))
    ]
    source = tmp_path / "facts.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--style", "sentence", "--signals", "margin", "--prompts", 3, "--shots", 2]
    out = audit(pocket, source, tmp_path / "run", *words)
    found = [json.loads(line) for line in (out / "audit.jsonl").read_text().splitlines()]
    label = {row["question"]: row["knowledge"]["label"] for row in found}
    margin = {row["question"]: row["knowledge"]["margin"] for row in found}

    assert (
        run("filter", out, "--top", 0.25, "--by", "margin", "--no-dominant", "-o", tmp_path / "top.jsonl")
        == 0
    )
    top = [json.loads(line) for line in (tmp_path / "top.jsonl").read_text().splitlines()]
    assert all(row in rows for row in top)
    able = [row["question"] for row in found if not row["knowledge"]["dominant_answer"]]
    kept = {row["question"] for row in top}
    assert min(margin[q] for q in kept) >= max(margin[q] for q in able if q not in kept)

    arms = tmp_path / "arms"
    chosen = [
        "--arms",
        "known,unknown,known-permuted",
        "--match",
        "relation",
        "--disjoint-subjects",
        "-o",
        arms,
    ]
    assert run("filter", out, *chosen) == 0
    known, unknown, permuted = (read_rows(arms / f"{name}.jsonl").rows for name in chosen[1].split(","))
    assert {label[row.question] for row in known} <= {"HighlyKnown", "MaybeKnown"}
    assert {label[row.question] for row in unknown} == {"Unknown"}
    assert len(known) == len(unknown) == len(permuted) > 10
    assert sorted(row.relation for row in known) == sorted(row.relation for row in unknown)
    assert not {row.subject for row in known} & {row.subject for row in unknown}
    assert [row.question for row in permuted] == [row.question for row in known]
    for relation in {row.relation for row in known}:
        pairs = [pair for pair in zip(known, permuted, strict=True) if pair[0].relation == relation]
        dealt = Counter(right.answers for right, _ in pairs)
        assert dealt == Counter(false.answers for _, false in pairs)
        still = sum(not set(right.answers).isdisjoint(false.answers) for right, false in pairs)
        # this small model knows a relation mostly by its commonest answer, which cannot go everywhere
        assert still == max(0, 2 * max(dealt.values()) - len(pairs))
