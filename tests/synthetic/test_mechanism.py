"""Attention, cuts, pushes and shares against explicit loops and finite differences."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from synthetic.attending import Recorder, cost_of_cuts, mean_over, pattern, readers, subject_attention
from synthetic.errors import SyntheticError
from synthetic.generate import generate
from synthetic.mechanism import (
    common_shift_excess,
    error_share,
    rank_correlation,
    share,
    swap_change,
)
from synthetic.model import LlamaSpec, flash, hidden_states, initialise, logits, rms_norm, rotary, rotate
from synthetic.pushes import pushes
from synthetic.sheet import answered, sheet
from theory.attention import advantages

END = 2
PROMPTS = [[1, 7, 8, 9], [1, 7, 10, 11, 12, 5], [1, 9, 13], [1, 6, 14, 15, 9, 5]]
SUBJECTS = [[8], [10, 11], [13], [14, 15]]
ANSWERS = [[20], [21, 22], [23], [24, 20]]


def network(layers=2, hidden=24, kv_heads=2, seed=3):
    spec = LlamaSpec(
        vocabulary=30,
        width=16,
        layers=layers,
        heads=4,
        kv_heads=kv_heads,
        hidden=hidden,
        context=32,
        embedding_std=0.6,
        weight_std=0.4,
    )
    return initialise(spec, seed), spec


@pytest.fixture(scope="module")
def questions():
    return sheet(PROMPTS, SUBJECTS, ANSWERS, END)


def patterns_by_hand(weights, spec, tokens):
    """Attention of every layer, head, query and key of one sequence, a number at a time."""
    looks = np.zeros((spec.layers, spec.heads, len(tokens), len(tokens)))
    recorded = []

    def remember(layer, q, k, v, mask):
        recorded.append((q[0].double(), k[0].double()))
        return flash(layer, q, k, v, mask)

    with torch.no_grad():
        hidden_states(
            weights, spec, torch.tensor([tokens]), torch.arange(len(tokens))[None], attention=remember
        )
    for layer, (q, k) in enumerate(recorded):
        for head, i in product(range(spec.heads), range(len(tokens))):
            score = [
                math.exp(float(q[head, i] @ k[head, j]) / math.sqrt(spec.head_width)) for j in range(i + 1)
            ]
            looks[layer, head, i, : i + 1] = np.array(score) / sum(score)
    return looks


def test_sheet_marks_subjects_and_what_is_to_follow(questions):
    assert questions.subject.nonzero().tolist() == [[0, 2], [1, 2], [1, 3], [2, 2], [3, 2], [3, 3]]
    assert questions.last.tolist() == [3, 5, 2, 5]
    assert questions.take[1].tolist() == [5, 6, 7]
    assert questions.target[1].tolist() == [21, 22, END]
    assert questions.used.tolist() == [[True, True, False], [True] * 3, [True, True, False], [True] * 3]
    assert questions[[2, 0]].last.tolist() == [2, 3]
    assert [len(part) for part in questions.batches(3)] == [3, 1]


def test_the_last_of_several_places_is_the_subject():
    again = sheet([[1, 8, 9, 8]], [[8]], [[20]], END)
    assert again.subject[0].nonzero().flatten().tolist() == [3]


def test_a_subject_that_is_not_in_the_prompt_is_refused():
    with pytest.raises(SyntheticError, match=r"subject \(8, 9\) does not stand in the prompt \(1, 9, 8\)"):
        sheet([[1, 9, 8]], [[8, 9]], [[20]], END)


def test_answers_read_in_one_pass_are_those_that_are_generated():
    weights, spec = network()
    said = generate(weights, spec, PROMPTS, most=3, stop=(END,))[:, 0]
    answers = [[int(t) for t in row if t >= 0] or [25] for row in said]
    answers[0] = [(answers[0][0] + 1) % 30, *answers[0][1:]]
    right, log_p = answered(weights, spec, sheet(PROMPTS, SUBJECTS, answers, END))
    ended = [(row < 0).any() and row[0] >= 0 for row in said]
    assert not right[0]
    assert right[1:].tolist() == ended[1:]
    for i, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        tokens = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            heard = logits(weights, hidden_states(weights, spec, tokens, torch.arange(tokens.shape[1])[None]))
        chance = heard[0, len(prompt) - 1 :].double().log_softmax(-1)
        expected = sum(float(chance[j, token]) for j, token in enumerate([*answer, END]))
        assert log_p[i] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_attention_on_the_subject_is_that_of_explicit_matrices(questions, kv_heads):
    weights, spec = network(kv_heads=kv_heads)
    mass = subject_attention(weights, spec, questions)
    assert mass.shape == (4, spec.layers, spec.heads)
    for i, (prompt, subject) in enumerate(zip(PROMPTS, SUBJECTS, strict=True)):
        by_hand = patterns_by_hand(weights, spec, prompt)[:, :, -1, 2 : 2 + len(subject)].sum(-1)
        np.testing.assert_allclose(mass[i], by_hand, atol=1e-6)
    heads = np.zeros((2, 4), bool)
    heads[0, 1] = heads[1, 3] = True
    np.testing.assert_allclose(mean_over(heads, mass), (mass[:, 0, 1] + mass[:, 1, 3]) / 2)


def test_written_out_attention_is_the_fast_one(questions):
    weights, spec = network()
    assert torch.allclose(
        pattern(*(torch.randn(2, 2, 5, 4) for _ in range(2)), None).sum(-1), torch.ones(2, 2, 5)
    )
    positions = torch.arange(questions.tokens.shape[1]).expand_as(questions.tokens)
    with torch.no_grad():
        slow = hidden_states(weights, spec, questions.tokens, positions, attention=Recorder())
        fast = hidden_states(weights, spec, questions.tokens, positions)
    torch.testing.assert_close(slow, fast, atol=1e-5, rtol=1e-5)


def one_head_by_hand(weights, spec, prompt, subject, answer, cut):
    """log p of answer and end with one layer; head `cut` does not see the subject from the last prompt token."""
    tokens = [*prompt, *answer]
    at = "model.layers.0."
    x = weights["model.embed_tokens.weight"][tokens].double()
    h = rms_norm(x, weights[at + "input_layernorm.weight"].double(), spec.epsilon)
    q, k, v = (h @ weights[f"{at}self_attn.{name}_proj.weight"].double().T for name in "qkv")
    cos, sin = rotary(spec, torch.arange(len(tokens)), torch.float64)
    out = torch.zeros(len(tokens), spec.width, dtype=torch.float64)
    for head in range(spec.heads):
        own = slice(head * spec.head_width, (head + 1) * spec.head_width)
        queries, keys = (rotate(part[:, own], cos, sin) for part in (q, k))
        for i in range(len(tokens)):
            seen = [
                j
                for j in range(i + 1)
                if not (head == cut and i == len(prompt) - 1 and tokens[j] in subject and j < len(prompt))
            ]
            weight = torch.stack([queries[i] @ keys[j] / math.sqrt(spec.head_width) for j in seen]).softmax(0)
            out[i, own] = sum(w * v[j, own] for w, j in zip(weight, seen, strict=True))
    x = x + out @ weights[at + "self_attn.o_proj.weight"].double().T
    x = rms_norm(x, weights["model.norm.weight"].double(), spec.epsilon)
    heard = (x @ weights["model.embed_tokens.weight"].double().T).log_softmax(-1)
    return sum(float(heard[len(prompt) - 1 + j, token]) for j, token in enumerate([*answer, END]))


def test_cutting_a_head_is_attention_without_the_subject(questions):
    weights, spec = network(layers=1, hidden=0, kv_heads=4)
    cost = cost_of_cuts(weights, spec, questions)
    rows = list(zip(PROMPTS, SUBJECTS, ANSWERS, strict=True))
    for head in range(spec.heads):
        by_hand = [
            one_head_by_hand(weights, spec, *row, None) - one_head_by_hand(weights, spec, *row, head)
            for row in rows
        ]
        assert cost[0, head] == pytest.approx(np.mean(by_hand), abs=1e-4)


def test_readers_are_the_heads_that_are_needed():
    cost = np.array([[0.5, 0.06], [-0.2, 0.04]])
    assert readers(cost).tolist() == [[True, True], [False, False]]
    assert readers(cost, share=0.5).tolist() == [[True, False], [False, False]]
    assert readers(np.array([[-0.1, 0.0]])).all()


class Nudged:
    """Attention with `by` added to the score of the subject's words in one head, at the last prompt token."""

    def __init__(self, part, layer, head, by):
        self.part, self.layer, self.head, self.by = part, layer, head, by

    def __call__(self, layer, q, k, v, mask):
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -math.inf)
        if layer == self.layer:
            row = torch.arange(len(self.part))
            scores[row, self.head, self.part.last] += self.by * self.part.subject
        return scores.softmax(-1) @ v


@pytest.mark.parametrize("layers", [1, 2])
def test_push_is_the_derivative_by_the_subject_score(questions, layers):
    """T1 on a network with MLPs and several layers: alpha (1 - alpha)(A_S - A_rest)."""
    weights, spec = network(layers=layers)
    weights = {name: tensor.double() for name, tensor in weights.items()}
    found = pushes(weights, spec, questions)
    np.testing.assert_allclose(found.mass, subject_attention(weights, spec, questions), atol=1e-7)
    np.testing.assert_allclose(
        found.push, found.mass * (1 - found.mass) * found.margin, rtol=1e-6, atol=1e-12
    )
    positions = torch.arange(questions.tokens.shape[1]).expand_as(questions.tokens)
    words = questions.used.sum(1) - 1

    def log_p(layer, head, by):
        with torch.no_grad():
            hidden = hidden_states(
                weights, spec, questions.tokens, positions, attention=Nudged(questions, layer, head, by)
            )
        heard = logits(weights, hidden).log_softmax(-1)
        return np.array(
            [
                sum(
                    float(heard[i, questions.take[i, j], questions.target[i, j]])
                    for j in range(int(words[i]))
                )
                for i in range(len(questions))
            ]
        )

    for layer, head in product(range(spec.layers), range(spec.heads)):
        slope = (log_p(layer, head, 1e-4) - log_p(layer, head, -1e-4)) / 2e-4
        np.testing.assert_allclose(found.push[:, layer, head], slope, rtol=1e-4, atol=1e-7)


def test_margin_is_the_theory_s_in_the_theory_s_head():
    """One layer, one head, no MLP, a subject, a relation and a mark; the final norm is linearised where it is."""
    spec = LlamaSpec(
        vocabulary=30,
        width=16,
        layers=1,
        heads=1,
        kv_heads=1,
        hidden=0,
        context=8,
        embedding_std=0.6,
        weight_std=0.4,
    )
    weights = {name: tensor.double() for name, tensor in initialise(spec, 5).items()}
    prompt, answer = [8, 7, 9], 20
    found = pushes(weights, spec, sheet([prompt], [[8]], [[answer]], END))

    embedding = weights["model.embed_tokens.weight"]
    at = "model.layers.0."
    x = embedding[prompt]
    v = (
        rms_norm(x, weights[at + "input_layernorm.weight"], spec.epsilon)
        @ weights[at + "self_attn.v_proj.weight"].T
    )
    written = v @ weights[at + "self_attn.o_proj.weight"].T
    alpha = torch.from_numpy(patterns_by_hand(weights, spec, prompt)[0, 0, -1])
    state = x[-1] + alpha @ written

    def head(state):
        return rms_norm(state, weights["model.norm.weight"], spec.epsilon) @ embedding.T

    values = (
        torch.autograd.functional.jacobian(head, state) @ written.T
    ).T  # what each token says for each word
    a = advantages(values.numpy(), head(state).softmax(-1).numpy(), np.array(answer))
    rest = (alpha[1] * a[1] + alpha[2] * a[2]) / (alpha[1] + alpha[2])
    assert found.margin[0, 0, 0] == pytest.approx(a[0] - float(rest), rel=1e-6)


def test_swap_change_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    relation, right, said = rng.integers(0, 3, 40), rng.integers(0, 4, 40), rng.integers(0, 4, (40, 2))
    right[relation == 2] = 1
    changed = []
    for i in range(40):
        partners = [j for j in range(40) if relation[j] == relation[i] and right[j] != right[i]]
        if partners:
            changed.append(np.mean([said[j].tolist() != said[i].tolist() for j in partners]))
    found = swap_change(said, relation, right)
    assert found.value == pytest.approx(np.mean(changed))
    assert found.n == len(changed) < 40


def test_swap_change_of_a_model_that_knows_and_of_one_that_ignores_the_subject():
    relation, right = np.repeat([0, 1], 4), np.array([0, 0, 1, 2, 5, 6, 7, 8])
    assert swap_change(right, relation, right) == (1.0, 8)
    assert swap_change(relation, relation, right) == (0.0, 8)
    assert swap_change([1], [0], [1])[1] == 0


def test_error_share_counts_wrong_answers_only():
    said, right, generic = [1, 1, 2, 3, 1], [1, 2, 2, 1, 4], [1, 1, 1, 1, 1]
    assert error_share(said, right, generic) == (pytest.approx(2 / 3), 3)
    assert math.isnan(error_share([1], [1], [1]).value)


def test_share_of_nothing_is_nothing():
    assert share([1.0, 0.0], [False, False])[1] == 0


def test_common_shift_excess():
    rng = np.random.default_rng(1)
    before, noise = rng.normal(size=(2, 200, 16))
    along = np.full(16, 0.5)
    assert common_shift_excess(before, before) == 0.0
    assert common_shift_excess(before, before + along) == pytest.approx(1.0)
    assert common_shift_excess(before, before + along * rng.uniform(0.1, 5, (200, 1))) == pytest.approx(1.0)
    one_line = along * rng.choice([-1.0, 1.0], (200, 1))  # one axis, but no common way along it
    alone = [common_shift_excess(before, before + noise * rng.choice([-1, 1], (200, 1))) for _ in range(40)]
    axis = [common_shift_excess(before, before + one_line[rng.permutation(200)]) for _ in range(40)]
    assert abs(np.mean(alone)) < 0.02
    assert all(abs(x) < 0.25 for x in axis)
    assert common_shift_excess(before, before + along + noise) == pytest.approx(4 / 20, abs=0.08)


def test_common_shift_excess_is_that_of_a_loop():
    rng = np.random.default_rng(2)
    before, after = rng.normal(size=(2, 12, 5)) + np.array([[[0.0]], [[0.7]]])
    change = after - before
    total = 0.0
    for i in range(12):
        mean = np.delete(change, i, axis=0).mean(axis=0)
        c = change[i] @ mean / np.linalg.norm(mean)
        total += math.copysign(c * c, c)
    assert common_shift_excess(before, after) == pytest.approx(total / (change**2).sum())


def test_rank_correlation_is_spearman_s():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, 30), rng.normal(size=30)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert math.isnan(rank_correlation([1, 2], [2, 1]))
    assert math.isnan(rank_correlation([1, 1, 1], [2, 1, 3]))
