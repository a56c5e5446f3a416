"""The lines about repeated runs and about lies are counted from pytest's own report."""

import ast
from pathlib import Path

from tests.hardening import lies, repeat

ROOT = Path(__file__).resolve().parents[2]
REPORT = """<testsuites><testsuite>
<testcase classname="tests.house.test_checks" name="test_workers_do_not_change_the_result"/>
<testcase classname="tests.realmodels.test_estimate" name="test_neither_batch_nor_cache_changes_what_is_found[1]"/>
<testcase classname="tests.realmodels.test_estimate" name="test_neither_batch_nor_cache_changes_what_is_found[a.b]">
  <failure>no</failure></testcase>
<testcase classname="tests.realmodels.test_smollm" name="test_neither_batch_nor_cache_changes_its_answers">
  <skipped/></testcase>
<testcase classname="tests.synthetic.test_lab" name="test_one_or_two_workers_and_any_history_give_the_same_records">
  <error>broke</error></testcase>
</testsuite></testsuites>"""


def test_every_test_that_is_named_is_there():
    for test in (test for way in repeat.WAYS for test in way.tests):
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_lines_count_the_cases_that_were_tried(tmp_path, monkeypatch, capsys):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    made = {one.what: (one.tried, one.survived) for one in repeat.lines(repeat.outcomes(report))}
    assert list(made.values()) == [(0, 0), (2, 1), (2, 1), (0, 0)]
    kept = []
    monkeypatch.setattr(repeat, "run", lambda report, tests: report.write_text(REPORT))
    monkeypatch.setattr(repeat, "keep", kept.append)
    assert repeat.main(["--keep"]) == 1
    assert [(one.kind, one.tried, one.survived) for one in kept] == [("repeat", 2, 1)] * 2
    assert "1 of 2 survived: on 1 worker and on 2" in capsys.readouterr().out


def test_a_line_of_lies_counts_the_cases_and_says_what_was_left_out(tmp_path, monkeypatch, capsys):
    asked, kept = [], []
    monkeypatch.setattr(lies, "run", lambda report, tests: (asked.extend(tests), report.write_text(REPORT)))
    monkeypatch.setattr(lies, "keep", kept.append)
    assert lies.main(["--keep"]) == 1
    assert asked == ["tests/hardening/test_lies.py"]
    assert [(one.kind, one.tried, one.survived) for one in kept] == [("lie", 4, 2)]
    assert "2 of 4 survived" in capsys.readouterr().out
    monkeypatch.setattr(lies, "run", lambda report, tests: report.write_text("<testsuites/>"))
    assert lies.main(["--keep"]) == 1
    assert len(kept) == 1
