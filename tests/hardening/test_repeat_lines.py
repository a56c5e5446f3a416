"""The lines about repeated runs and about lies are counted from pytest's own report."""

import ast
from pathlib import Path

from tests.hardening import lies, repeat, trials

ROOT = Path(__file__).resolve().parents[2]
REPORT = """<testsuites><testsuite>
<testcase classname="tests.house.test_checks" name="test_workers_do_not_change_the_result"/>
<testcase classname="tests.realmodels.test_estimate" name="test_neither_batch_nor_cache_changes_what_is_found[1]"/>
<testcase classname="tests.realmodels.test_estimate" name="test_neither_batch_nor_cache_changes_what_is_found[a.b]">
  <failure>no</failure></testcase>
<testcase classname="tests.hardening.test_lies" name="test_a_pickle_lies"/>
<testcase classname="tests.hardening.test_lies" name="test_a_name_lies[../x]"><failure>it wrote</failure></testcase>
<testcase classname="tests.realmodels.test_smollm" name="test_neither_batch_nor_cache_changes_its_answers">
  <skipped/></testcase>
<testcase classname="tests.synthetic.test_lab" name="test_one_or_two_workers_and_any_history_give_the_same_records">
  <error>broke</error></testcase>
</testsuite></testsuites>"""


def test_every_test_that_is_named_is_there():
    for test in (test for way in (*repeat.WAYS, *lies.WAYS) for test in way.tests):
        path, whole, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert not whole or name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            test
        )


def test_lines_count_the_cases_that_were_tried(tmp_path, monkeypatch, capsys):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    made = [(one.tried, one.survived) for one in trials.lines("repeat", repeat.WAYS, trials.outcomes(report))]
    assert made == [(0, 0), (2, 1), (2, 1), (0, 0)]
    kept, asked = [], []
    monkeypatch.setattr(trials, "run", lambda report, tests: (asked.append(tests), report.write_text(REPORT)))
    monkeypatch.setattr(trials, "keep", kept.append)
    assert repeat.main(["--keep"]) == 1
    assert [(one.kind, one.tried, one.survived) for one in kept] == [("repeat", 2, 1)] * 2
    assert "1 of 2 survived: on 1 worker and on 2" in capsys.readouterr().out
    assert lies.main([]) == 1
    assert len(kept) == 2
    assert lies.main(["--keep"]) == 1
    assert asked[-1] == ["tests/hardening/test_lies.py"]
    assert [(one.kind, one.tried, one.survived, one.command) for one in kept[2:]] == [
        ("lie", 2, 1, "python tests/hardening/lies.py --keep")
    ]
    assert "1 of 2 survived" in capsys.readouterr().out
    monkeypatch.setattr(trials, "run", lambda report, tests: report.write_text("<testsuites/>"))
    assert lies.main(["--keep"]) == 1
    assert len(kept) == 3  # nothing tried, nothing kept
