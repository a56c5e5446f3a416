"""The tables of README are those of the files that they are made from."""

import csv
import json
import re
import subprocess
from dataclasses import replace

import pytest

from tests.hardening.survived import KINDS, Trial, commit, in_short, keep, read, table
from tests.house import ladder, page

TEXT = page.text()
TRIAL = Trial("lie", "a | b", 1200, 1199, "one did not", "python x.py --seed 0", "0a1b2c3d4")


@pytest.mark.parametrize("name", [name for name in page.TABLES if name != page.LICENCES])
def test_the_table_on_this_page_is_that_of_its_file(name):
    assert page.between(TEXT, name) == page.TABLES[name](), "write it anew: python -m tests.house.page"


def test_every_kind_of_trial_has_a_line():
    trials = read()
    assert {one.kind for one in trials} == set(KINDS)
    assert len({(one.kind, one.what) for one in trials}) == len(trials)
    for one in trials:
        assert 0 <= one.survived <= one.tried, one.what
        assert one.tried, one.what
        assert not re.search(r"/(work|tmp|root|home)\b", f"{one.command} {one.found}"), one


def test_a_newer_trial_replaces_the_older_and_the_order_is_that_of_the_kinds(tmp_path):
    path = tmp_path / "survived.jsonl"
    keep(replace(TRIAL, kind="scale"), path)
    keep(TRIAL, path)
    keep(replace(TRIAL, kind="crash", tried=1199), path)
    keep(replace(TRIAL, found="again"), path)
    assert [(one.kind, one.found) for one in read(path)] == [
        ("crash", "one did not"),
        ("lie", "again"),
        ("scale", "one did not"),
    ]
    assert all(json.loads(line)["tried"] > 1000 for line in path.read_text().splitlines())
    with pytest.raises(ValueError, match=r"a \| b: 2 of 1 survived"):
        keep(replace(TRIAL, tried=1, survived=2), path)


def test_a_line_says_of_which_commit_it_is(tmp_path):
    """And whether files differed from it; the lines themselves are no difference."""

    def git(*words):
        own = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        done = subprocess.run(
            ["git", "-C", tmp_path, *own, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    path = tmp_path / "tests" / "hardening" / "survived.jsonl"
    path.parent.mkdir(parents=True)
    said = replace(TRIAL, at="")
    keep(said, path)
    assert [one.at for one in read(path)] == [""]  # no checkout
    git("init", "-q")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    keep(said, path)
    keep(replace(said, what="c"), path)
    head = git("rev-parse", "--short=9", "HEAD")
    assert [one.at for one in read(path)] == [head, head]
    (tmp_path / "code.py").write_text("2")
    assert commit(path.parent) == f"{head}+"
    keep(said, path)
    assert [one.at for one in read(path)] == [f"{head}+", head]


def test_what_did_not_survive_stands_out():
    lines = table((TRIAL, replace(TRIAL, survived=1200))).splitlines()
    assert (
        lines[2]
        == r"| lie | a \| b | **1,199 of 1,200** | one did not | `python x.py --seed 0` | 0a1b2c3d4 |"
    )
    assert "| 1,200 of 1,200 |" in lines[3]


def test_in_short_there_is_neither_what_was_found_nor_the_command():
    assert in_short((TRIAL,)).splitlines()[2] == r"| lie | a \| b | **1,199 of 1,200** |"


def test_the_ladder_has_every_claim_that_a_scoreboard_has_and_counts_laboratories_that_disagree():
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in ladder.table().splitlines()[2:]
    ]
    told = {line[0].split()[0]: line[1:] for line in lines}
    with open(page.ROOT / "theory" / "results" / "scoreboard.csv", encoding="utf-8") as file:
        closed = {row["claim"]: row["verdict"] for row in csv.DictReader(file) if row["lab"] == "theory/R0"}
    words = {
        "reproduced": "reproduced",
        "contradicted": "**contradicted**",
        "inconclusive": "open",
        "missing": "",
    }
    assert {claim: cells[0] for claim, cells in told.items() if claim in closed} == {
        claim: words[verdict] for claim, verdict in closed.items() if claim in told
    }
    assert len(told) == len(lines) == len({claim for claim, _ in ladder.verdicts()})
    assert all(any(cells) for cells in told.values())
    assert ladder.cell(["reproduced", "inconclusive", "reproduced"]) == "2 reproduced, 1 open"
    assert ladder.cell(["contradicted"]) == "**contradicted**"
    assert ladder.cell([]) == ""


def test_a_table_is_put_between_its_marks_and_nothing_else_changes():
    text = "before\n<!-- x -->\nold\n<!-- end -->\nbetween\n<!-- y -->\nother\n<!-- end -->\n"
    new = page.put(text, "x", "new\nlines")
    assert new == text.replace("old", "new\nlines")
    assert page.between(new, "x") == "new\nlines"
    for there, name in ((text, "z"), (text + text, "x"), ("<!-- x -->\n", "x")):
        with pytest.raises(ValueError, match="expected once"):
            page.put(there, name, "new")


def test_the_page_is_written_anew_by_one_call(tmp_path, monkeypatch):
    path = tmp_path / "README.md"
    path.write_text("".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in ("a", "b")))
    monkeypatch.setattr(page, "TABLES", {"a": lambda: "A", "b": lambda: "B", "elsewhere": lambda: "C"})
    page.main([path])
    assert path.read_text() == "<!-- a -->\nA\n<!-- end -->\n<!-- b -->\nB\n<!-- end -->\n"
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
