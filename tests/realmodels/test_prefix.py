import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from realmodels.errors import RealmodelsError
from realmodels.estimate import estimate
from realmodels.loading import Loaded, load
from realmodels.packing import pack
from realmodels.prefix import Reading, check_length, logits, run_prefix
from realmodels.prompting import STYLES, Shot, render_prefix, render_question
from realmodels.scoring import Draw, score_rows
from realmodels.shared import shared_ids
from realmodels.tokens import Tokens

from .conftest import FACTS, bpe, tiny_llama

QA = STYLES["qa"]
TEXTS = [f"Q: What is the capital of {s}?\nA: {a}\n\n" for s, a in FACTS]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 8,
}
FAMILIES = {
    "llama": SIZES,
    "mistral": SIZES | {"sliding_window": 256},
    "qwen2": SIZES,
    "qwen3": SIZES,
    "gemma2": SIZES | {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0, "sliding_window": 256},
    "granite": SIZES | {"logits_scaling": 4.0},
    "cohere": SIZES | {"logit_scale": 0.3},
    "phi": SIZES,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gpt_neox": SIZES,
    "olmo2": SIZES,
}


def family(name):
    tokenizer = bpe(TEXTS)
    kind = AutoConfig.for_model(name).__class__
    config = kind(**FAMILIES[name], vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    how = "eager" if name == "gemma2" else "sdpa"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=how, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.3)
    return Loaded(model.requires_grad_(False), Tokens(tokenizer), name, "", "cpu", "float32")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tree_behind_a_prefix_gives_the_logits_of_plain_passes(name):
    loaded = family(name)
    prefix = loaded.tokens.prompt_ids(TEXTS[0] + TEXTS[1])
    asked = [(40, 41, 42, 43), (44, 45)]
    answers = [[(50, 51, 52), (50, 53), (54,)], [(55, 56)]]
    rows = [pack(q, a) for q, a in zip(asked, answers, strict=True)]
    reading = Reading(loaded, run_prefix(loaded, prefix), rows)
    for i, row in enumerate(rows):
        for node in range(row.end, len(row)):
            branch, at = [], node
            while at >= 0:
                branch.append(row.tokens[at])
                at = row.parents[at]
            with torch.inference_mode():
                plain = loaded.model(torch.tensor([[*prefix, *branch[::-1]]])).logits[0, -1]
            found = logits(loaded, reading.hidden[i, [node]])[0]
            torch.testing.assert_close(found, plain.float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_decodes_from_the_same_cache_as_without_one(name):
    loaded = family(name)
    shots = [Shot(f"What is the capital of {s}?", a) for s, a in FACTS[:2]]
    questions, answers = [f"What is the capital of {s}?" for s, _ in FACTS], [(a,) for _, a in FACTS]
    found = estimate(loaded, QA, shots, questions, answers, estimator="hybrid")
    stops = loaded.tokens.stops("\n")
    for i in (0, 7):
        ids, said = (
            list(loaded.tokens.prompt_ids(render_prefix(QA, shots) + render_question(QA, questions[i]))),
            [],
        )
        while len(said) < 16:
            with torch.inference_mode():
                token = int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
            if token in stops:
                break
            said.append(token)
            ids.append(token)
        assert found.said[i] == loaded.tokens.text(said).strip().split("\n")[0].strip()


def test_a_trees_equal_answers_count_once_and_like_ones_share_tokens():
    row = pack((7, 8), [(1, 2, 3), (1, 2), (1, 4), (1, 2, 3)])
    assert row.tokens == (7, 8, 1, 2, 3, 4)
    assert row.parents == (-1, 0, 1, 2, 3, 2)
    assert row.depth == (0, 1, 2, 3, 4, 3)
    assert row.leaves == (4, 3, 5)
    assert row.seen.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


def test_scores_sum_to_one_over_the_whole_vocabulary():
    loaded = family("llama")
    size = loaded.tokens.vocabulary
    row = pack((5, 6), [(token,) for token in range(size)])
    reading = Reading(loaded, run_prefix(loaded, (1, 9)), [row])
    for draw in (Draw(0.5, 0), Draw(0.5, 11)):
        found = score_rows(loaded, reading.hidden, [row], [2, 3], draw)[0]
        assert np.exp(found.plain[1:]).sum() == pytest.approx(1, abs=1e-5)
        assert np.exp(found.drawn[1:]).sum() == pytest.approx(1, abs=1e-5)
        assert np.isfinite(found.drawn[1:]).sum() == (draw.top_k or size)
        assert np.exp(found.drawn_end[0]) == pytest.approx(np.exp(found.drawn[[3, 4]]).sum(), abs=1e-9)


@pytest.mark.parametrize("question", ["Which?", "é?", "1 2", "\n", "  spaces", "'quoted'", "(so) it is"])
@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_what_questions_share_begins_every_prompt_whatever_they_begin_with(style, question):
    tokens = Tokens(bpe(TEXTS))
    prefix = render_prefix(
        style, [Shot("What is the capital of Peru?", "Lima"), Shot("And of Chile?", "Santiago")]
    )
    shared, whole = (
        shared_ids(tokens, style, prefix),
        tokens.prompt_ids(prefix + render_question(style, question)),
    )
    assert len(shared) > len(tokens.prompt_ids(prefix)) - 4
    loaded = Loaded(tiny_llama(tokens.tokenizer), tokens, "", "", "cpu", "float32")
    shots = [Shot("What is the capital of Peru?", "Lima"), Shot("And of Chile?", "Santiago")]
    ask = (loaded, style, shots, [question, "Who?"], [("Lima",), ("Lima",)])
    np.testing.assert_allclose(estimate(*ask).logprob, estimate(*ask, cached=False).logprob, rtol=1e-4)
    if question.strip():
        assert whole[: len(shared)] == shared


def test_prompts_longer_than_the_model_sees(tiny):
    loaded = load(str(tiny), device="cpu")
    check_length(loaded, 512)
    with pytest.raises(RealmodelsError, match="has 513 tokens, the model sees 512"):
        check_length(loaded, 513)
    with pytest.raises(RealmodelsError, match="fewer shots"):
        estimate(loaded, QA, [Shot("Why? " * 200, "So.")] * 3, ["Why?"], [("So.",)])
    windowed = family("mistral")
    windowed.model.config.sliding_window = 64
    with pytest.raises(RealmodelsError, match="has 65 tokens, the model sees 64"):
        check_length(windowed, 65)


def test_models_without_keys_and_values_say_so():
    from transformers import MambaConfig, MambaForCausalLM

    tokenizer = bpe(TEXTS)
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, state_size=4)
    loaded = Loaded(MambaForCausalLM(config).eval(), Tokens(tokenizer), "mamba", "", "cpu", "float32")
    with pytest.raises(RealmodelsError, match="only attention models"):
        run_prefix(loaded, (1, 2, 3))
