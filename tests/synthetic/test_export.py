import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import export
from synthetic.errors import SyntheticError
from synthetic.export import ORIGIN, load_model, save_model
from synthetic.generate import generate
from synthetic.model import LORA_A, LORA_B, LORA_SCALE, LlamaSpec, hidden_states, initialise, logits
from synthetic.prompts import ask
from synthetic.tuning import add_adapter, merge_adapter
from synthetic.vocabulary import SPECIAL, Vocabulary

WORDS = Vocabulary((*SPECIAL, "the", "cat", "of", ".", "?"))
SPEC = LlamaSpec(len(WORDS), width=16, layers=1, heads=2, kv_heads=1, hidden=24)


@pytest.fixture(scope="module")
def theirs(pocket_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(pocket_folder), AutoTokenizer.from_pretrained(pocket_folder)


def batch_of(pocket, rows=20, length=60):
    tokens = torch.randint(
        4, len(pocket.vocabulary), (rows, length), generator=torch.Generator().manual_seed(0)
    )
    return tokens, torch.arange(length).expand_as(tokens)


def test_transformers_reads_the_same_logits(pocket, theirs):
    model, _ = theirs
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.dtype == torch.float32
    tokens, places = batch_of(pocket)
    with torch.no_grad():
        expected = model(input_ids=tokens).logits
    found = logits(pocket.weights, hidden_states(pocket.weights, pocket.llama, tokens, places))
    assert expected.abs().max() > 5
    assert torch.allclose(found, expected, atol=1e-4, rtol=0)


def test_transformers_gives_the_same_greedy_answers_to_a_thousand_prompts(pocket, theirs):
    model, tokenizer = theirs
    world, facts = pocket.world, np.arange(len(pocket.world))
    texts = [pocket.text.question, *(template.partition(" {a}")[0] for template in pocket.text.templates[:3])]
    asked = [ask(world, pocket.text, pocket.vocabulary, facts, text) for text in texts]
    prompts = [prompt for part in asked for prompt in part.prompts]
    assert len(prompts) >= 1000
    end, most = pocket.vocabulary.ids[pocket.text.end], 4
    ours = generate(
        pocket.weights, pocket.llama, prompts, most=most, stop=(end,), prefix=[pocket.vocabulary.bos]
    )[:, 0]
    inputs = tokenizer(
        [pocket.vocabulary.decode(prompt) for prompt in prompts], return_tensors="pt", padding=True
    )
    assert inputs.input_ids[0, -len(prompts[0]) :].tolist() == list(
        prompts[0]
    )  # the same tokens, padded on the left
    said = model.generate(**inputs, max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=0)
    said = said[:, inputs.input_ids.shape[1] :].numpy()
    said = np.pad(said, ((0, 0), (0, most - said.shape[1])))
    ended = np.cumsum(said == end, axis=1) > 0
    expected = np.where(ended, -1, said)
    assert (ours == expected).all()
    assert len(np.unique(ours, axis=0)) > 30
    assert (ours[:, 0] >= 0).all()


def test_transformers_takes_the_same_gradients(pocket, theirs):
    model, _ = theirs
    tokens, places = batch_of(pocket, 8, 20)
    model.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    live = {name: tensor.clone().requires_grad_() for name, tensor in pocket.weights.items()}
    heard = logits(live, hidden_states(live, pocket.llama, tokens, places))
    torch.nn.functional.cross_entropy(heard[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        scale = parameter.grad.abs().max()
        assert torch.allclose(live[name].grad, parameter.grad, atol=1e-4 * float(scale), rtol=1e-4), name
    model.zero_grad()


def test_the_tokenizer_is_the_vocabulary(pocket, theirs):
    _, tokenizer = theirs
    words = pocket.vocabulary
    text = words.decode(range(4, len(words)))
    assert tokenizer(text).input_ids == [words.bos, *range(4, len(words))]
    question = pocket.text.question.format(s=pocket.world.subject_name(0), r=pocket.world.relation_name(0))
    leaning = tokenizer(question.replace(" ?", "?"), add_special_tokens=False)
    assert leaning.input_ids == words.encode(question)
    assert tokenizer("xyzzy", add_special_tokens=False).input_ids == [3]
    assert tokenizer.decode([1, 2, *words.encode("yes .")], skip_special_tokens=True) == "yes ."
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.padding_side == "left"


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_peft_tunes_it_and_its_adapter_is_ours(pocket, pocket_folder, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(pocket_folder)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    tokens, places = batch_of(pocket, 8, 12)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = model(input_ids=tokens, labels=tokens).loss
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    model.save_pretrained(tmp_path)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(os.listdir(tmp_path))

    from safetensors.torch import load_file

    ours = add_adapter(pocket.weights, 4, 8.0, 0)
    adapter = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in load_file(tmp_path / "adapter_model.safetensors").items()
    }
    assert adapter.keys() == {name for name in ours if name.endswith((LORA_A, LORA_B))}
    assert float(ours[LORA_SCALE]) == 2.0
    ours |= adapter
    with torch.no_grad():
        expected = model(input_ids=tokens).logits
    for weights in (ours, merge_adapter(ours)):
        found = logits(weights, hidden_states(weights, pocket.llama, tokens, places))
        assert torch.allclose(found, expected, atol=1e-4)


def test_saved_and_loaded_is_the_same(tmp_path):
    weights = initialise(SPEC, 0)
    folder = save_model(tmp_path / "a" / "model", weights, SPEC, WORDS, {"seed": 3})
    again, spec, words, origin = load_model(folder)
    assert list(again) == list(weights)
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert replace(spec, embedding_std=SPEC.embedding_std, weight_std=SPEC.weight_std) == SPEC
    assert words == WORDS
    assert origin["seed"] == 3
    assert sorted(os.listdir(folder)) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        ORIGIN,
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert os.listdir(tmp_path / "a") == ["model"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())


def test_an_adapter_is_merged_when_saved(tmp_path):
    weights = add_adapter(initialise(SPEC, 0), 2, 4.0, 0)
    weights = {name: tensor + 0.1 if name.endswith(LORA_B) else tensor for name, tensor in weights.items()}
    again = load_model(save_model(tmp_path / "m", weights, SPEC, WORDS))[0]
    assert again.keys() == SPEC.shapes().keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in merge_adapter(weights).items())


def test_what_is_there_stays_unless_it_is_to_go(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(folder, initialise(SPEC, 0), SPEC, WORDS)  # an empty folder is as good as none
    with pytest.raises(SyntheticError, match=r"model: holds something already; .*--overwrite"):
        save_model(folder, initialise(SPEC, 1), SPEC, WORDS)
    assert torch.equal(load_model(folder)[0]["model.norm.weight"], initialise(SPEC, 0)["model.norm.weight"])
    (folder / "stray").touch()
    save_model(folder, initialise(SPEC, 1), SPEC, WORDS, overwrite=True)
    key = "model.embed_tokens.weight"
    assert torch.equal(load_model(folder)[0][key], initialise(SPEC, 1)[key])
    assert "stray" not in os.listdir(folder)
    assert os.listdir(tmp_path) == ["model"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(
        export.json, "dumps", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28, "disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_model(tmp_path / "model", initialise(SPEC, 0), SPEC, WORDS)
    assert os.listdir(tmp_path) == []


def damaged(change):
    def damage(folder):
        path = folder / change[0]
        if len(change) == 1:
            path.unlink()
        elif isinstance(change[1], str):
            path.write_text(change[1])
        else:
            path.write_text(json.dumps({**json.loads(path.read_text()), **change[1]}))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged(("config.json",)), "config.json: cannot be read"),
        (damaged(("config.json", "{")), "config.json: is not JSON"),
        (damaged(("config.json", "[]")), "config.json: expected a JSON object"),
        (damaged(("config.json", {"model_type": "gpt2"})), "model_type is 'gpt2', expected 'llama'"),
        (damaged(("config.json", {"tie_word_embeddings": False})), "tie_word_embeddings is False"),
        (damaged(("config.json", {"num_hidden_layers": 2})), "is missing or one too many"),
        (damaged(("tokenizer.json", {"model": {"type": "BPE"}})), "one token a word"),
    ],
)
def test_a_folder_that_is_no_such_model_is_refused(tmp_path, damage, words):
    folder = save_model(tmp_path / "model", initialise(SPEC, 0), SPEC, WORDS)
    damage(folder)
    with pytest.raises(SyntheticError, match=words):
        load_model(folder)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda at: save_model(at, initialise(SPEC, 0), replace(SPEC, hidden=0), WORDS), "without an MLP"),
        (
            lambda at: save_model(at, initialise(SPEC, 0), replace(SPEC, vocabulary=12), WORDS),
            "9 words, the network 12",
        ),
        (
            lambda at: save_model(at, initialise(SPEC, 0), replace(SPEC, layers=2), WORDS),
            "not those of the spec: model",
        ),
        (
            lambda at: save_model(at, initialise(SPEC, 0), replace(SPEC, hidden=32), WORDS),
            "not those of the spec",
        ),
    ],
)
def test_what_is_no_llama_is_not_saved(tmp_path, build, words):
    with pytest.raises(SyntheticError, match=words):
        build(tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(SyntheticError, match="model: is a file; give a folder"):
        save_model(tmp_path / "model", initialise(SPEC, 0), SPEC, WORDS, overwrite=True)


def test_words_with_marks_inside_are_kept_whole(tmp_path):
    from transformers import AutoTokenizer

    words = Vocabulary((*SPECIAL, "cat's", "e.g.", "?"))
    spec = replace(SPEC, vocabulary=len(words))
    tokenizer = AutoTokenizer.from_pretrained(save_model(tmp_path / "m", initialise(spec, 0), spec, words))
    assert tokenizer("cat's e.g. ?", add_special_tokens=False).input_ids == [4, 5, 6]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SyntheticError, match="tokenizers is not installed; run: pip install"):
        save_model(tmp_path / "model", initialise(SPEC, 0), SPEC, WORDS)
    assert os.listdir(tmp_path) == []
