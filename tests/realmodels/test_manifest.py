"""What goes with a selection, and the table that is printed."""

import hashlib
import json
import sys

import numpy as np
import pytest

from realmodels.audited import read_audit
from realmodels.manifest import SHOWN, manifest, table


@pytest.fixture
def audited(write_audit):
    rows = [
        ({"question": "q", "answers": ["a"], "relation": "capital"}, {"label": "HighlyKnown"}),
        ({"question": "q", "answers": ["b"], "relation": "capital"}, {"label": "Unknown"}),
        ({"question": "q", "answers": ["c"], "relation": "author"}, {"label": "WeaklyKnown"}),
        ({"question": "q", "answers": ["d"]}, {"label": "Unknown"}),
    ]
    source = {"path": "rows.jsonl", "kind": "jsonl", "columns": ["question"], "fingerprint": "f00"}
    return read_audit(write_audit(rows, source))


def test_the_manifest_says_where_the_rows_come_from(audited, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["realmodels/__main__.py", "filter", "a b", "--keep", "Unknown"])
    text = manifest(audited, {"keep": ["Unknown"]}, kept=audited.counts(np.array([1, 3])), written=[])
    said = json.loads(text)
    assert said["command"] == "python -m realmodels filter 'a b' --keep Unknown"
    assert said["audit"] == {
        "path": str(audited.path),
        "sha256": hashlib.sha256(audited.path.read_bytes()).hexdigest(),
        "rows": 4,
        "estimator": "exact",
        "matcher": "exact",
        "n_prompts": 10,
    }
    assert said["source"] == {"path": "rows.jsonl", "kind": "jsonl", "fingerprint": "f00"}
    assert said["asked"] == {"keep": ["Unknown"]}
    none = {"HighlyKnown": 0, "MaybeKnown": 0, "WeaklyKnown": 0, "Unknown": 0}
    assert said["before"] == {
        "capital": none | {"HighlyKnown": 1, "Unknown": 1},
        "author": none | {"WeaklyKnown": 1},
        "(no relation)": none | {"Unknown": 1},
    }
    assert said["kept"] == {"capital": none | {"Unknown": 1}, "(no relation)": none | {"Unknown": 1}}
    assert text == manifest(audited, {"keep": ["Unknown"]}, kept=said["kept"], written=[])
    assert text.endswith("}\n")


def test_settings_that_differ_between_rows_are_all_listed(write_audit):
    rows = [({"question": "q", "answers": ["a"]}, {"n_prompts": n}) for n in (10, 2, 10)]
    audited = read_audit(write_audit(rows))
    assert json.loads(manifest(audited, {}))["audit"]["n_prompts"] == [10, 2]
    assert table(audited, {}).startswith("labels by 10, 2 prompts")


def test_the_table_counts_by_relation_and_label(audited):
    lines = [line.split("  ") for line in table(audited, {"kept": np.array([0, 2])}).splitlines()]
    assert lines[0] == ["labels by 10 prompts"]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines[1:]]
    assert cells == [
        ["relation", "set", "HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown", "all"],
        ["capital", "audit", "1", "0", "0", "1", "2"],
        ["capital", "kept", "1", "0", "0", "0", "1"],
        ["author", "audit", "0", "0", "1", "0", "1"],
        ["author", "kept", "0", "0", "1", "0", "1"],
        ["(no relation)", "audit", "0", "0", "0", "1", "1"],
        ["(no relation)", "kept", "0", "0", "0", "0", "0"],
        ["all", "audit", "1", "0", "1", "2", "4"],
        ["all", "kept", "1", "0", "1", "0", "2"],
    ]
    widths = {len(line) for line in table(audited, {}).splitlines()[1:]}
    assert len(widths) == 1


def test_a_table_of_many_relations_shows_the_largest_and_counts_all(write_audit):
    rows = [({"question": "q", "answers": ["a"], "relation": f"R{k}"}, {}) for k in range(SHOWN + 5)]
    rows += [({"question": "q", "answers": ["a"], "relation": f"R{SHOWN + 4}"}, {})]
    text = table(read_audit(write_audit(rows)), {})
    lines = text.splitlines()
    assert lines[2].split()[0] == f"R{SHOWN + 4}"  # the largest stands first
    assert lines[-1] == "(5 smaller relations are not shown; the manifest has them)"
    assert lines[-2].split() == ["all", "audit", "0", "0", "0", str(SHOWN + 6), str(SHOWN + 6)]
