import math
from dataclasses import replace

import pytest
import torch

from synthetic.errors import SyntheticError
from synthetic.model import EMBEDDING, Cache, LlamaSpec, flash, hidden_states, initialise, logits

SHAPES = {
    "one layer": LlamaSpec(37, width=16, layers=1, heads=2, kv_heads=2, hidden=24, context=64),
    "grouped": LlamaSpec(50, width=32, layers=2, heads=4, kv_heads=2, hidden=40, context=64),
    "one kv head, deep": LlamaSpec(
        50, width=24, layers=4, heads=6, kv_heads=1, hidden=16, context=64, theta=500.0
    ),
    "wide epsilon": LlamaSpec(
        50, width=48, layers=2, heads=3, kv_heads=3, hidden=100, context=64, epsilon=1e-3
    ),
}


def lively(spec, seed=0):
    """Weights far from their start: large matrices, norms that are not one."""
    weights = initialise(replace(spec, weight_std=0.3, embedding_std=0.5), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    return {
        name: tensor * (1 + 0.3 * torch.randn(tensor.shape, generator=generator))
        if tensor.ndim == 1
        else tensor
        for name, tensor in weights.items()
    }


def some_tokens(spec, rows=3, length=11, seed=0):
    """Token 0 is padding, which has no gradient in transformers and does not occur in documents."""
    return torch.randint(1, spec.vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


def places(tokens):
    return torch.arange(tokens.shape[1]).expand_as(tokens)


def transformers_model(spec, weights):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=spec.vocabulary,
        hidden_size=spec.width,
        intermediate_size=spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        max_position_embeddings=spec.context,
        rms_norm_eps=spec.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": spec.theta},
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    missing, extra = model.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert not extra
    return model


@pytest.mark.parametrize("spec", SHAPES.values(), ids=SHAPES)
def test_logits_are_those_of_transformers(spec):
    weights, tokens = lively(spec), some_tokens(spec)
    theirs = transformers_model(spec, weights)(input_ids=tokens).logits
    ours = logits(weights, hidden_states(weights, spec, tokens, places(tokens)))
    assert ours.abs().max() > 1
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spec", SHAPES.values(), ids=SHAPES)
def test_gradients_are_those_of_transformers(spec):
    weights, tokens = lively(spec), some_tokens(spec)
    model = transformers_model(spec, weights)
    model(input_ids=tokens, labels=tokens).loss.backward()
    live = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    heard = logits(live, hidden_states(live, spec, tokens, places(tokens)))[:, :-1]
    torch.nn.functional.cross_entropy(heard.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    theirs = dict(model.named_parameters())
    assert live.keys() <= theirs.keys()
    for name, tensor in live.items():
        assert tensor.grad.abs().max() > 0, name
        assert torch.allclose(tensor.grad, theirs[name].grad, atol=1e-5, rtol=1e-4), name


def test_wanted_columns_are_those_of_the_whole():
    spec = SHAPES["grouped"]
    weights, tokens = lively(spec), some_tokens(spec)
    whole = hidden_states(weights, spec, tokens, places(tokens))
    take = torch.tensor([[10, 0, 3], [1, 1, 2], [9, 5, 5]])
    part = hidden_states(weights, spec, tokens, places(tokens), take=take)
    assert part.shape == (3, 3, spec.width)
    assert torch.allclose(part, whole.gather(1, take[..., None].expand(-1, -1, spec.width)), atol=1e-5)


@pytest.mark.parametrize("cuts", [(11,), (4, 11), (1, 2, 3, 11)])
def test_reading_in_pieces_with_a_cache_is_reading_at_once(cuts):
    spec = SHAPES["grouped"]
    weights, tokens = lively(spec), some_tokens(spec)
    whole = hidden_states(weights, spec, tokens, places(tokens))
    cache = Cache.empty(spec, 3, 15, whole)
    start, parts = 0, []
    for end in cuts:
        parts.append(
            hidden_states(weights, spec, tokens[:, start:end], places(tokens)[:, start:end], cache=cache)
        )
        start = end
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


def test_a_shared_beginning_is_read_once():
    spec = SHAPES["grouped"]
    weights, tokens = lively(spec), some_tokens(spec)
    tokens[:] = torch.cat((tokens[:1, :6].expand(3, 6), tokens[:, 6:]), 1)
    whole = hidden_states(weights, spec, tokens, places(tokens))
    one = Cache.empty(spec, 1, 6, whole)
    hidden_states(weights, spec, tokens[:1, :6], places(tokens)[:1, :6], cache=one)
    kept = [part.clone() for part in (*one.keys, *one.values)]
    rest = hidden_states(weights, spec, tokens[:, 6:], places(tokens)[:, 6:], cache=one.copies(3, 11))
    assert torch.allclose(rest, whole[:, 6:], atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(kept, (*one.keys, *one.values), strict=True))
    twice = one.copies(2, 8).repeated(2)
    assert twice.keys[0].shape == (4, spec.kv_heads, 8, spec.head_width)
    assert torch.equal(twice.keys[0][0], twice.keys[0][1])


def patterns(q, k, mask):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    allowed = mask if mask is not None else torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~allowed, -math.inf).softmax(-1)


def test_attention_can_be_recorded_and_patched_into_itself():
    spec = SHAPES["grouped"]
    weights, tokens = lively(spec), some_tokens(spec)
    whole = hidden_states(weights, spec, tokens, places(tokens))
    seen = {}

    def record(layer, q, k, v, mask):
        seen[layer] = patterns(q, k, mask)
        return flash(layer, q, k, v, mask)

    def patch(layer, q, k, v, mask):
        return seen[layer] @ v

    assert torch.equal(hidden_states(weights, spec, tokens, places(tokens), attention=record), whole)
    assert seen.keys() == {0, 1}
    assert torch.allclose(seen[0].sum(-1), torch.ones(3, 4, 11))
    again = hidden_states(weights, spec, tokens, places(tokens), attention=patch)
    assert torch.allclose(again, whole, atol=1e-5)
    other = some_tokens(spec, seed=1)
    patched = hidden_states(weights, spec, other, places(other), attention=patch)
    assert not torch.allclose(patched, hidden_states(weights, spec, other, places(other)), atol=1e-2)


def test_without_an_mlp_is_with_an_mlp_that_writes_nothing():
    spec = SHAPES["grouped"]
    weights, tokens = lively(spec), some_tokens(spec)
    mute = {name: tensor * 0 if "down_proj" in name else tensor for name, tensor in weights.items()}
    bare = replace(spec, hidden=0)
    kept = {name: tensor for name, tensor in weights.items() if name in bare.shapes()}
    assert len(kept) == len(weights) - 4 * spec.layers
    ours = hidden_states(kept, bare, tokens, places(tokens))
    assert torch.allclose(ours, hidden_states(mute, spec, tokens, places(tokens)), atol=1e-6)


def test_first_weights_follow_from_the_seed_alone():
    spec = SHAPES["grouped"]
    before = torch.random.get_rng_state()
    one, same, other = initialise(spec, 3), initialise(spec, 3), initialise(spec, 4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one[EMBEDDING], other[EMBEDDING])
    assert {name: tuple(tensor.shape) for name, tensor in one.items()} == spec.shapes()
    assert sum(tensor.numel() for tensor in one.values()) == spec.parameters


def test_first_weights_have_the_stated_spread():
    spec = LlamaSpec(2000, width=128, layers=2, hidden=512, embedding_std=0.5, weight_std=0.1)
    weights = initialise(spec, 0)
    assert weights[EMBEDDING].std().item() == pytest.approx(0.5, rel=0.02)
    assert weights["model.layers.0.mlp.up_proj.weight"].std().item() == pytest.approx(0.1, rel=0.02)
    assert weights["model.layers.1.mlp.down_proj.weight"].std().item() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": 30}, ("width 30", "4 heads", "multiple of 8")),
        ({"kv_heads": 3}, ("kv_heads 3", "heads 4", "divisor")),
        ({"layers": 0}, ("layers is 0", "at least 1")),
        ({"vocabulary": 1}, ("vocabulary is 1", "at least 2")),
        ({"hidden": 2.5}, ("hidden is 2.5", "whole number")),
        ({"heads": True}, ("heads is True", "whole number")),
        ({"theta": math.inf}, ("theta is inf", "finite")),
        ({"weight_std": 0.0}, ("weight_std is 0.0", "above 0")),
    ],
)
def test_impossible_shapes_are_refused(wrong, words):
    with pytest.raises(SyntheticError) as caught:
        LlamaSpec(**{"vocabulary": 100, "width": 32, **wrong})
    assert all(word in str(caught.value) for word in words)
