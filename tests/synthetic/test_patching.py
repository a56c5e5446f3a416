"""Patching identities: a network patched into itself is itself, and what differs in one part only is carried by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic.model import LlamaSpec, initialise
from synthetic.patching import unshifted, with_attention_of, with_values_of
from synthetic.sheet import answered, sheet, states
from synthetic.tuning import trainable_names

SPEC = LlamaSpec(
    vocabulary=40,
    width=16,
    layers=2,
    heads=4,
    kv_heads=2,
    hidden=24,
    context=16,
    embedding_std=0.6,
    weight_std=0.5,
)
RNG = np.random.default_rng(0)
PROMPTS = [[1, *RNG.integers(3, 40, RNG.integers(2, 6)).tolist()] for _ in range(90)]


@pytest.fixture(scope="module")
def questions():
    """About half are answered right by the network with seed 1: what it says itself, or something else."""
    weights = initialise(SPEC, 1)
    answers = []
    for i, prompt in enumerate(PROMPTS):
        asked = sheet([prompt], [prompt[1:2]], [[3]], 2)
        with torch.no_grad():
            said = int(
                (
                    states(weights, SPEC, asked)[0, len(prompt) - 1] @ weights["model.embed_tokens.weight"].T
                ).argmax()
            )
        answers.append([said] if i % 2 else [(said + 1) % 40])
    return sheet(PROMPTS, [prompt[1:2] for prompt in PROMPTS], answers, 2)


@pytest.fixture(scope="module")
def network():
    return initialise(SPEC, 1)


def other(weights, which, seed=9):
    """The same network with the tensors of one part drawn again."""
    drawn = initialise(SPEC, seed)
    return weights | {name: drawn[name] for name in trainable_names(weights, which)}


def right(weights, questions):
    """Right at the first word of the answer alone: an untrained network does not end its answers."""
    return answered(weights, SPEC, first_word(questions))[0]


def first_word(questions):
    used = questions.used.clone()
    used[:, 1:] = False
    return replace(questions, used=used)


def test_attention_of_itself_changes_nothing(network, questions):
    asked = first_word(questions)
    assert 0.3 < right(network, questions).mean() < 0.7
    np.testing.assert_array_equal(with_attention_of(network, network, SPEC, asked), right(network, questions))


def test_values_of_itself_change_nothing(network):
    patched = with_values_of(network, network)
    assert patched.keys() == network.keys()
    assert all(patched[name] is network[name] for name in network)


def test_networks_that_differ_in_queries_and_keys_alone_are_told_apart_by_attention(network, questions):
    donor = other(network, "attention")
    asked = first_word(questions)
    assert (right(donor, questions) != right(network, questions)).mean() > 0.1
    np.testing.assert_array_equal(with_attention_of(donor, network, SPEC, asked), right(donor, questions))
    assert all(torch.equal(with_values_of(donor, network)[name], network[name]) for name in network)


def test_networks_that_differ_in_values_alone_are_told_apart_by_values(network, questions):
    donor = other(network, "values")
    assert (right(donor, questions) != right(network, questions)).mean() > 0.1
    patched = with_values_of(donor, network)
    assert all(torch.equal(patched[name], donor[name]) for name in donor)
    mixed = with_attention_of(donor, network, SPEC, first_word(questions))
    assert (mixed != right(donor, questions)).any()


def test_values_leave_attention_embeddings_and_norms_alone(network):
    donor = initialise(SPEC, 4)
    patched = with_values_of(donor, network)
    moved = {name for name in network if not torch.equal(patched[name], network[name])}
    assert moved == {
        name for name in network if name.endswith(("v_proj.weight", "o_proj.weight")) or ".mlp." in name
    }


def test_an_update_of_rank_one_is_taken_out_whole(network):
    torch.manual_seed(0)
    tuned = {
        name: w + torch.outer(torch.randn(w.shape[0]), torch.randn(w.shape[1])) if w.ndim == 2 else w + 1.0
        for name, w in network.items()
    }
    back = unshifted(network, tuned)
    for name, before in network.items():
        torch.testing.assert_close(back[name], before if before.ndim == 2 else tuned[name], atol=1e-5, rtol=0)
        assert back[name].dtype == before.dtype


def test_what_is_left_of_an_update_is_all_but_its_first_direction(network):
    tuned = initialise(SPEC, 7)
    back = unshifted(network, tuned)
    for name, before in network.items():
        if before.ndim == 2:
            full = torch.linalg.svdvals((tuned[name] - before).double())
            left = torch.linalg.svdvals((back[name] - before).double())
            torch.testing.assert_close(left[:-1], full[1:], atol=1e-5, rtol=0)
            assert left[-1] < 1e-5


def test_a_network_that_did_not_change_has_no_shift(network):
    same = unshifted(network, {name: w.clone() for name, w in network.items()})
    assert all(torch.equal(same[name], network[name]) for name in network)
