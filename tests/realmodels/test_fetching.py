"""Models of a hub that are not on this machine yet: a hub of our own, the real client, an empty cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from realmodels.fingerprints import ABSENT, fingerprints
from realmodels.places import Place
from realmodels.study_arms import finished, keys_of
from realmodels.study_cli import Study
from tests.realmodels.common import GOOD, train_words
from tests.realmodels.conftest import bpe, tiny_llama
from tests.realmodels.test_audit import put
from tests.realmodels.test_study import SMALL, write_facts_known

ROOT = Path(__file__).resolve().parents[2]
STEPS = """
import contextlib, io, json, sys, urllib.request
from realmodels import audit_cost
audit_cost.calibrate = lambda *given: 1000.0
from realmodels.cli import COMMANDS
from theory.command import main
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main("m", "", COMMANDS, words)
    urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/done", method="POST"))
    print(json.dumps([code, said.getvalue()]))
"""
COMMIT = "a" * 40


class Hub:
    """Serves the folders under `root` as `me/NAME`; `asked` are the requests of each step."""

    def __init__(self, root: Path):
        self.asked = [[]]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler):
                self.asked.append([])
                handler.answer(b"{}")

            def do_GET(handler):
                self.asked[-1].append(handler.path)
                handler.answer(handler.found())

            def do_HEAD(handler):
                handler.answer(handler.found())

            def found(handler):
                parts = handler.path.partition("?")[0].strip("/").split("/")
                if "tree" in parts[4:5]:
                    return json.dumps(
                        [
                            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name}
                            for path in sorted((root / parts[3]).iterdir())
                        ]
                    ).encode()
                if parts[:2] == ["api", "models"]:
                    files = [{"rfilename": path.name} for path in sorted((root / parts[3]).iterdir())]
                    name = "/".join(parts[2:4])
                    return json.dumps({"id": name, "sha": COMMIT, "siblings": files, "tags": []}).encode()
                path = root.joinpath(parts[1], *parts[4:])
                return path.read_bytes() if path.is_file() else None

            def answer(handler, data):
                handler.send_response(200 if data is not None else 404)
                handler.send_header("X-Repo-Commit", COMMIT)
                if data is None:
                    handler.send_header("X-Error-Code", "EntryNotFound")
                else:
                    handler.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                handler.send_header("Content-Length", str(len(data or b"")))
                handler.end_headers()
                if data and handler.command != "HEAD":
                    handler.wfile.write(data)

            def log_message(handler, *about):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(tiny, tmp_path):
    """me/a and me/b, which differ; me/p is me/a as a pickle, beside another program's copy of me/a's weights."""
    root = tmp_path / "repos"
    a, b, p = (shutil.copytree(tiny, root / name) for name in "abp")
    size = json.loads((tiny / "config.json").read_text())["vocab_size"]
    tiny_llama(bpe(["a"]), 1, vocab_size=size).save_pretrained(b)
    shutil.copy(a / "model.safetensors", a / "consolidated.safetensors")
    (p / "model.safetensors").rename(p / "pytorch_model.bin")
    found = Hub(root)
    yield found, root
    found.server.shutdown()
    found.server.server_close()


def test_what_is_not_here_yet_is_fetched_as_far_as_it_is_needed(hub, write_audit, tmp_path):
    server, root = hub
    audited = write_facts_known(write_audit, tmp_path / "audit")
    model = {"name": "me/a", "fingerprint": "0" * 16, "adapter": None}  # which a plan cannot compare yet
    (audited / "summary.json").write_text(
        json.dumps({"source": {"kind": "jsonl", "columns": []}, "model": model})
    )
    rows = put(tmp_path / "rows.jsonl", GOOD)

    looked_at = tmp_path / "cache/hub/models--me--b"  # once, which fetched its configuration alone
    (looked_at / "refs").mkdir(parents=True)
    (looked_at / "refs/main").write_text(COMMIT)
    (looked_at / "snapshots" / COMMIT).mkdir(parents=True)
    shutil.copy(root / "b/config.json", looked_at / "snapshots" / COMMIT)

    def train(name, out):
        return train_words(name, rows, tmp_path / out, rank=2, epochs=1, batch=2)

    dry = ["audit", "--model", "me/a", "--data", rows, "-o", tmp_path / "dry", "--prompts", 1, "--dry-run"]
    plan = ["study", "salience", "--model", "me/a", "--audit", audited, "-o", tmp_path / "plan", "--plan"]
    ask = ["eval", "--model", "me/b", "--tasks", rows, "-o", tmp_path / "ask", "--prompts", "zero"]
    steps = [
        dry,
        [*plan, "--speed", 1000, "--seeds", 10, "--set", *SMALL],
        train("me/a", "t"),
        train("me/a", "t"),
        train("me/b", "t"),
        [*ask, "--device", "cpu"],
        [*ask, "--device", "cpu"],
        train("me/p", "p"),
    ]
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    ran = subprocess.run(
        [sys.executable, "-c", STEPS, server.address],
        input=json.dumps([[str(word) for word in words] for words in steps]),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=env
        | {
            "PYTHONPATH": str(ROOT),
            "HF_HOME": str(tmp_path / "cache"),
            "HF_ENDPOINT": server.address,
            "HF_HUB_OFFLINE": "0",
        },
    )
    assert ran.returncode == 0, ran.stderr
    done = [json.loads(line) for line in ran.stdout.splitlines()]
    got = [{path.rpartition("/")[2] for path in asked if "/resolve/" in path} for asked in server.asked]
    assert [code for code, _ in done] == [0, 0, 0, 0, 2, 0, 0, 2], [said[-300:] for _, said in done]
    small = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {"config.json", "tokenizer.json"} <= got[0] <= small  # not the weights
    assert not server.asked[1]
    assert got[2] == {"model.safetensors"}
    assert "finished before, kept" in done[3][1]
    assert not server.asked[3]
    assert "holds an adapter of other rows, another recipe or another model" in done[4][1]
    assert {"tokenizer.json", "model.safetensors"} <= got[4]
    assert "config.json" not in got[4]
    assert not server.asked[5] + server.asked[6]  # its key is of weights: they were fetched for it
    assert "has no model.safetensors here or on the hub; a pickle can run code" in done[7][1]
    assert "pytorch_model.bin" not in got[7]
    said = json.loads((tmp_path / "t/train.json").read_text())
    (root / "a/consolidated.safetensors").unlink()  # never opened, and so not fetched
    assert said["model_fingerprint"] == fingerprints(str(root / "a"))[0]
    (results,) = (tmp_path / "ask").rglob("results_*.json")
    assert fingerprints(str(root / "b"))[0] in results.read_text()


def test_a_plan_knows_no_finished_arm_of_a_model_that_is_not_here(tiny, tmp_path, monkeypatch):
    given = Study("salience", tmp_path / "run", str(tiny), data="rows.jsonl", seeds=(10,))
    order, _ = given._order()
    monkeypatch.setattr(Place, "here", lambda place: False)
    assert fingerprints(str(tiny), fetch=False) == ABSENT
    assert fingerprints(str(tiny)) != ABSENT
    assert finished(order, []) == keys_of(order, [], fetch=False) == []
