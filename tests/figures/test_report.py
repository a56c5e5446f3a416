"""The page holds what the scoreboard and the theorems say, whole, escaped, by itself."""

import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from figures import report
from figures.about import ABOUT
from figures.cli import COMMANDS
from figures.errors import FiguresError
from figures.formulas import formulas
from figures.html import Markup, filled, identifier, joined, prose, table, tag
from figures.panel import constants, predict
from figures.provenance import sources
from figures.report import page
from figures.report_claims import scoreboard
from figures.report_pictures import Picture, belonging, draw, shown
from figures.report_theorems import check, read_checks
from figures.runs import Runs, read_runs
from figures.words import minus, numbers, settling
from theory.checks import check_all, write_json
from theory.claims import CLAIMS
from theory.intervals import CROSSED, t_interval
from theory.measurements.ideal import exact, spread
from theory.predict import phase_diagram
from theory.records import Record, RecordWriter
from theory.theorems import THEOREMS

LABS = ("synthetic/R2-2layer", "synthetic/R2-4layer")
EVIL = "<script>alert(1)</script>\"'&amp;"
VOID = {"br", "img", "input", "meta"}


class Reader(HTMLParser):
    """Elements with their attributes and text, and whether every one that was opened was closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.wrong = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        element = {"tag": name, "text": "", **dict(attributes)}
        self.found.append(element)
        if name not in VOID:
            self.open.append(element)

    def handle_endtag(self, name):
        if not self.open or self.open.pop()["tag"] != name:
            self.wrong.append(name)

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, name, **attributes):
        return [
            one
            for one in self.found
            if one["tag"] == name
            and all(one.get(key.replace("_", "-")) == x for key, x in attributes.items())
        ]


def rows(lab, gap, run="r1"):
    for seed in (100, 101, 102, 103):
        sets = (("best", 0.6), ("lesser", 0.6 - gap), ("whole", 0.6), ("random", 0.55))
        for i, (on, value) in enumerate(sets):  # seeds that agree to the last digit would have no interval
            for step, share in ((1, 0.2), (5, 1.0), (10, 0.9)):
                for split in ("dev", "test"):
                    worth = share * value + 0.001 * (seed % 3) * (1 + i)
                    yield Record(
                        lab,
                        "salience",
                        run,
                        seed,
                        "all",
                        step,
                        on,
                        "zero",
                        split,
                        "all",
                        "accuracy",
                        worth,
                        99,
                    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, one with a command that tries to break out of the page."""
    folder = tmp_path_factory.mktemp("runs")
    for i, (lab, gap) in enumerate(zip(LABS, (0.3, -0.3), strict=True)):
        (folder / f"salience-{i}").mkdir()
        with RecordWriter(folder / f"salience-{i}" / "records.jsonl") as out:
            out.write_many(rows(lab, gap, run=f"r{i}"))
    about = {"command": f"python -m synthetic run {EVIL}", "packages": {"numpy": EVIL}}
    (folder / "salience-1" / "environment.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def checks():
    return check(5)


@pytest.fixture(scope="module")
def runs(folder):
    return read_runs([folder])


@pytest.fixture(scope="module")
def text(runs, folder, checks):
    return page(runs, sources([folder]), [], checks)


@pytest.fixture(scope="module")
def read(text):
    return Reader(text)


def test_every_element_is_closed_and_every_name_is_used_once(read):
    assert read.wrong == []
    assert read.open == []
    ids = [one["id"] for one in read.found if one.get("id")]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    aims = {one["href"][1:] for one in read.all("a") if one["href"].startswith("#")}
    assert aims <= set(ids)
    assert {one["for"] for one in read.found if one["tag"] == "label" and "for" in one} <= set(ids)


def test_nothing_is_fetched(read, text):
    for one in read.found:
        for key in ("src", "href"):
            assert one.get(key, "#").startswith(("#", "data:")), one
    assert not read.all("link")
    (policy,) = (one["content"] for one in read.all("meta", http_equiv="Content-Security-Policy"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "url(" not in text
    assert "@import" not in text


def test_landmarks_headings_and_tables_are_what_a_screen_reader_needs(read):
    assert [len(read.all(name)) for name in ("main", "header", "nav", "h1")] == [1, 1, 1, 1]
    levels = [int(one["tag"][1]) for one in read.found if re.fullmatch(r"h[1-6]", one["tag"])]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(one.get("scope") in ("row", "col") for one in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table"))
    assert read.all("p", id="count")[0]["aria-live"] == "polite"
    assert read.all("html")[0]["lang"] == "en"


def test_counts_are_the_scoreboards(read, runs):
    counts = Counter(verdict.answer for verdict in runs.board.verdicts)
    assert counts["reproduced"] > 0
    assert counts["contradicted"] > 0
    for answer in ("reproduced", "contradicted", "inconclusive", "missing"):
        (tile,) = read.all("li", data_count=answer)
        assert int(re.match(r"\d+", tile["text"])[0]) == counts[answer]
        cells = [one for one in read.all("div", data_answer=answer) if one["class"] == "verdict"]
        assert len(cells) == counts[answer]
    lines = read.all("tr")
    for lab in LABS:
        (line,) = (one for one in lines if re.match(rf"{re.escape(lab)}\d+", one["text"]))
        told = Counter(v.answer for v in runs.board.verdicts if v.lab == lab)
        wanted = "".join(str(told[x]) for x in ("reproduced", "contradicted", "inconclusive", "missing"))
        assert line["text"] == lab + wanted


def test_every_claim_and_theorem_has_its_place(read, checks):
    assert [one["data-claim"] for one in read.all("article") if "data-claim" in one] == list(CLAIMS)
    assert [one["data-theorem"] for one in read.all("article") if "data-theorem" in one] == list(THEOREMS)
    for claim in CLAIMS.values():
        (card,) = read.all("article", id=f"claim-{claim.id}")
        for words in (claim.sentence, claim.rule, claim.paper.citation):
            assert words in card["text"]
    for theorem in THEOREMS.values():
        (card,) = read.all("article", id=f"theorem-{identifier(theorem.id)}")
        assert f"{checks[theorem.id].instances:,} random instances" in card["text"]
        assert f"{len(theorem.assumptions)} assumptions and what breaks" in card["text"]
        plain = [
            one.words
            for one in theorem.counterexamples
            if not re.search(r"[_<>-]| [nu] |alpha|sigma", one.words)
        ]
        assert all(words in card["text"] for words in plain)
        assert all(name in card["text"] for name in theorem.perturbations)
    assert len(read.all("math")) >= len(THEOREMS)


def test_a_claim_shows_effect_interval_seeds_and_the_papers_number(read, runs):
    verdict = next(v for v in runs.board.verdicts if (v.claim.id, v.lab) == ("A1", LABS[0]))
    part = verdict.parts[0]
    (table_,) = (one for one in read.all("table") if one["text"].startswith(f"A1 in {LABS[0]}"))
    assert part.part.name in table_["text"]
    assert numbers(part.interval) in table_["text"]
    assert "5 to 10 points" in table_["text"]
    assert part.part.published.where in table_["text"]
    cells = [one for one in read.all("div", data_answer="reproduced") if one["class"] == "verdict"]
    assert any(numbers(settling(verdict).interval) in one["text"] for one in cells)


def judged_by(runs, **changes):
    """The same runs, had the intervals or the parts of their claims been others."""
    verdicts = tuple(
        replace(verdict, parts=tuple(replace(part, **changes) for part in verdict.parts))
        for verdict in runs.board.verdicts
    )
    found = Runs(runs.table)
    vars(found)["board"] = replace(runs.board, verdicts=verdicts)
    return found


def test_a_cell_says_where_there_is_no_room_for_an_effect(runs, read):
    full = judged_by(runs, cramped="at the floor: at most 1.0% accuracy")
    cells = [one for one in Reader(scoreboard(full)).all("div") if one.get("class") == "verdict"]
    assert any(
        re.search(r"reproduced\s*\(at the floor\)", one["text"])
        for one in cells
        if one["data-answer"] == "reproduced"
    )
    assert not any("at the floor" in one["text"] for one in cells if one["data-answer"] == "missing")
    assert not any("at the floor" in one["text"] for one in read.all("div"))


def test_the_page_says_what_its_intervals_go_over(runs, text, folder, checks):
    assert "95% interval over seeds; inconclusive is what stays open after Holm's correction" in unescape(
        text
    )
    one = replace(t_interval(np.array([1.0, 2.0, 3.0])), method=CROSSED)
    told = page(judged_by(runs, interval=one), sources([folder]), [], checks)
    assert "95% interval over seeds crossed with items; inconclusive is" in told
    assert "from intervals over seeds crossed with items, after Holm" in told
    assert "an interval over seeds crossed with items and a rule" in told


def test_what_others_wrote_cannot_become_part_of_the_page(text, read):
    assert "<script>alert" not in text
    assert len(read.all("script")) == 2
    assert any(EVIL in one["text"] for one in read.all("code"))  # seen as it was written
    assert any(f"numpy {EVIL}" in one["text"] for one in read.all("small"))


def test_a_note_of_a_check_is_text_too(runs, folder, checks, tmp_path):
    results = check_all(["K1"], n=5)
    write_json(tmp_path / "checks.json", results)
    content = json.loads((tmp_path / "checks.json").read_text())
    content[0]["note"] = EVIL
    (tmp_path / "checks.json").write_text(json.dumps(content))
    given = read_checks(tmp_path / "checks.json")
    found = page(runs, sources([folder]), [], given)
    assert "<script>alert" not in found
    assert found.count("not checked") == len(THEOREMS) - 1


def result(**changes):
    """A file of one result, in which something is not as it should be."""
    good = {"theorem": "K1", "seed": 0, "instances": 1, "violations": 0, "worst_error": 0, "seconds": 0}
    return json.dumps([good | changes])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[\n {"theorem"}', r"checks\.json:2: column 12: no JSON, expecting ':' delimiter"),
        ("", r"checks\.json:1: column 1: no JSON, expecting value"),
        (f"[{'9' * 5000}]", "holds a number that is too long"),
        ("[" * 200_000, "is nested too deeply"),
        ("\udcff", "byte 1 is no UTF-8"),
        ("{}", "holds no list of results"),
        ("[1]", "result 1 is no object"),
        ('[{"theorem": "K1"}]', "result 1 has no 'seed'"),
        (result(theorem="Z9"), "no theorem is called 'Z9'"),
        (result(theorem=["K1"]), r'result 1: theorem is \["K1"\], not a theorem\'s name'),
        (result(instances="1"), 'result 1: instances is "1", not a whole number'),
        (result(violations=True), "result 1: violations is true, not a whole number"),
        (result(worst_error=None), "result 1: worst_error is null, not a number"),
        (result(worst_error=10**400), "result 1: worst_error is too large"),
    ],
)
def test_a_file_that_holds_no_checks_is_refused(tmp_path, content, words):
    (tmp_path / "checks.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(FiguresError, match=words) as told:
        read_checks(tmp_path / "checks.json")
    assert re.search(
        r"; (expected what `python -m theory check --output FILE` writes|write .* again)$", str(told.value)
    )
    assert "Error(" not in str(told.value)


def test_a_file_of_checks_that_is_not_there_or_no_file_is_refused(tmp_path):
    for path, words in ((tmp_path / "nowhere.json", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(FiguresError) as told:
            read_checks(path)
        assert str(told.value).startswith(f"{path}: {words}; expected what `python -m theory check")


def test_commands_come_from_the_folder_that_holds_the_rows(folder, read, tmp_path):
    first, second = sources([folder])
    assert first.command == ""
    assert second.cases == {(LABS[1], "salience", "r1")}
    (card,) = read.all("article", id="claim-A1")
    assert "The command was not recorded beside these rows" in card["text"]
    assert "Made by python -m synthetic run" in card["text"]
    (tmp_path / "records.jsonl").write_bytes((folder / "salience-0" / "records.jsonl").read_bytes())
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(FiguresError, match=r"manifest\.json: it is not JSON"):
        sources([tmp_path])


def test_the_whole_page_with_its_pictures_is_one_small_file(folder, tmp_path, capsys):
    path = tmp_path / "report.html"
    assert COMMANDS["report"]((folder,), path, instances=2).run() == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.stat().st_size < 8_000_000
    read = Reader(path.read_text(encoding="utf-8"))
    names = [one["id"] for one in read.all("figure")]
    assert {f"figure-trajectories-synthetic-R2-{kind}" for kind in ("2layer", "4layer")} <= set(names)
    assert {"figure-forest-A1", "figure-phase", "figure-second-hop", "figure-monofacts"} <= set(names)
    assert all(one["src"].startswith("data:image/svg+xml;") and one["alt"] for one in read.all("img"))
    assert len(read.all("img")) == len(names) == len([a for a in read.all("a") if "download" in a])
    assert sorted(set(names)) == sorted(names)
    aims = {one["href"][1:] for one in read.all("a") if one["href"].startswith("#figure")}
    assert aims <= set(names)


def test_a_picture_in_the_page_is_the_one_that_was_drawn():
    svg = b'<svg a="1.23456">\n  <text>50% # & "\xe2\x88\x92" \'x\'</text>\n</svg>'
    table = "x,y\n1.23456,\u22122\n".encode()
    read = Reader(str(Picture("phase", "phase", svg, table).figure()))
    (image,), (link,) = read.all("img"), read.all("a")
    drawn = unquote_to_bytes(image["src"].partition(",")[2])
    assert drawn == b'<svg a="1.234"> <text>50% # & "\xe2\x88\x92" \'x\'</text> </svg>'
    assert unquote_to_bytes(link["href"].partition(",")[2]) == table
    assert link["download"] == "phase.csv"


def test_a_picture_is_at_home_with_its_first_claim_and_linked_from_others():
    known = {*CLAIMS, *THEOREMS}
    assert all(key in known for _, keys in ABOUT.values() for key in keys)
    picture = Picture("mechanism", "mechanism-synthetic-R2-2layer", b"<svg/>", b"a\n")
    assert belonging([picture], "A1") == []
    assert "<figure" in shown([picture], "A4")[0]
    assert 'href="#figure-mechanism-synthetic-R2-2layer"' in shown([picture], "X3")[0]


@pytest.mark.parametrize(("sheet", "claims"), [("A1", "A1 to A4"), ("B5", "B5 to B6"), ("X4", "X4 to X6")])
def test_a_forest_is_called_by_all_claims_that_are_drawn_in_it(sheet, claims):
    """B7, which has rows nowhere, is in the file of numbers and not in the picture."""
    data = (Path(report.__file__).parent / "gallery" / f"forest-{sheet}.csv").read_bytes()
    picture = Picture("forest", f"forest-{sheet}", b"<svg/>", data)
    assert picture.words == f"{ABOUT['forest'][0]} ({claims})"


def test_two_runs_of_a_study_in_one_laboratory_keep_their_own_pictures(tmp_path):
    for i, gap in enumerate((0.3, 0.1)):
        (tmp_path / f"salience-{i}").mkdir()
        with RecordWriter(tmp_path / f"salience-{i}" / "records.jsonl") as out:
            out.write_many(rows(LABS[0], gap, run=f"r{i}"))
    found = draw(read_runs([tmp_path]), [])
    names = [one.name for one in found]
    assert len(names) == len(set(names))
    both = [one for one in found if one.kind == "trajectories"]
    assert [one.name for one in both] == [f"trajectories-synthetic-R2-2layer-r{i}" for i in (0, 1)]
    assert both[0].data != both[1].data
    forest = next(one for one in found if one.kind == "forest")
    assert b"synthetic/R2-2layer, run 2" in forest.svg


def test_a_claim_without_a_picture_says_why(text, read):
    (card,) = read.all("article", id="claim-B7")
    assert "No picture: nobody has written rows of the study “prompts”." in card["text"]
    assert 'class="quiet no-picture"' in text


def test_the_panels_python_is_the_phase_diagrams():
    given = constants()
    change = phase_diagram(
        exact([2.0]), exact([0.0]), spread(0.5, 6.0), [0.9], [100], given["u0"], given["rate"]
    )
    found = predict(0.9, 2.0, 100)
    assert found.accuracy - found.before == pytest.approx(change.item())
    assert predict(0.0, 2.0, 100).attention > 0.5 > predict(1.0, 2.0, 100).attention
    assert predict(found.critical, 2.0, 1).u == pytest.approx(0.0, abs=1e-4)


def test_html_is_escaped_unless_made_here():
    assert joined("<", Markup("<b>"), None, 3, ["&"]) == "&lt;<b>3&amp;"
    assert tag("a", "x", href='"><', hidden=True, class_="c", aria_label=None) == (
        '<a href="&quot;&gt;&lt;" hidden class="c">x</a>'
    )
    assert tag("br") == "<br>"
    assert '<th scope="row">&lt;' in table(("a",), [("<",)], "c")
    assert filled("{{a}} {{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}} x"
    assert identifier("T7'/a b") == "T7p-a-b"
    assert (
        prose("(V_s)_i <= tau, A n B < W_KQ") == "(V<sub>s</sub>)<sub>i</sub> ≤ τ, A ∩ B &lt; W<sub>KQ</sub>"
    )
    assert minus("-1 to -0.5, best-known 1e-5") == "−1 to −0.5, best-known 1e-5"


def test_formulas_are_mathml_and_unknown_commands_are_named():
    one, two = formulas("\\frac{a}{b}\n\n\\iff")
    assert "<mfrac>" in one
    assert 'display="block"' in two
    with pytest.raises(FiguresError, match=r"\\nonsense"):
        formulas(r"\nonsense{x}")


def test_words_stand_out_from_their_ground_in_light_and_in_dark():
    css = (Path(report.__file__).parent / "page" / "page.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"--([a-z-]+): light-dark\((#\w{6}, #\w{6})\);", css))
    colours = {name: pair.split(", ") for name, pair in found.items()}
    pairs = [(ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("ground", "card")]
    pairs += [
        ("good", "good-ground"),
        ("bad", "bad-ground"),
        ("open", "open-ground"),
        ("quiet", "none-ground"),
    ]
    for ink, ground in pairs:
        for scheme in (0, 1):
            one, other = sorted(brightness(colours[name][scheme]) for name in (ink, ground))
            assert (other + 0.05) / (one + 0.05) >= 4.5, (ink, ground, scheme)


def brightness(colour):
    """Relative luminance, as WCAG has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
