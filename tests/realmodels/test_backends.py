import sys
from types import SimpleNamespace

import pytest

from realmodels.backends import VllmBackend, prompt_seed
from realmodels.errors import RealmodelsError
from realmodels.estimate import Sampling, estimate
from realmodels.loading import load
from realmodels.prompting import STYLES, Shot, render_prefix, render_question


class Engine:
    """Says what vLLM's interface lets it say, and remembers what it was asked."""

    def __init__(self, model, enable_prefix_caching):
        assert enable_prefix_caching
        self.asked = []

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
