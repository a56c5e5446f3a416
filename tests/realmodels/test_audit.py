import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from realmodels.cli import COMMANDS
from realmodels.estimate import estimate
from realmodels.loading import load
from realmodels.prompting import STYLES, Shot
from tests.realmodels.common import with_room
from theory.command import main
from theory.matching import match
from theory.runs import locked
from theory.slick import by_count, by_detection, detection
from theory.world import make_world, spec_from_mapping

KNOWLEDGE = {
    "label", "p_greedy", "p_sample", "detection", "n_prompts", "n_samples", "estimator", "matcher", "exemplars",
    "logprob", "margin", "p_true", "popularity", "overlaps_subject", "dominant_answer",
    "id", "question", "answers", "subject", "relation",
}  # fmt: skip


def audit(*words):
    return main("python -m realmodels", "about", COMMANDS, ["audit", *map(str, words)])


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def known(folder):
    return [row["knowledge"] for row in lines(folder / "audit.jsonl")]


def put(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def capitals(n=30):
    return [
        {"note": f"ü{i}", "question": f"What is the capital of Land{i}?", "answers": [f"City{i}", f"C{i}"], "n": i,
         "subject": f"Land{i}", "relation": "capital"}
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    return put(tmp_path / "rows.jsonl", capitals())


@pytest.fixture(scope="session")
def facts(pocket, tmp_path_factory):
    """Every fact of the pocket model's world, as a question in its words."""
    about = json.loads((pocket / "nameblind.json").read_text())
    world = make_world(spec_from_mapping(about["world"]), about["seed"])
    triples = [world.triple(fact) for fact in range(len(world))]
    return put(
        tmp_path_factory.mktemp("facts") / "facts.jsonl",
        [
            {"question": f"question {r} of {s} ? answer", "answers": a, "subject": s, "relation": r}
            for s, r, a in triples
        ],
    )


@pytest.fixture(scope="session")
def audited(pocket, facts, tmp_path_factory):
    """The pocket model on all of it, the usual way, with margins."""
    folder = tmp_path_factory.mktemp("audited") / "out"
    assert (
        audit("--model", pocket, "--data", facts, "-o", folder, "--style", "sentence", "--signals", "margin")
        == 0
    )
    return folder


def test_rows_stay_as_they_are_and_in_order(tiny, rows, tmp_path):
    assert audit("--model", tiny, "--data", rows, "-o", tmp_path / "out", "--prompts", 2) == 0
    found = lines(tmp_path / "out" / "audit.jsonl")
    assert [{k: v for k, v in row.items() if k != "knowledge"} for row in found] == capitals()
    assert [list(row) for row in found] == [[*capitals()[0], "knowledge"]] * 30
    assert all(set(row["knowledge"]) == KNOWLEDGE for row in found)


def test_knowledge_is_what_the_estimator_says_of_the_stored_prompts(pocket, audited, facts):
    """Every answer asked again by hand behind the shots that the audit says it showed."""
    everything = known(audited)
    by_id = {one["id"]: one for one in everything}
    answers = [line for line in lines(audited / "generations.jsonl") if line["kind"] == "answer"]
    loaded = load(str(pocket), dtype="float32", device="cpu")
    for one in everything[::40]:
        greedy, p, logprob = [], [], []
        mine = sorted((line for line in answers if line["id"] == one["id"]), key=lambda line: line["prompt"])
        assert [line["prompt"] for line in mine] == list(range(10))
        for line in mine:
            shots = [Shot(by_id[i]["question"], by_id[i]["answers"][0]) for i in line["shots"]]
            assert one["subject"] not in {by_id[i]["subject"] for i in line["shots"]}
            assert {by_id[i]["relation"] for i in line["shots"]} == {one["relation"]}
            alone = estimate(
                loaded, STYLES["sentence"], shots, [one["question"]], [one["answers"]], cached=False
            )
            greedy.append(alone.greedy[0])
            p.append(alone.p_sample[0])
            logprob.append(alone.logprob[0])
        assert (
            one["label"] == ["Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"][by_detection(greedy, p)]
        )
        assert one["p_greedy"] == pytest.approx(np.mean(greedy), abs=1e-5)
        assert one["p_sample"] == pytest.approx(np.mean(p), abs=1e-5)
        assert one["logprob"] == pytest.approx(np.mean(logprob), abs=1e-4)
        assert one["detection"] == pytest.approx(detection(p), abs=1e-3)


def test_the_pocket_model_knows_some_facts_of_each_kind(audited):
    summary = json.loads((audited / "summary.json").read_text())
    counts = summary["all"]["labels"]
    assert counts == dict(Counter(one["label"] for one in known(audited)))
    assert min(counts.values()) > 5
    shares = summary["saturation"]["shares"]["HighlyKnown"]
    assert shares[0] > shares[-1] == pytest.approx(counts["HighlyKnown"] / len(known(audited)), rel=1e-5)


def test_margins_are_higher_where_the_answer_is_known(audited):
    found = known(audited)
    sure = [one["margin"] for one in found if one["p_greedy"] > 0 and not one["dominant_answer"]]
    unknown = [one["margin"] for one in found if one["label"] == "Unknown"]
    assert np.mean(sure) > np.mean(unknown) + 0.5
    assert spearmanr([one["margin"] for one in found], [one["p_sample"] for one in found]).statistic > 0.15


def test_dominant_answers_are_the_two_most_frequent_of_the_relation(audited):
    said = {line["id"]: line["said"] for line in lines(audited / "generations.jsonl") if "said" in line}
    relations = {}
    for one in known(audited):
        relations.setdefault(one["relation"], []).append(one)
    for members in relations.values():
        counts = Counter(said[one["id"]] for one in members)
        top = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0].lower()))[:2]]
        assert [one["dominant_answer"] for one in members] == [one["answers"][0] in top for one in members]


def test_it_prints_its_tables(pocket, facts, audited, capsys):
    assert (
        audit("--model", pocket, "--data", facts, "-o", audited, "--style", "sentence", "--signals", "margin")
        == 0
    )
    out = capsys.readouterr().out
    assert out.startswith("10 prompts of 4 shots, estimator exact, matcher exact; another number")
    assert "labels by the number of prompts" in out
    assert "permuted" in out
    arguments = [
        "--model",
        pocket,
        "--data",
        facts,
        "-o",
        audited,
        "--style",
        "sentence",
        "--signals",
        "margin",
    ]
    assert audit(*arguments, "--json", "--predict-harm") == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out) == json.loads((audited / "summary.json").read_text())
    assert "PREDICTION, not a measurement" in streams.err


def test_labels_do_not_depend_on_the_batch(pocket, facts, audited, tmp_path):
    for batch in (1, 7, 64):
        out = tmp_path / f"{batch}"
        words = ["--style", "sentence", "--prompts", 2, "--limit", 60, "--batch", batch]
        assert audit("--model", pocket, "--data", facts, "-o", out, *words) == 0
    one, *others = (known(tmp_path / name) for name in ("1", "7", "64"))
    for other in others:
        assert [a["label"] for a in one] == [b["label"] for b in other]
        for name in ("p_sample", "logprob", "p_greedy"):
            assert np.allclose([a[name] for a in one], [b[name] for b in other], atol=1e-5, rtol=1e-5)


def test_the_papers_sampling_labels_by_counts(pocket, facts, tmp_path):
    words = ["--style", "sentence", "--budget", "paper", "--prompts", 3, "--samples", 4, "--limit", 24]
    assert audit("--model", pocket, "--data", facts, "-o", tmp_path / "out", *words) == 0
    generations = lines(tmp_path / "out" / "generations.jsonl")
    for one in known(tmp_path / "out"):
        mine = [line for line in generations if line["id"] == one["id"]]
        assert [len(line["samples"]) for line in mine] == [4] * 3
        right = [sum(match(text, one["answers"]) for text in line["samples"]) for line in mine]
        greedy = [match(line["said"], one["answers"]) for line in mine]
        assert (
            one["label"] == ["Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"][by_count(greedy, right)]
        )
        assert one["p_sample"] == pytest.approx(sum(right) / 12, abs=1e-6)
        assert one["estimator"] == "sample"


def test_hybrid_judges_by_the_matcher(pocket, facts, tmp_path):
    """Answers in capitals are wrong to the letter and right when normalised."""
    shouted = [{**row, "answers": [row["answers"].upper()]} for row in lines(facts)[:20]]
    data = put(tmp_path / "rows.jsonl", shouted)
    words = [
        "--model",
        pocket,
        "--data",
        data,
        "--style",
        "sentence",
        "--prompts",
        2,
        "--exemplars-from",
        facts,
    ]
    assert audit(*words, "-o", tmp_path / "exact") == 0
    assert audit(*words, "-o", tmp_path / "hybrid", "--estimator", "hybrid", "--matcher", "normalized") == 0
    assert sum(one["p_greedy"] for one in known(tmp_path / "exact")) == 0
    assert sum(one["p_greedy"] for one in known(tmp_path / "hybrid")) > 1


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_tables_and_other_column_names(tiny, tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter={"csv": ",", "tsv": "\t"}[kind])
        writer.writerow(["completion", "prompt", "extra"])
        writer.writerows([f'["City{i}", "C{i}"]', f"Where is Thing{i}?", f"x{i}"] for i in range(8))
    words = ["--map", "question=prompt", "answers=completion", "--prompts", 2]
    assert audit("--model", tiny, "--data", path, "-o", tmp_path / "out", *words) == 0
    found = lines(tmp_path / "out" / "audit.jsonl")
    assert found[3]["completion"] == '["City3", "C3"]'
    assert list(found[3]) == ["completion", "prompt", "extra", "knowledge"]
    assert found[3]["knowledge"]["answers"] == ["City3", "C3"]
    source = json.loads((tmp_path / "out" / "summary.json").read_text())["source"]
    assert (source["kind"], source["columns"]) == (kind, ["completion", "prompt", "extra"])
    assert source["names"] == {"question": "prompt", "answers": "completion"}
    assert {one["exemplars"] for one in known(tmp_path / "out")} == {"nearest"}


def test_popularity_goes_along(tiny, tmp_path):
    data = put(tmp_path / "rows.jsonl", [{**row, "popularity": row["n"] * 1.5} for row in capitals(8)])
    words = ["--prompts", 1, "--signals", "popularity"]
    assert audit("--model", tiny, "--data", data, "-o", tmp_path / "out", *words) == 0
    assert [one["popularity"] for one in known(tmp_path / "out")] == [i * 1.5 for i in range(8)]


def test_what_is_finished_is_not_asked_again(tiny, rows, tmp_path, monkeypatch):
    from realmodels import audit_ask

    asked = []
    plain = audit_ask.ask

    def counted(loaded, plan, piece, *how):
        asked.append((piece.kind, piece.prompt, len(piece.rows)))
        return plain(loaded, plan, piece, *how)

    monkeypatch.setattr(audit_ask, "ask", counted)
    words = ["--model", tiny, "--data", rows, "-o", tmp_path / "out"]
    assert audit(*words, "--prompts", 2) == 0
    assert sum(n for _, _, n in asked) == 60
    asked.clear()
    assert audit(*words, "--prompts", 2) == 0
    assert asked == []
    assert audit(*words, "--prompts", 3, "--signals", "margin") == 0
    assert Counter(kind for kind, prompt, _ in asked) == {"answer": 2, "margin": 2}
    assert {prompt for kind, prompt, _ in asked if kind == "answer"} == {2}
    asked.clear()
    left = tmp_path / "out" / "generations.rank-1.jsonl"  # of a team that was killed
    left.write_text((tmp_path / "out" / "generations.jsonl").read_text())
    assert audit(*words, "--prompts", 2, "--overwrite") == 0
    assert not left.exists()
    assert sum(n for _, _, n in asked) == 60
    assert len(lines(tmp_path / "out" / "generations.jsonl")) == 60


def test_an_audit_of_something_else_is_not_written_over(tiny, pocket, rows, tmp_path, capsys):
    out = tmp_path / "out"
    assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}
    capsys.readouterr()
    assert audit("--model", pocket, "--data", rows, "-o", out, "--prompts", 1) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {out / 'config.json'}: field 'model': the folder holds an audit with ")
    assert "choose another --output-dir, or drop it with --overwrite" in error
    other = put(tmp_path / "other.jsonl", capitals(5))
    assert audit("--model", tiny, "--data", other, "-o", out, "--prompts", 1) == 2
    assert "field 'data'" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"} == before
    assert audit("--model", tiny, "--data", other, "-o", out, "--prompts", 1, "--overwrite") == 0
    assert len(known(out)) == 5
    assert audit("--model", tiny, "--data", other, "-o", out, "--prompts", 1) == 0
    assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 2


def test_other_weights_in_the_same_place_are_noticed(tiny, rows, tmp_path, capsys):
    out = tmp_path / "out"
    assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 0
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "fingerprint": "0123"}, indent=1) + "\n")
    assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 2
    assert "field 'fingerprint': the weights of" in capsys.readouterr().err
    (out / "config.json").write_text("{}")
    assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 2
    assert "expected model, adapter and data of an audit; say --overwrite" in capsys.readouterr().err


def test_two_processes_do_not_share_a_folder(tiny, rows, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with locked(out / ".lock"):
        assert audit("--model", tiny, "--data", rows, "-o", out, "--prompts", 1) == 2
    error = capsys.readouterr().err
    assert f"{out}: in use by process " in error
    assert not (out / "audit.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--prompts", "0"], "--prompts: expected at least 1, got 0"),
        (["--limit", "0"], "--limit: expected at least 1, got 0"),
        (["--batch", "0"], "--batch: expected at least 1, got 0"),
        (["--samples", "0"], "--samples: expected at least 1, got 0"),
        (["--shots", "-1"], "--shots: expected at least 0, got -1"),
        (["--shots", "0"], "--shots 0: without shots all prompts are the same; add --prompts 1"),
        (["--temperature", "0"], "--temperature: expected a number above 0, got 0.0"),
        (["--temperature", "nan"], "--temperature: expected a number above 0, got nan"),
        (["--matcher", "exakt"], "--matcher: unknown 'exakt'; did you mean 'exact'?"),
        (["--matcher", "contains"], "--matcher contains: the exact estimator judges to the letter"),
        (["--style", "qua"], "style: unknown 'qua'; did you mean 'qa'?"),
        (["--map", "question"], "--map 'question': expected FIELD=COLUMN, such as question=prompt"),
        (["--map", "qestion=x"], "--map 'qestion=x': unknown field 'qestion'; did you mean 'question'?"),
        (["--map", "question=question", "question=note"], "'question' is mapped twice"),
        (["--map", "question=promt"], ":1: field 'promt' is missing"),
        (["--signals", "popularity"], "field 'popularity': no row has any; say --map popularity=COLUMN"),
        (["--calibration", "x.jsonl"], "--calibration: it is for a prediction; add --predict-harm"),
        (["--exemplars-from", "nowhere.jsonl"], "nowhere.jsonl: no such file or folder"),
    ],
)
def test_bad_flags_are_one_line_and_leave_nothing(tiny, rows, tmp_path, capsys, words, says):
    assert audit("--model", tiny, "--data", rows, "-o", tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "audit.jsonl").exists()


def test_rows_that_have_been_audited_are_not_audited_again(tiny, rows, tmp_path, capsys):
    assert audit("--model", tiny, "--data", rows, "-o", tmp_path / "out", "--prompts", 1) == 0
    again = tmp_path / "out" / "audit.jsonl"
    assert audit("--model", tiny, "--data", again, "-o", tmp_path / "two", "--prompts", 1) == 2
    assert "audit.jsonl:1: field 'knowledge' is there already" in capsys.readouterr().err


def test_a_file_is_no_folder(tiny, rows, capsys):
    assert audit("--model", tiny, "--data", rows, "-o", rows) == 2
    assert "is a file; --output-dir wants a folder" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from realmodels.cli import COMMANDS; from theory.command import main\n"
        "try: main('p', 'a', COMMANDS, ['audit', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_dry_run_from_the_command_line(tiny, rows, tmp_path, capsys, monkeypatch):
    from realmodels import audit_cost

    monkeypatch.setattr(audit_cost, "SECONDS", 0.1)
    assert audit("--model", tiny, "--data", rows, "-o", tmp_path / "out", "--dry-run") == 0
    assert "nothing was loaded or written" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


SETS = {
    "popqa": "popqa/popqa_sample_2000.tsv",
    "entityquestions": "entityquestions/dev.jsonl.gz",
    "official layout": "entityquestions/official_layout",
    "mmlu": "mmlu",
    "relations": "relations",
    "factscore": "factscore",
}


@pytest.fixture(scope="session")
def roomy(tiny, tmp_path_factory):
    return with_room(tiny, tmp_path_factory.mktemp("roomy") / "model")


def test_a_question_that_is_too_long_is_named_before_anything_is_asked(tiny, tmp_path, capsys):
    long = [
        {**row, "question": row["question"] + " and so on" * (200 if row["n"] == 9 else 0)}
        for row in capitals(30)
    ]
    data = put(tmp_path / "rows.jsonl", long)
    assert audit("--model", tiny, "--data", data, "-o", tmp_path / "out", "--prompts", 3) == 2
    error = capsys.readouterr().err
    assert f"{data}:10: field 'question': " in error
    assert "the model sees 512 at once; use fewer shots" in error
    assert not (tmp_path / "out" / "generations.jsonl").exists()


@pytest.mark.parametrize("name", SETS)
def test_200_rows_of_real_data_go_through(roomy, data, tmp_path, name):
    # in the random model's small vocabulary MMLU's questions are hundreds of tokens long
    words = ["--budget", "cheap", "--limit", 200, *(["--shots", 0, "--prompts", 1] if name == "mmlu" else [])]
    assert audit("--model", roomy, "--data", data / SETS[name], "-o", tmp_path / "out", *words) == 0
    found = known(tmp_path / "out")
    assert len(found) == 200
    assert all(one["answers"] and one["relation"] and one["logprob"] < 0 for one in found)
    assert all(one["exemplars"] in ("relation", "mixed", "random") for one in found)
    assert sum(one["exemplars"] == "relation" for one in found) >= 175


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_200_rows_of_real_data_and_a_real_model(smollm_folder, data, tmp_path, name):
    words = ["--budget", "cheap", "--limit", 200, "--dtype", "float32", "--device", "cpu"]
    assert audit("--model", smollm_folder, "--data", data / SETS[name], "-o", tmp_path / "out", *words) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert sum(summary["all"]["labels"].values()) == 200
    if name != "factscore":  # whose 200 rows may all be claims about few people
        assert 0 < summary["all"]["labels"]["Unknown"] < 200


def test_a_real_model_knows_capitals(smollm_folder, data, tmp_path):
    """Twelve countries, two prompts: some are known, and no answer is guessed for the other countries."""
    source = data / "relations" / "country_capital_city.json"
    words = ["--budget", "cheap", "--limit", 12, "--dtype", "float32", "--device", "cpu"]
    assert audit("--model", smollm_folder, "--data", source, "-o", tmp_path / "out", *words) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["all"]["known"] >= 4
    assert summary["all"]["accuracy"] > 5 * summary["all"]["permuted"]
    said = [line["said"] for line in lines(tmp_path / "out" / "generations.jsonl") if "said" in line]
    assert len(said) == 12
    assert all(said)
