"""The comparison with what was kept, on files made here: it sees what differs, and only that."""

import json

import pytest

from tests.hardening.same_again import main


def audit(folder, **changed):
    folder.mkdir()
    lines = []
    for k in range(3):
        known = {"label": "MaybeKnown", "p_greedy": 0.5, "p_sample": 0.25, "logprob": -1.5, "n_prompts": 2}
        line = {
            "question": f"q{k}",
            "answers": ["a"],
            "relation": "r",
            "knowledge": known | (changed if k == 1 else {}),
        }
        lines.append(json.dumps(line) + "\n")
    (folder / "audit.jsonl").write_text("".join(lines))
    return str(folder)


def arm(folder, extra=None, **changed):
    folder.mkdir()
    asked = {
        "step": 4,
        "split": "test",
        "prompt": "zero",
        "hits": "01",
        "said": ["x", "y"],
        "logprob": [-1.0, -2.0],
    }
    about = {"arm": "known", "seed": 10, "rows": 2, "initial_hash": "i", "final_hash": "f"}
    said = {"key": "k", "dev": [[4, 0.5]], "asked": [asked | changed.pop("asked", {})], "extra": extra or {}}
    said["about"] = about | changed
    (folder / "0.json").write_text(json.dumps(said))
    return str(folder)


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({}, 0, {"rows": 3, "label": 3, "p_sample": {"same": 3, "farthest": 0.0}}),
        ({"p_sample": 0.5}, 0, {"label": 3, "p_sample": {"same": 2, "farthest": 0.25}}),
        ({"label": "Unknown"}, 1, {"label": 2, "equal": False}),
    ],
)
def test_audits(tmp_path, capsys, changed, code, told):
    assert main(["audit", audit(tmp_path / "a"), audit(tmp_path / "b", **changed)]) == code
    assert told.items() <= json.loads(capsys.readouterr().out).items()


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({}, 0, {"final_hash": True, "answers": True, "log chance, farthest": 0.0}),
        ({"asked": {"logprob": [-1.0, -2.5]}}, 0, {"answers": True, "log chance, farthest": 0.5}),
        ({"asked": {"hits": "11"}}, 1, {"answers": False, "final_hash": True}),
        ({"final_hash": "g"}, 1, {"final_hash": False, "initial_hash": True}),
    ],
)
def test_arms(tmp_path, capsys, changed, code, told):
    assert main(["arms", arm(tmp_path / "a"), arm(tmp_path / "b", **changed)]) == code
    (found,) = json.loads(capsys.readouterr().out)["arms"].values()
    assert told.items() <= found.items()


def test_what_cannot_be_compared(tmp_path, capsys):
    assert main(["arms"]) == 2
    with pytest.raises(SystemExit, match="is not in"):
        main(["arms", arm(tmp_path / "a"), arm(tmp_path / "b", seed=11)])
    (tmp_path / "none").mkdir()
    with pytest.raises(SystemExit, match="no finished arm"):
        main(["arms", str(tmp_path / "a"), str(tmp_path / "none")])
