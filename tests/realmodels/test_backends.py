import json
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from realmodels.backends import VllmBackend, prompt_seed
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.estimate import Sampling, estimate
from realmodels.loading import load
from realmodels.prompting import STYLES, Shot, render_prefix, render_question
from theory.command import main


class Engine:
    """Says what vLLM's interface lets it say, and remembers what it was asked."""

    def __init__(self, model, enable_prefix_caching, **options):
        assert enable_prefix_caching
        self.asked, self.options = [], options
        Engine.made.append(self)

    made: ClassVar[list] = []

    def generate(self, prompts, settings):
        self.asked.append((prompts, settings))
        many = settings if isinstance(settings, list) else [settings] * len(prompts)
        return [
            SimpleNamespace(
                outputs=[SimpleNamespace(text=f" Lima {k}"[: 5 + 2 * k]) for k in range(getattr(one, "n", 1))]
            )
            for one in many
        ]


@pytest.fixture
def vllm(monkeypatch):
    module = SimpleNamespace(LLM=Engine, SamplingParams=lambda **knobs: SimpleNamespace(**knobs))
    monkeypatch.setitem(sys.modules, "vllm", module)


def test_vllm_is_asked_with_token_ids_stops_and_seeds(tiny, vllm):
    loaded, backend, shots = load(str(tiny), device="cpu"), VllmBackend(str(tiny)), [Shot("Where?", "Here")]
    questions = ["What is the capital of Peru?", "And of Chile?"]
    found = estimate(
        loaded, STYLES["qa"], shots, questions, [("Lima",), ("Santiago",)],
        estimator="sample", sampling=Sampling(samples=4, top_k=0), seed=3, backend=backend,
    )  # fmt: skip
    assert found.greedy.tolist() == [True, False]
    assert found.samples[0] == ("Lima", "Lima 1", "Lima 2", "Lima 3")
    assert found.p_sample.tolist() == [0.25, 0.0]
    (prompts, greedy), (again, drawn) = backend.engine.asked
    texts = [render_prefix(STYLES["qa"], shots) + render_question(STYLES["qa"], q) for q in questions]
    assert [tuple(p["prompt_token_ids"]) for p in prompts] == loaded.tokens.prompts_ids(texts)
    assert again == prompts
    assert (greedy.temperature, greedy.max_tokens) == (0.0, 16)
    assert set(greedy.stop_token_ids) == set(loaded.tokens.stops("\n"))
    assert [(one.n, one.temperature, one.top_k) for one in drawn] == [(4, 0.5, -1)] * 2
    assert [one.seed for one in drawn] == [prompt_seed(3, text) for text in texts]


def test_without_vllm(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RealmodelsError, match=r"vllm is not installed.*transformers"):
        VllmBackend("owner/name")


def audit(*words):
    return main("python -m realmodels", "about", COMMANDS, ["audit", *map(str, words)])


def known(folder):
    return [json.loads(line)["knowledge"] for line in (folder / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    facts = [("Peru", "Lima"), ("Chile", "Santiago"), ("Cuba", "Havana")]
    lines = [{"question": f"What is the capital of {s}?", "answers": [a], "subject": s} for s, a in facts]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_an_audit_is_sampled_by_vllm_where_it_is_asked_for(tiny, rows, vllm, tmp_path):
    words = ("--model", tiny, "--data", rows, "-o", tmp_path / "a", "--prompts", 2, "--shots", 1)
    sampled = (*words, "--estimator", "sample", "--samples", 4)
    Engine.made.clear()
    assert audit(*sampled, "--backend", "vllm") == 0
    assert [engine.options for engine in Engine.made] == [{"dtype": "float32", "trust_remote_code": False}]
    knowledge = known(tmp_path / "a")
    assert [one["label"] for one in knowledge] == ["HighlyKnown", "Unknown", "Unknown"]
    assert [one["p_sample"] for one in knowledge] == [0.25, 0, 0]
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["backend"] == "vllm"
    assert audit(*sampled, "--backend", "vllm") == 0  # finished: nothing is asked again
    assert audit(*sampled) == 0  # by another engine: nothing of it is taken over
    assert len(Engine.made) == 1
    again = known(tmp_path / "a")
    assert [one["logprob"] for one in again] == [one["logprob"] for one in knowledge]
    assert all(one["p_greedy"] == 0 for one in again)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "the exact estimator draws no samples; add --estimator sample"),
        (("--budget", "paper", "--adapter", "here"), "merge the adapter first"),
        (("--budget", "paper"), "vllm is not installed"),
    ],
)
def test_vllm_is_refused_before_anything_is_loaded(rows, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert audit("--model", "none", "--data", rows, "-o", tmp_path / "a", "--backend", "vllm", *words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a").exists()
