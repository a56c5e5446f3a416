import json
import shutil
import socket
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import realmodels.fetching as fetching
import realmodels.loading as loading
import realmodels.places as places
from realmodels.card import describe, in_bits
from realmodels.cost import calibrate, forward_tokens
from realmodels.errors import RealmodelsError
from realmodels.estimate import estimate, logprobs
from realmodels.loading import load, load_tokens, pick_device, pick_dtype
from realmodels.prompting import STYLES, Shot

from .conftest import FACTS, bpe, tiny_llama

QA = STYLES["qa"]
QUESTIONS, ANSWERS = [f"What is the capital of {s}?" for s, _ in FACTS], [(a,) for _, a in FACTS]


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def adapter_of(base, folder, rank=2, seed=0):
    """A LoRA adapter with random weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base)
        torch.manual_seed(seed)
        tuned = get_peft_model(
            model, LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
        )
        tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    return adapter_of(tiny, tmp_path_factory.mktemp("adapter") / "lora")


def test_a_folder(tiny):
    found = load(str(tiny), device="cpu")
    assert (found.name, found.device, found.dtype) == (str(tiny), "cpu", "float32")
    assert found.model.dtype == torch.float32
    assert not found.model.training
    assert not any(weight.requires_grad for weight in found.model.parameters())
    assert found.tokens.bos == (1,)


def test_a_fingerprint_follows_the_weights(tiny, copy, adapter):
    whole = load(str(tiny)).fingerprint
    assert load(str(copy)).fingerprint == whole
    assert load(str(tiny), adapter=str(adapter)).fingerprint != whole
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert load(str(copy)).fingerprint != whole


def test_of_a_large_file_pieces_all_along_are_looked_at(copy, monkeypatch):
    monkeypatch.setattr(loading, "WHOLE", 1000)
    monkeypatch.setattr(loading, "PIECE", 16)
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    assert len(content) > 256 * 16
    whole = load(str(copy)).fingerprint
    for place in (0.3, 0.6):  # a hundredth of the file is other weights
        first = int(place * len(content))
        changed = bytearray(content)
        for i in range(first, first + len(content) // 100):
            changed[i] ^= 1
        path.write_bytes(changed)
        assert load(str(copy)).fingerprint != whole
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert load(str(copy)).fingerprint != whole


def test_adapters_in_the_hubs_cache_have_fingerprints_and_are_no_pickles(
    tiny, adapter, tmp_path, monkeypatch
):
    """Of a cache that holds `base`, a good adapter and one that is a pickle."""
    hub = {"o/base": tiny, "o/good": adapter, "o/bad": tmp_path / "bad"}
    shutil.copytree(adapter, hub["o/bad"])
    torch.save({}, hub["o/bad"] / "adapter_model.bin")
    (hub["o/bad"] / "adapter_model.safetensors").unlink()

    def cached(name, config):
        path = Path(hub[name]) / config
        return str(path) if path.exists() else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    find = partial(places.find, what="adapter", config="adapter_config.json")
    good = find("o/good")
    assert {path.name for path in good.files()} == {"adapter_config.json", "adapter_model.safetensors"}
    good.check_weights(allow_pickle=False)
    assert loading._fingerprint(places.find("o/base"), "o/good") != loading._fingerprint(
        places.find("o/base"), None
    )
    with pytest.raises(RealmodelsError, match=r"o/bad.*can run code.*--allow-pickle"):
        find("o/bad").check_weights(allow_pickle=False)
    find("o/bad").check_weights(allow_pickle=True)


def test_dtypes_and_devices(tiny):
    assert load(str(tiny), dtype="bfloat16").model.dtype == torch.bfloat16
    if not torch.cuda.is_available():
        assert pick_dtype("auto", "cpu") == "float32"
        with pytest.raises(RealmodelsError, match="device: no 'cuda' here; try auto or cpu"):
            pick_device("cuda")
    assert pick_device("cpu") == "cpu"
    with pytest.raises(RealmodelsError, match="unknown 'bf16'"):
        load(str(tiny), dtype="bf16")
    with pytest.raises(RealmodelsError, match="device: no 'tpu9'"):
        load(str(tiny), device="tpu9")


def test_on_cuda_half_precision_is_taken_and_the_local_rank_chooses_the_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device() == "cuda:3"
    for has, wanted in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert pick_dtype() == wanted


def test_an_adapter_changes_what_is_found_and_merging_it_does_not(tiny, adapter):
    base, tuned = load(str(tiny)), load(str(tiny), adapter=str(adapter))
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapter).eval()
    ids = torch.tensor([tuned.tokens.prompt_ids("Q: What is the capital of Peru?")])
    with torch.inference_mode():
        torch.testing.assert_close(tuned.model(ids).logits, apart(ids).logits, atol=1e-4, rtol=1e-4)
    ask = (QA, [], QUESTIONS, ANSWERS)
    assert not np.allclose(logprobs(base, *ask), logprobs(tuned, *ask), rtol=1e-3)


def test_in_half_precision_an_adapter_stays_apart(tiny, adapter):
    tuned = load(str(tiny), adapter=str(adapter), dtype="bfloat16")
    assert any("lora" in name for name, _ in tuned.model.named_parameters())
    found = estimate(tuned, QA, [], QUESTIONS, ANSWERS, estimator="hybrid")
    assert np.isfinite(found.logprob).all()


def test_adapters_that_do_not_fit(tiny, adapter, tmp_path):
    other = tmp_path / "other"
    tokenizer = bpe(["Q: a\nA: b\n\n"])
    tiny_llama(tokenizer, hidden_size=16).save_pretrained(other)
    tokenizer.save_pretrained(other)
    with pytest.raises(RealmodelsError, match=r"is an adapter of .*model, not of .*other; give --model"):
        load(str(other), adapter=str(adapter))
    renamed = shutil.copytree(adapter, tmp_path / "renamed")
    config = json.loads((renamed / "adapter_config.json").read_text())
    (renamed / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    assert load(str(tiny), adapter=str(renamed)).name  # no base named: the shapes decide
    with pytest.raises(RealmodelsError, match="size mismatch"):
        load(str(other), adapter=str(renamed))
    with pytest.raises(RealmodelsError, match=r"has no adapter_config\.json; it is a whole model"):
        load(str(tiny), adapter=str(tiny))
    with pytest.raises(RealmodelsError, match=r"it is an adapter: give its base with --model"):
        load(str(adapter))
    weights = renamed / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(RealmodelsError, match="renamed: cannot be opened"):
        load(str(tiny), adapter=str(renamed))
    weights.unlink()
    with pytest.raises(RealmodelsError, match="holds no weights"):
        load(str(tiny), adapter=str(renamed))
    (renamed / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(RealmodelsError, match=r"adapter_model\.bin: is a pickle.*--allow-pickle"):
        load(str(tiny), adapter=str(renamed))


def test_an_adapter_that_lacks_weights_or_is_no_adapter_of_weights(tiny, adapter, tmp_path):
    from safetensors.torch import load_file, save_file

    part = shutil.copytree(adapter, tmp_path / "part")
    weights = load_file(part / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[:-2]), part / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(RealmodelsError, match="another model's or incomplete"):
        load(str(tiny), adapter=str(part))
    config = json.loads((part / "adapter_config.json").read_text())
    (part / "adapter_config.json").write_text(
        json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "task_type": "CAUSAL_LM"})
    )
    with pytest.raises(RealmodelsError, match="PROMPT_TUNING adapter; expected LoRA"):
        load(str(tiny), adapter=str(part))
    assert config


def broken(change):
    def make(folder):
        change(folder)
        return folder

    return make


def cut(name, size):
    def change(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return change


def without(*keys):
    def change(folder):
        from safetensors.torch import load_file, save_file

        path = folder / "model.safetensors"
        save_file({k: v for k, v in load_file(path).items() if k not in keys}, path, {"format": "pt"})

    return change


def configured(**knobs):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | knobs))

    return change


def pickled(folder):
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: (f / "config.json").unlink(), ["has no config.json", "holds no model"]),
        (lambda f: (f / "config.json").write_text("{"), ["config.json: expected JSON"]),
        (lambda f: (f / "config.json").write_text("[1]"), ["expected a JSON object, got list"]),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), ["config.json: expected JSON"]),
        (lambda f: (f / "model.safetensors").unlink(), ["holds no weights", "expected *.safetensors"]),
        (cut("model.safetensors", 0), ["cannot be opened"]),
        (cut("model.safetensors", 1000), ["cannot be opened"]),
        (cut("model.safetensors", 100_000), ["cannot be opened"]),
        (without("model.norm.weight", "lm_head.weight"), ["the weights lack lm_head.weight and 1 more"]),
        (configured(hidden_size=64), ["other sizes than config.json says"]),
        (configured(model_type="no-such-type"), ["cannot be opened", "no-such-type"]),
        (configured(model_type="t5", architectures=["T5Model"]), ["cannot be opened"]),
        (pickled, ["pytorch_model.bin: is a pickle", "--allow-pickle"]),
        (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer: cannot be opened"]),
        (cut("tokenizer.json", 100), ["tokenizer: cannot be opened"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_folders_that_are_broken(copy, change, parts):
    change(copy)
    with pytest.raises(RealmodelsError) as error:
        load(str(copy))
    message = str(error.value)
    assert str(copy) in message
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_pickles_are_opened_when_allowed(copy, tiny):
    pickled(copy)
    found = load(str(copy), allow_pickle=True)
    ids = torch.tensor([[1, 5, 9]])
    torch.testing.assert_close(found.model(ids).logits, load(str(tiny)).model(ids).logits)


def test_a_models_own_code_is_not_run_unless_allowed(copy):
    (copy / "own.py").write_text("raise SystemExit('ran')")
    configured(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"})(
        copy
    )
    with pytest.raises(RealmodelsError, match=r"code of its own.*--allow-code"):
        load(str(copy))


def test_a_tokenizer_of_another_model(copy):
    bpe([f"{i} {i * i} word{i}" for i in range(3000)], size=900).save_pretrained(copy)
    with pytest.raises(RealmodelsError, match="do not belong together"):
        load(str(copy))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "no name given"),
        ("/no/such/folder", "no such file or folder"),
        ("./nowhere", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("model.gguf", "no such file or folder"),
        ("own er/na me", "no name that the hub could have"),
        ("owner/name", "HF_HUB_OFFLINE is set"),
    ],
)
def test_names_that_lead_nowhere_fail_at_once(name, part, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    start = time.perf_counter()
    for way in (load, load_tokens, describe):
        with pytest.raises(RealmodelsError, match=part):
            way(name)
    assert time.perf_counter() - start < 5


def test_a_hub_that_cannot_be_reached(monkeypatch):
    asked = []

    def nobody(address, timeout):
        asked.append((address, timeout))
        raise OSError

    for key in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example:443")
    monkeypatch.setattr(socket, "create_connection", nobody)
    with pytest.raises(RealmodelsError, match=r"hub\.example cannot be reached; give a local folder"):
        load("owner/name")
    assert asked == [(("hub.example", 443), fetching.SECONDS)]
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:1")
    assert fetching._online()  # behind a proxy only asking tells


def test_a_name_in_the_hubs_cache_is_here(tiny, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, config: str(tiny / config))
    found = places.find("owner/name")
    assert found.here()
    assert {path.name for path in found.files()} == {"config.json", "model.safetensors"}


def test_files_that_are_no_models(tmp_path):
    text = tmp_path / "model.txt"
    text.write_text("x")
    with pytest.raises(RealmodelsError, match=r"is a file; expected a folder with config\.json"):
        load(str(text))
    fake = tmp_path / "model.gguf"
    fake.write_text("x")
    with pytest.raises(RealmodelsError, match="is no GGUF file"):
        load(str(fake))
    fake.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(RealmodelsError, match=r"cannot be opened|run: pip install -U transformers"):
        load(str(fake))  # an older transformers is not asked at all
    folder = tmp_path / "only"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    shutil.copy(fake, folder / "model.gguf")
    with pytest.raises(RealmodelsError, match=r"holds no weights; give .*model\.gguf itself"):
        load(str(folder))


def test_a_card_is_read_off_the_configuration_alone(copy):
    (copy / "model.safetensors").unlink()
    found = describe(str(copy), dtype="bfloat16", device="cpu")
    assert (found.layers, found.hidden, found.context) == (2, 32, 512)
    vocabulary = found.vocabulary
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32
    assert found.parameters == 2 * vocabulary * 32 + 2 * layer + 32
    assert found.kv_bytes_per_token == 2 * 2 * 2 * 8 * 2
    assert found.weight_bytes == 2 * found.parameters
    assert found.linear == 2 * (layer - 2 * 32)  # neither norms nor embeddings and head
    assert in_bits(found, "none") == found
    whole = 2 * (found.parameters - found.linear)
    assert in_bits(found, "8bit").weight_bytes == whole + found.linear
    assert whole + 0.5 * found.linear < in_bits(found, "4bit").weight_bytes < whole + 0.52 * found.linear


def test_tokens_to_be_read_are_counted_as_they_will_be(tiny, monkeypatch):
    """The count is what the model is in fact given, padding aside."""
    from realmodels import prefix

    loaded, shots, read = load(str(tiny)), [Shot(QUESTIONS[0], "Paris")], []
    body = prefix.body

    def counting(model):
        def forward(**given):
            read.append(given["input_ids"].numel())
            return body(model)(**given)

        return forward

    monkeypatch.setattr(prefix, "body", counting)
    for cached in (True, False):
        read.clear()
        estimate(loaded, QA, shots, QUESTIONS, ANSWERS, batch=1, cached=cached)
        assert forward_tokens(loaded.tokens, QA, shots, QUESTIONS, ANSWERS, cached=cached) == sum(read)
    counts = [
        forward_tokens(loaded.tokens, QA, shots, QUESTIONS, ANSWERS, estimator=name)
        for name in ("exact", "hybrid", "sample")
    ]
    assert counts == sorted(counts)
    assert counts[2] > 3 * counts[0]
    assert forward_tokens(loaded.tokens, QA, shots, [], []) == 0


def test_speed_is_told_with_and_without_the_weights(tiny, copy):
    (copy / "model.safetensors").unlink()
    loaded, card = (
        calibrate(load(str(tiny), device="cpu"), 0.3),
        calibrate(describe(str(copy), device="cpu"), 0.6),
    )
    assert loaded > 100
    assert loaded / 8 < card < loaded * 8
