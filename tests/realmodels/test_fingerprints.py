"""What an earlier version made of the same weights is found again: answers of an audit, its labels, finished arms."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from realmodels import audit_ask, loading
from realmodels.audit import recorded
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.fingerprints import _of_ends, fingerprints
from realmodels.loading import load
from realmodels.study_arms import finished, keys_of, shared_folder
from realmodels.study_cli import Study
from realmodels.study_facts import check_model, read_facts
from realmodels.study_prompts_near import _kept, _keys
from realmodels.study_questions import arms_of
from realmodels.study_salience import KIND
from realmodels.study_sets import draw_sets
from tests.realmodels.common import GOOD, train_words
from tests.realmodels.test_audit import capitals, put
from tests.realmodels.test_study import SMALL, write_facts_known
from theory.command import main


def start(*words):
    return main("python -m realmodels", "about", COMMANDS, ["audit", *map(str, words)])


def test_the_earlier_fingerprint_is_of_sizes_and_both_ends(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    config, weights = b'{"hidden_size": 8}', bytes(np.random.default_rng(0).bytes(3 << 20))
    (folder / "config.json").write_bytes(config)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_bytes(b"{}")  # no weights
    said = b"config.json 18\n" + config + config
    said += b"model.safetensors 3145728\n" + weights[: 1 << 20] + weights[-(1 << 20) :]
    today, before = fingerprints(str(folder))
    assert before == hashlib.sha256(said).hexdigest()[:16] != today
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert not {today, before} & set(fingerprints(str(folder)))


def test_todays_comes_first(tiny):
    assert fingerprints(str(tiny))[0] == load(str(tiny), device="cpu").fingerprint


@pytest.fixture
def begun(tiny, tmp_path, monkeypatch):
    """An audit of an earlier version, which took fingerprints of the ends of files alone."""
    rows, out = put(tmp_path / "rows.jsonl", capitals(12)), tmp_path / "out"
    words = ("--model", tiny, "--data", rows, "-o", out, "--prompts", 2)
    with monkeypatch.context() as then:
        then.setattr(loading, "_fingerprint", _of_ends)
        then.setattr("realmodels.fingerprints._fingerprint", _of_ends)
        assert start(*words) == 0
    return out, words


def test_an_audit_goes_on_and_nothing_is_asked_again(begun, monkeypatch, capsys):
    out, words = begun
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}
    capsys.readouterr()
    assert start(*words, "--dry-run") == 0
    assert "of which 24 are finished" in capsys.readouterr().out
    asked = []
    real = audit_ask.ask
    monkeypatch.setattr(audit_ask, "ask", lambda *given: asked.append(given[2]) or real(*given))
    assert start(*words) == 0
    assert not asked
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"} == before
    lines = (out / "generations.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (out / "generations.jsonl").write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")
    assert start(*words) == 0
    assert asked
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"} == before
    assert start(*words, "--overwrite") == 0  # as today's version calls them
    model = words[1]
    assert json.loads((out / "config.json").read_text())["fingerprint"] == fingerprints(str(model))[0]


def test_other_weights_are_refused_all_the_same(begun, tiny, tmp_path, capsys):
    out, words = begun
    other = shutil.copytree(tiny, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "model": str(other.resolve())}, indent=1) + "\n")
    assert start("--model", other, *words[2:]) == 2
    assert "the weights of" in capsys.readouterr().err
    assert recorded(tmp_path / "none") == ""


def test_a_study_takes_the_audit_and_the_finished_arms(tiny, write_audit, tmp_path):
    folder = write_facts_known(write_audit, tmp_path / "audit")
    today, before = fingerprints(str(tiny))
    given = Study("salience", tmp_path / "run", str(tiny), audit=folder, seeds=(10,), set=tuple(SMALL))
    order, _ = given._order()

    def of(fingerprint):
        model = {"name": "m", "fingerprint": fingerprint, "adapter": None}
        (folder / "summary.json").write_text(
            json.dumps({"source": {"kind": "jsonl", "columns": []}, "model": model})
        )
        check_model(order, folder)

    of(today)
    of(before)
    with pytest.raises(RealmodelsError, match="whose weights differ"):
        of("0123")
    facts = read_facts(folder, order.settings)
    arms, base = arms_of(order, facts, {10: draw_sets(facts, ("known", "unknown"), order.settings, 10)}, KIND)
    every = [*arms.values(), base]
    assert finished(order, every) == [False, False, False]
    kept = arms[10, "unknown"].key(before, "float32")
    shared_folder(order).mkdir()
    (shared_folder(order) / f"{kept}.json").write_text("{}")
    assert finished(order, every) == [False, True, False]
    assert keys_of(order, every) == [
        arms[10, "known"].key(today, "float32"), kept, base.key(today, "float32")
    ]  # fmt: skip
    assert len(set(_keys(order, facts))) == 2
    np.savez(tmp_path / "e.npz", found=np.ones((2, 3)), key=np.array(_keys(order, facts)[1]))
    np.testing.assert_array_equal(_kept(tmp_path / "e.npz", _keys(order, facts)), np.ones((2, 3)))
    assert _kept(tmp_path / "e.npz", ("other",)) is None


def test_an_adapter_that_was_trained_is_kept(tiny, tmp_path, monkeypatch, capsys):
    rows = put(tmp_path / "rows.jsonl", GOOD)
    words = train_words(tiny, rows, tmp_path / "a", rank=2, epochs=1, batch=2)
    with monkeypatch.context() as then:
        then.setattr("realmodels.fingerprints._fingerprint", _of_ends)
        assert main("python -m realmodels", "about", COMMANDS, words) == 0
    said = json.loads((tmp_path / "a" / "train.json").read_text())
    capsys.readouterr()
    assert main("python -m realmodels", "about", COMMANDS, words) == 0
    assert "finished before, kept" in capsys.readouterr().err
    assert json.loads((tmp_path / "a" / "train.json").read_text()) == said
    assert main("python -m realmodels", "about", COMMANDS, [*words, "seed=7"]) == 2
    assert "holds an adapter of other rows, another recipe or another model" in capsys.readouterr().err
