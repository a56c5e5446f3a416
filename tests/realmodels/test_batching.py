from types import SimpleNamespace

import numpy as np
import pytest
import torch

import realmodels.batching as batching
from realmodels.batching import batches, in_batches, token_budget
from realmodels.errors import RealmodelsError
from realmodels.estimate import estimate
from realmodels.loading import load
from realmodels.prefix import Reading
from realmodels.prompting import STYLES

LENGTHS = [3, 9, 4, 9, 1, 2, 8]


@pytest.mark.parametrize("tokens", [1, 9, 18, 27, 1000])
def test_batches_hold_every_row_once_longest_first_within_the_budget(tokens):
    found = list(batches(LENGTHS, tokens))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(LENGTHS)))
    longest = [max(LENGTHS[i] for i in batch) for batch in found]
    assert longest == sorted(longest, reverse=True)
    assert all(
        len(batch) == 1 or len(batch) * most <= tokens for batch, most in zip(found, longest, strict=True)
    )


def test_a_number_of_rows_overrules_the_budget():
    assert [len(batch) for batch in batches(LENGTHS, 1, rows=3)] == [3, 3, 1]
    assert list(batches([], 10)) == []


@pytest.mark.parametrize(
    "problem",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("can't allocate memory: 8 bytes"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_memory_that_runs_out_halves_this_batch_and_those_after_it(problem):
    tried = []

    def work(index):
        tried.append(len(index))
        if len(index) > 3:
            raise problem
        return [LENGTHS[i] for i in index]

    found = list(in_batches([LENGTHS[0]] * 5 + LENGTHS[5:] * 5, lambda i: work(np.minimum(i, 6)), 10**6))
    assert tried == [15, 8, 3, 3, 3, 3, 2, 1] or max(tried[2:]) <= 4
    assert sum(len(index) for index, _ in found) == 15
    assert sorted(np.concatenate([index for index, _ in found]).tolist()) == list(range(15))


def test_a_single_row_that_does_not_fit():
    def work(index):
        raise MemoryError

    def said(device, dtype, options=(), shown=0):
        loaded = SimpleNamespace(
            model=torch.nn.Linear(1, 1),
            tokens=SimpleNamespace(bos=(1,)),
            device=device,
            dtype=dtype,
            options=options,
        )
        with pytest.raises(RealmodelsError, match="single row of 9 tokens; try ") as caught:
            list(in_batches(LENGTHS, work, 20, None, loaded, shown))
        return str(caught.value).rpartition("; try ")[2]

    rest = "a smaller model or without the longest rows"
    assert said("cpu", "float32", ("--load-in",), 7) == f"--dtype bfloat16 or fewer shots or {rest}"
    assert said("cuda:0", "bfloat16", ("--load-in",), 1) == f"--load-in 4bit or {rest}"
    assert said("cuda:0", "bfloat16") == rest
    with pytest.raises(RealmodelsError, match=f"single row of 9 tokens; try {rest}$"):
        list(in_batches(LENGTHS, work, 20))


def test_what_a_command_can_be_told_comes_with_its_model(tiny):
    assert load(str(tiny), device="cpu", options=("--load-in",)).options == ("--load-in",)


def test_other_errors_are_not_hidden():
    def work(index):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(in_batches(LENGTHS, work, 20))


def test_running_out_of_memory_does_not_change_what_is_found(tiny, monkeypatch):
    loaded = load(str(tiny), device="cpu")
    questions, answers = [f"What is {i}?" for i in range(20)], [("Lima", "Oslo")] * 20
    wanted = estimate(loaded, STYLES["qa"], [], questions, answers)
    read = Reading._read

    def short(self, tokens, places, seen):
        if len(tokens) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return read(self, tokens, places, seen)

    monkeypatch.setattr(Reading, "_read", short)
    found = estimate(loaded, STYLES["qa"], [], questions, answers)
    np.testing.assert_allclose(found.logprob, wanted.logprob, rtol=1e-5)
    assert found.greedy.tolist() == wanted.greedy.tolist()


def test_the_budget_follows_the_memory_that_is_free(tiny, monkeypatch):
    loaded = load(str(tiny), device="cpu")
    assert token_budget(loaded, 100, 20) == batching.TOKENS_ON_CPU
    monkeypatch.setattr(batching, "free_bytes", lambda device: 1 << 20)
    assert 20 <= token_budget(loaded, 100, 20) < batching.TOKENS_ON_CPU
    monkeypatch.setattr(batching, "free_bytes", lambda device: 1)
    assert token_budget(loaded, 100, 20) == 20  # one row is tried in any case
    monkeypatch.setattr(batching, "free_bytes", lambda device: None)
    assert token_budget(loaded, 100, 20) == batching.TOKENS_ON_CPU


def test_free_memory_is_told_where_it_can_be():
    assert (batching.free_bytes("cpu") or 1) > 0
    assert batching.free_bytes("mps") is None
