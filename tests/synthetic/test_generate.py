import math
from collections import Counter

import numpy as np
import pytest
import torch

from synthetic.errors import SyntheticError
from synthetic.generate import generate, padded, read_prefix
from synthetic.model import Cache, LlamaSpec, hidden_states, initialise, logits
from synthetic.sampling import check_law, choose, log_chance

SPEC = LlamaSpec(
    25, width=16, layers=2, heads=4, kv_heads=2, hidden=24, context=64, weight_std=0.4, embedding_std=0.7
)
WEIGHTS = initialise(SPEC, 0)
STOP = 3
RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(1, 25, n).tolist() for n in (1, 7, 3, 3, 12, 5, 2, 9)]


def next_logits(tokens):
    tokens = torch.tensor([tokens])
    states = hidden_states(WEIGHTS, SPEC, tokens, torch.arange(tokens.shape[1])[None])
    return logits(WEIGHTS, states)[0, -1]


def one_by_one(prompt, most):
    """Greedy decoding that reads everything again for every token."""
    said = []
    while len(said) < most:
        token = int(next_logits([*prompt, *said]).argmax())
        if token == STOP:
            break
        said.append(token)
    return said + [-1] * (most - len(said))


@pytest.mark.parametrize("prefix", [[], [4, 9, 2, 17, 5]])
def test_greedy_is_that_of_decoding_one_by_one(prefix):
    expected = [one_by_one(prefix + prompt, 9) for prompt in PROMPTS]
    assert any(-1 in said for said in expected)
    assert any(-1 not in said for said in expected)
    for batch in (1, 3, 100):
        found = generate(WEIGHTS, SPEC, PROMPTS, most=9, stop=(STOP,), prefix=prefix, batch=batch)
        assert found.shape == (len(PROMPTS), 1, 9)
        assert found[:, 0].tolist() == expected


def test_draws_depend_on_the_seed_and_not_on_the_batch():
    def draw(seed, batch, prompts=PROMPTS):
        return generate(
            WEIGHTS,
            SPEC,
            prompts,
            most=5,
            stop=(STOP,),
            temperature=1.0,
            top_k=10,
            draws=3,
            seed=seed,
            batch=batch,
        )

    state = torch.random.get_rng_state()
    assert (draw(1, 1) == draw(1, 100)).all()
    assert (draw(1, 7)[:4] == draw(1, 100, PROMPTS[:4])).all()
    assert (draw(1, 100) != draw(2, 100)).any()
    assert (draw(1, 100)[:, 0] != draw(1, 100)[:, 1]).any()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_texts_that_have_ended_leave_the_batch_and_change_nothing(monkeypatch):
    left, rows = [], Cache.rows
    monkeypatch.setattr(Cache, "rows", lambda cache, some: left.append(len(some)) or rows(cache, some))

    def draw(fewer):
        monkeypatch.setattr("synthetic.generate.FEWER", fewer)
        return generate(WEIGHTS, SPEC, PROMPTS * 4, most=20, stop=(STOP, 5), temperature=1.5, draws=3, seed=3)

    every = draw(0.0)
    assert not left
    assert (draw(0.9) == every).all()
    assert len(left) > 3
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.7, 5), (2.0, 24)])
def test_draws_follow_the_exact_law(temperature, top_k):
    prompt, n = PROMPTS[1], 20_000
    said = generate(WEIGHTS, SPEC, [prompt], most=2, temperature=temperature, top_k=top_k, draws=n, seed=5)[0]
    law = next_logits(prompt).double() / temperature
    if top_k:
        law[law < law.sort(descending=True).values[top_k - 1]] = -math.inf
    law = law.softmax(-1).numpy()
    counts = np.bincount(said[:, 0], minlength=25)
    assert (counts[law == 0] == 0).all()
    assert (np.abs(counts - n * law) <= 4.5 * np.sqrt(n * law * (1 - law)) + 1e-9).all()
    first = Counter(said[:, 0].tolist()).most_common(1)[0][0]  # and the second token given the first
    after = said[said[:, 0] == first, 1]
    law = log_chance(next_logits([*prompt, first])[None].expand(25, -1), torch.arange(25), temperature, top_k)
    law = law.exp().numpy()
    assert law.sum() == pytest.approx(1)
    counts = np.bincount(after, minlength=25)
    assert (np.abs(counts - len(after) * law) <= 4.5 * np.sqrt(len(after) * law * (1 - law)) + 1e-9).all()


def test_what_ties_with_the_last_kept_is_kept():
    heard = torch.tensor([[3.0, 1.0, 1.0, 0.0]])
    chances = [float(log_chance(heard, torch.tensor([token]), 1.0, 2).exp()) for token in range(4)]
    total = math.exp(3) + 2 * math.exp(1)
    assert chances == pytest.approx([math.exp(3) / total, math.exp(1) / total, math.exp(1) / total, 0.0])


def test_where_the_uniform_falls_is_what_is_drawn():
    heard = torch.tensor([[0.25, 0.5, 0.25]]).log().expand(4, 3)
    uniform = torch.tensor([0.0, 0.2499, 0.2501, 0.9999], dtype=torch.float64)
    assert choose(heard, uniform, 1.0, 0).tolist() == [0, 0, 1, 2]
    assert choose(heard, uniform, 0.0, 0).tolist() == [1, 1, 1, 1]


def test_no_prefix_is_an_empty_cache():
    assert read_prefix(WEIGHTS, SPEC, []).keys[0].shape == (1, 2, 0, 4)


def test_reading_leaves_live_weights_alone():
    live = {name: tensor.clone().requires_grad_() for name, tensor in WEIGHTS.items()}
    found = generate(live, SPEC, PROMPTS, most=4)
    assert (found == generate(WEIGHTS, SPEC, PROMPTS, most=4)).all()
    assert all(tensor.grad is None for tensor in live.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: generate(WEIGHTS, SPEC, [], most=3), "at least one prompt"),
        (lambda: generate(WEIGHTS, SPEC, [[1], []], most=3), "no empty one"),
        (
            lambda: generate(WEIGHTS, SPEC, [[1] * 40], most=10, prefix=[2] * 15),
            "need 65 places, the context has 64",
        ),
        (lambda: generate(WEIGHTS, SPEC, [[1]], most=3, temperature=-1.0), "temperature is -1.0"),
        (lambda: generate(WEIGHTS, SPEC, [[1]], most=3, draws=0), "draws is 0"),
        (lambda: generate(WEIGHTS, SPEC, [[1]], most=0), "most is 0"),
        (lambda: check_law(math.nan, 0), "temperature is nan"),
        (lambda: check_law(1.0, -3), "top_k is -3"),
        (lambda: padded([]), "at least one"),
    ],
)
def test_impossible_wishes_are_refused(call, words):
    with pytest.raises(SyntheticError, match=words):
        call()
