"""`bios` as a person types it: the whole chain on a tiny model, and one line for what cannot be."""

import json

import pytest

from realmodels.bios_cli import Bios
from realmodels.train_rows import read_train
from theory.command import main


def bios(capsys, *words):
    code = main("python -m realmodels", "", {"bios": Bios, "other": Bios}, ["bios", *map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("Peru\nNorway\nCuba\nPeru\n")
    rows = [
        ("Peru", "capital", "Lima"),
        ("Norway", "capital", "Oslo"),
        ("Norway", "size", "big"),
        ("Cuba", "size", "small"),
    ]
    lines = [json.dumps({"subject": s, "relation": r, "object": o}) for s, r, o in rows]
    (tmp_path / "facts.jsonl").write_text("\n".join(lines) + "\n")
    texts = [
        ("Peru", "The capital of Peru is Lima. Peru is small."),
        ("Norway", "Norway is big. The capital is Lima."),
    ]
    texts += [("Cuba", "Cuba is small and is old. It is big in size.")]
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"name": n, "text": t}) + "\n" for n, t in texts)
    )
    return tmp_path


def test_the_whole_chain(place, tiny, capsys):
    write = ("write", "--model", tiny, "--people", "names.txt", "-o", "w", "--samples", "1", "--tokens", "6")
    code, out, err = bios(capsys, *write)
    assert code == 0, err
    assert out.startswith("6 texts about 3 people")
    assert "wrote w/bios.jsonl" in err
    written = (place / "w" / "bios.jsonl").read_bytes()
    assert bios(capsys, *write)[0] == 0
    assert (place / "w" / "bios.jsonl").read_bytes() == written

    code, out, _ = bios(capsys, "split", "--data", "texts.jsonl", "-o", "claims.jsonl")
    assert code == 0
    assert "3 texts, 7 claims" in out
    every = ("--signals", "statement", "verification", "consistency", "probe")
    command = (
        "score",
        "--data",
        "claims.jsonl",
        "-o",
        "s",
        "--facts",
        "facts.jsonl",
        "--model",
        tiny,
        *every,
    )
    code, out, err = bios(capsys, *command)
    assert code == 0, err
    first = {name: (place / "s" / name).read_bytes() for name in ("scored.jsonl", "summary.json")}
    summary = json.loads(first["summary.json"])
    assert summary["all"]["texts"] == 3
    assert summary["all"]["recall"] == 3 / 4  # Norway's capital is told wrong
    assert summary["all"]["precision"] == pytest.approx(3 / 7)
    assert {"statement", "verification", "probe"} <= set(summary["signals"])
    assert bios(capsys, *command, "--json")[1].startswith("{")
    assert {name: (place / "s" / name).read_bytes() for name in first} == first

    arms = "none,support,belief:statement,random"
    code, out, err = bios(
        capsys, "filter", "--data", "s/scored.jsonl", "-o", "arms", "--arms", arms, "--top", "0.5"
    )
    assert code == 0, err
    manifest = json.loads((place / "arms" / "manifest.json").read_text())["arms"]
    assert manifest["random"]["claims"] == manifest["belief:statement"]["claims"] == 4
    assert manifest["support"]["supported_of_judged"] == 1.0
    from realmodels.loading import load_tokens
    from realmodels.prompting import style_named

    for name in ("none", "support", "belief-statement", "random"):
        kept = read_train(place / "arms" / f"{name}.jsonl", load_tokens(str(tiny)), style_named("qa"))
        assert kept.kind == "completion"
        assert len(kept) == manifest[name.replace("-", ":")]["texts"]


def test_a_judge_with_passages(place, tiny, capsys):
    assert bios(capsys, "split", "--data", "texts.jsonl", "-o", "c.jsonl", "--splitter", "sentences")[0] == 0
    (place / "p.jsonl").write_text('{"name": "peru", "text": "Peru is a country."}\n')
    code, _, err = bios(
        capsys, "score", "--data", "c.jsonl", "-o", "j", "--judge", tiny, "--passages", "p.jsonl"
    )
    assert code == 0, err
    rows = [json.loads(line) for line in (place / "j" / "scored.jsonl").read_text().splitlines()]
    told = {row["name"]: [claim.get("by") for claim in row["claims"]] for row in rows}
    assert told == {"Peru": ["judge", "judge"], "Norway": [None, None], "Cuba": [None, None]}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("write --model MODEL --people none.txt -o w", "none.txt: no such file"),
        ("write --model nowhere/x --people names.txt -o w", "nowhere/x"),
        ("write --model MODEL --people names.txt -o names.txt", "wants a folder"),
        ("write --model MODEL --people names.txt -o w --tokens 0", "--tokens"),
        ("write --model MODEL --people names.txt -o w --limit 0", "--limit"),
        ("write --model MODEL --people names.txt -o w --request hello", "--request"),
        (
            "write --model MODEL --people names.txt -o w --shown texts.jsonl --shots 9",
            "has 3 biographies to show",
        ),
        ("write --model MODEL --people names.txt -o w --tokens 5000", "fewer shots|sees"),
        ("split --data none.jsonl -o c.jsonl", "none.jsonl: No such file"),
        ("split --data names.txt -o c.jsonl", "bios write --people"),
        ("split --data facts.jsonl -o c.jsonl", "field 'name'"),
        ("split --data texts.jsonl -o c.jsonl --splitter rulez", "did you mean 'rules'"),
        ("score --data texts.jsonl -o s --facts facts.jsonl", "not split into claims"),
        ("score --data CLAIMS -o s", "nothing to score by"),
        ("score --data CLAIMS -o s --facts facts.jsonl --passages texts.jsonl", "they are for a judge"),
        ("score --data CLAIMS -o s --facts facts.jsonl --adapter a", "it is for a model"),
        ("score --data CLAIMS -o s --facts facts.jsonl --matcher wordz", "did you mean 'words'"),
        ("score --data CLAIMS -o s --facts names.txt", "names.txt"),
        ("score --data CLAIMS -o s --model MODEL --depth 0", "--depth"),
        ("score --data CLAIMS -o s --model MODEL --signals probe", "no claim has a verdict"),
        ("score --data CLAIMS -o s --model MODEL --signals verification --ask why", "--ask"),
        (
            "score --data CLAIMS -o s --model MODEL --signals verification --yes a --no a",
            "two different words",
        ),
        ("filter --data CLAIMS -o a", "no claim has a verdict"),
        ("filter --data CLAIMS -o a --arms none,random --level text", "use --level claim"),
        ("filter --data CLAIMS -o a --arms random", "name one before it"),
        ("filter --data CLAIMS -o a --arms belief:x", "no belief 'x'"),
        ("filter --data CLAIMS -o a --arms none --top 1.5", "--top"),
        ("agree --data nowhere", "is no folder"),
        ("agree --data .", "two systems at least|field 'topic'"),
        ("agree --data . --judge MODEL", "--output-dir"),
        ("agree --data . --sample 1", "--sample"),
    ],
)
def test_bad_input_is_one_line(place, tiny, capsys, words, line):
    import re

    assert bios(capsys, "split", "--data", "texts.jsonl", "-o", "ok.jsonl")[0] == 0
    before = sorted(path.name for path in place.iterdir())
    given = [{"MODEL": str(tiny), "CLAIMS": "ok.jsonl"}.get(word, word) for word in words.split()]
    code, out, err = bios(capsys, *given)
    assert code == 2, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(line, last), last
    assert "Traceback" not in err
    assert not out
    left = {path.name for path in place.iterdir()} - set(before)
    assert not any((place / name).is_file() for name in left)
