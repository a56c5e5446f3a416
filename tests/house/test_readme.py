"""Every command block on README and the pages behind it works when pasted, in the order in which it stands there."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.house import again, page

ROOT = page.ROOT
FRONT, TEXT = page.README.read_text(encoding="utf-8"), page.text()
SHOWN = re.findall(r"!\[[^]]*\]\((.+?)\)", FRONT)  # pictures that the front page itself shows
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, flags=re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The checkout as a person has it, with this environment as its .venv; what commands write stays here."""
    place = tmp_path_factory.mktemp("readme")
    for path in ROOT.iterdir():
        if path.name not in {".venv", ".git", "out", "runs", "README.md"} and not path.name.startswith(
            ".venv-"
        ):
            (place / path.name).symlink_to(path)
    shutil.copy(ROOT / "README.md", place)
    (place / ".venv").symlink_to(sys.prefix)
    return place


def paste(block, folder):
    env = {
        **os.environ,
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SEEDS": "2",
        "LAB": "1",
        "MPLBACKEND": "agg",
    }
    # Running the suite inside the suite would never end: its target is resolved instead.
    block = re.sub(r"^make (test|bench|lint|test-slow)\b", r"make -n \1", block, flags=re.M)
    # An install is resolved and not carried out: the environment belongs to the suite.
    block = block.replace("pip install", "pip install --dry-run")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_readme_has_commands_and_leads_to_every_page():
    assert len(BLOCKS) >= 4
    assert "make reproduce" in FRONT
    assert "make test" in FRONT
    for path in page.PAGES[1:]:
        assert any(
            f"({os.path.relpath(path, one.parent)}" in one.read_text(encoding="utf-8") for one in page.PAGES
        ), path


# what makes everything anew takes minutes
NUMBERED = [
    pytest.param(number, marks=[pytest.mark.slow] if "make reproduce" in block else [])
    for number, block in enumerate(BLOCKS)
]


@pytest.mark.parametrize("number", NUMBERED)
def test_block(number, folder):
    run = paste(BLOCKS[number], folder)
    assert run.returncode == 0, f"{BLOCKS[number]}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    if "make reproduce" in BLOCKS[number]:
        drawn = {path.name for path in (folder / "out" / "figures").glob("*.png")}
        assert {Path(shown).name for shown in SHOWN} <= drawn
        assert {"threshold.png", "second-hop.png", "forest-A1.png"} <= drawn
        assert any(name.startswith("knowledge-") for name in drawn)


def test_the_pictures_of_this_page_lie_in_the_gallery_and_the_page_says_whose_they_are():
    assert len(SHOWN) >= 3
    assert all(Path(shown).parent == Path("figures/gallery") for shown in SHOWN)
    assert "`make reproduce` draws the same pictures by the same names into `out/figures`" in " ".join(
        FRONT.split()
    )


def test_python_blocks_run():
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.M | re.S)
    assert blocks
    for block in blocks:
        run = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, timeout=300, cwd=ROOT
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pictures_files_and_sections_named_on_a_page_exist(path):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text(encoding="utf-8")):
        name, _, section = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        if section:
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.M)
            assert section in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, (
                target
            )


@pytest.mark.parametrize("room", ["theory", "synthetic", "realmodels"])
def test_the_scoreboard_on_a_page_is_the_committed_one(room):
    results = ROOT / room / "results"
    board = (results / "scoreboard.md").read_text(encoding="utf-8").strip()
    between = re.search(rf"<!-- {room}/results/scoreboard.md -->\n(.*?)\n<!-- end -->", TEXT, flags=re.S)
    assert between is not None
    assert between[1] == board
    with open(results / "scoreboard.csv", encoding="utf-8") as file:
        verdicts = {(row["claim"], row["lab"]): row["verdict"] for row in csv.DictReader(file)}
    header, _, *lines = board.splitlines()
    labs = [cell.strip() for cell in header.split("|")[3:-1]]
    assert len(lines) == len({claim for (claim, _), told in verdicts.items() if told != "missing"})
    for line in lines:
        claim, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for lab, cell in zip(labs, cells[1:], strict=True):
            told = verdicts[claim.split()[0], lab]
            assert cell.strip("*").startswith(told) if cell else told == "missing"


def test_the_gap_on_this_page_is_the_one_in_the_picture():
    """Of sets matched in relation alone in the run that is drawn; of those matched in answers too in all runs."""
    with open(ROOT / "figures" / "gallery" / "waterfall-synthetic-R2-2layer.csv", encoding="utf-8") as file:
        rows = {row["series"]: row for row in csv.DictReader(file)}
    gap = {name: float(row["mean"]) for name, row in rows.items()}
    ends = ", ".join(f"{float(rows['rest'][end]):.1f}" for end in ("low", "high"))
    assert max(("copying", "answer support", "guessing"), key=gap.get) == "guessing"
    left = []
    for folder in ("first", ".", "third", "gentle"):
        with open(ROOT / "synthetic" / "results" / folder / "scoreboard.csv", encoding="utf-8") as file:
            parts = {
                row["part"]: row["effect"]
                for row in csv.DictReader(file)
                if row["lab"].startswith("synthetic/R2-2layer")
            }
        whole = "gap at the end, all test facts"
        rest = "gap at the end without copying, unequal answer support and guessing together"
        left.append(" of ".join(f"{float(parts[end]):.1f}" for end in (rest, whole)))
    *three, gentle = left
    for text in (FRONT, (ROOT / "synthetic" / "README.md").read_text(encoding="utf-8")):
        told = " ".join(text.split())
        raw = f"by {gap['raw']:.0f} points when the sets are matched in relation alone"
        assert f"{raw}; {gap['rest']:.1f} [{ends}] are left" in told
        assert f"{', '.join(three[:2])} and {three[2]} are left" in told
        assert f"in the three runs, and gently tuned {gentle}" in told


def laboratory(folder, name):
    """The rows of a table of one run of the two-layer laboratory."""
    with open(ROOT / "synthetic" / "results" / folder / f"{name}.csv", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["lab"].startswith("synthetic/R2-2layer")]


def test_what_the_front_page_says_of_prompts_is_in_the_tables_of_all_runs():
    def gaps(folder, stop):
        rows = {
            row["prompt"]: row
            for row in laboratory(folder, "gaps")
            if (row["stop"], row["split"], row["stratum"]) == (stop, "test", "all")
        }
        return " to ".join(f"{100 * float(rows[prompt]['mean']):.1f}" for prompt in ("zero", "own"))

    told = " ".join(FRONT.split())
    runs = [gaps(folder, "early") for folder in (".", "third", "first", "gentle")]
    assert f"(three runs: {', '.join(runs[:2])} and {runs[2]} points; gently tuned {runs[3]})" in told
    assert f"closes half if tuned gently ({gaps('gentle', 'end')})" in told
    assert f"little if tuned hard ({gaps('.', 'end')})" in told
    (added,) = (
        float(row["effect"])
        for row in laboratory("gentle", "scoreboard")
        if (row["claim"], row["part"]) == ("B3", "the same with the words held fixed")
    )
    assert f"add {added:.1f} points (B3, gently tuned, end)" in told


def test_what_the_front_page_says_of_own_text_is_in_the_tables_of_all_runs():
    found = [
        {
            row["part"]: float(row["effect"])
            for row in laboratory(folder, "scoreboard")
            if row["claim"] == "D1"
        }
        for folder in ("first", ".", "third")
    ]
    ahead, cut, recall = (
        [run[part] for run in found]
        for part in (
            "claim precision, generated and believed minus gold",
            "the same against gold cut to equal length at random",
            "claim recall, generated and believed minus gold",
        )
    )
    (cost,) = {f"{-lost:.0f}" for lost in recall}
    told = " ".join(FRONT.split())
    assert (
        f"by {min(ahead):.0f} to {max(ahead):.0f} points of precision at a cost of {cost} of recall" in told
    )
    assert f"at equal length by {min(cut):.0f} to {max(cut):.0f} (three runs)" in told


def test_the_counts_on_this_page_are_those_of_the_comparison():
    with open(ROOT / "theory" / "results" / "comparison.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with_interval = [row for row in rows if row["pilot_half"] != "nan"]
    agree, differ = (sum(row["verdict"] == kind for row in rows) for kind in ("agrees", "differs"))
    both = sum(row["verdict"] == "agrees" for row in with_interval)
    text = " ".join(TEXT.split())
    assert (
        f"Of {len(rows)} numbers of the pilot study {agree} agree with ours by the rule in the code and {differ} differ"
        in text
    )
    assert f"Of the {len(with_interval)} that have one, {both} agree." in text
    assert not [row for row in rows if row["sign"] == "opposite" and row["verdict"] == "differs"]


def test_what_a_page_says_of_the_three_runs_is_what_replicate_finds():
    results, text = ROOT / "synthetic" / "results", " ".join(TEXT.split())
    for first, second, kept in (("first", ".", "."), (".", "third", "third")):
        found = again.pair(results / first, results / second)
        assert found.to_csv() == (results / kept / "replication.csv").read_text(encoding="utf-8")
    verdicts = again.verdicts()
    for words, kind, times in (
        (r"Reproduced in all three: (.*?)\. ", "reproduced", 3),
        (r"Contradicted in all three: (.*?)\. ", "contradicted", 3),
        (r"Decided in two of three: (.*?) for the claim", "reproduced", 2),
        (r"Decided in two of three: .*? for the claim, (.*?) against it", "contradicted", 2),
        (r"In one: (.*?) for the claim;", "reproduced", 1),
        (r"In one: .*? for the claim; (.*?) against it", "contradicted", 1),
    ):
        told = re.search(words, text)
        assert told is not None, words
        assert _claims(told[1]) == {c for c, found in verdicts.items() if found.count(kind) == times}, words
    assert "No verdict turned into the opposite" in text
    assert not [c for c, found in verdicts.items() if {"reproduced", "contradicted"} <= set(found)]
    luck = again.pair(results, results / "third").reshuffled[again.LAB]
    assert ("The two runs of the present loop do not differ by more than luck" in text) == (luck.p >= 0.05)
    assert all(
        again.pair(results / "first", results / run).reshuffled[again.LAB].p < 0.05 for run in (".", "third")
    )


def test_what_this_page_says_of_the_rerun_is_what_its_effects_say():
    first = ROOT / "synthetic" / "results" / "first"
    old, new = _effects(first / "effects.csv"), _effects(first / "rerun.csv")
    shares = []
    for part, moved in new.items():
        known = old.get(part, {})
        spread = np.var(list(known.values()), ddof=1) if len(known) == 10 else 0.0
        moves = [moved[seed] - known[seed] for seed in (110, 111) if seed in moved and seed in known]
        if spread > 0 and moves:
            shares.append(np.mean(np.square(moves)) / 2 / spread)
    assert (
        f"moves {len(shares)} effects with a median of {np.median(shares):.0%} of the variance"
        in " ".join(TEXT.split())
    )


def _claims(words):
    """The claims in words such as `A1, U1 to U3 and V1`."""
    found = set()
    for first, last in re.findall(r"([A-Z]\d)(?: to ([A-Z]\d))?", words):
        found |= {f"{first[0]}{n}" for n in range(int(first[1]), int((last or first)[1]) + 1)}
    return found


def _effects(path):
    found = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["lab"] == "synthetic/R2-2layer":
                found.setdefault((row["claim"], row["part"]), {})[int(row["seed"])] = float(row["effect"])
    return found
