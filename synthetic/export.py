"""A folder that transformers, peft and everything built on them open as the Llama that it is, and the way back."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from synthetic.errors import SyntheticError
from synthetic.model import LlamaSpec, Weights
from synthetic.tuning import merge_adapter
from synthetic.vocabulary import BOS, EOS, PAD, UNKNOWN, Vocabulary

ORIGIN = "nameblind.json"


def check_free(folder: str | Path, overwrite: bool) -> None:
    """Refuse a place that holds something, before any work is done for it."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SyntheticError(f"{folder}: is a file; give a folder")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise SyntheticError(
            f"{folder}: holds something already; give another folder, or overwrite it (--overwrite)"
        )


def save_model(
    folder: str | Path,
    weights: Weights,
    spec: LlamaSpec,
    vocabulary: Vocabulary,
    origin: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    beside: Mapping[str, str] | None = None,
) -> Path:
    """Write config, tokenizer and weights, all or nothing; an adapter is merged. `origin` says where it came from,
    `beside` are more files: their texts by name."""
    folder = Path(folder)
    if not spec.hidden:
        raise SyntheticError(
            "a network without an MLP (hidden=0) is no Llama that transformers knows; it stays here"
        )
    if len(vocabulary) != spec.vocabulary:
        raise SyntheticError(f"the vocabulary has {len(vocabulary)} words, the network {spec.vocabulary}")
    check_free(folder, overwrite)
    merged = {name: tensor.detach().contiguous() for name, tensor in merge_adapter(weights).items()}
    if (missing := spec.shapes().keys() ^ merged.keys()) or any(
        tuple(merged[name].shape) != shape for name, shape in spec.shapes().items()
    ):
        raise SyntheticError(f"the weights are not those of the spec{': ' + min(missing) if missing else ''}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _named(folder):
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with _named(folder):
            _write(fresh, merged, spec, vocabulary, origin or {})
            for name, text in (beside or {}).items():
                (fresh / name).write_text(text, encoding="utf-8")
        for path in (fresh, *fresh.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():
            aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
            os.replace(folder, aside)
            os.replace(fresh, folder)
            shutil.rmtree(aside)
        else:
            os.replace(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """A person knows the files by their last place."""
    try:
        yield
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(folder)) from problem


def load_model(folder: str | Path) -> tuple[Weights, LlamaSpec, Vocabulary, dict[str, Any]]:
    """Weights, spec, vocabulary and origin of a folder that `save_model` wrote, or of a tied Llama with such words."""
    folder = Path(folder)
    spec = _spec(folder / "config.json")
    words = _words(folder / "tokenizer.json")
    if len(words) != spec.vocabulary:
        raise SyntheticError(
            f"{folder}: the tokenizer has {len(words)} words, the network {spec.vocabulary}: different models"
        )
    weights = _weights(folder / "model.safetensors", spec)
    origin = folder / ORIGIN
    return weights, spec, words, _read(origin) if origin.exists() else {}


def _spec(path: Path) -> LlamaSpec:
    config = _read(path)
    for key, wanted in (("model_type", "llama"), ("tie_word_embeddings", True), ("hidden_act", "silu")):
        if config.get(key) != wanted:
            raise SyntheticError(f"{path}: {key} is {config.get(key)!r}, expected {wanted!r}")
    try:
        rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
        return LlamaSpec(
            vocabulary=config["vocab_size"],
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            hidden=config["intermediate_size"],
            context=config["max_position_embeddings"],
            theta=rope["rope_theta"],
            epsilon=config["rms_norm_eps"],
        )
    except KeyError as lacking:
        raise SyntheticError(
            f"{path}: has no {lacking.args[0]}; it was edited or is another model's"
        ) from None
    except (SyntheticError, TypeError, OverflowError) as problem:
        raise SyntheticError(f"{path}: {problem}") from None


def _words(path: Path) -> Vocabulary:
    model = _read(path).get("model")
    if not isinstance(model, dict) or model.get("type") != "WordLevel":
        raise SyntheticError(f"{path}: expected one token a word (WordLevel)")
    found = model.get("vocab")
    words: dict[str, Any] = found if isinstance(found, dict) else {}
    numbers = list(words.values())
    if not all(type(number) is int for number in numbers) or set(numbers) != set(range(len(numbers))):
        raise SyntheticError(f"{path}: vocab: expected words with the numbers from 0 on, each once")
    try:
        return Vocabulary(tuple(sorted(words, key=words.__getitem__)))
    except SyntheticError as problem:
        raise SyntheticError(f"{path}: {problem}") from None


def _weights(path: Path, spec: LlamaSpec) -> Weights:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise SyntheticError(f"{path}: is missing; give a folder of a saved model")
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as problem:
        raise SyntheticError(f"{path}: cannot be read ({problem}); is it complete?") from None
    shapes = spec.shapes() if spec.layers <= len(weights) else {}  # a false number of layers may be huge
    if odd := weights.keys() ^ shapes.keys():
        raise SyntheticError(
            f"{path}: {min(odd)} is missing or one too many for a tied Llama as in config.json"
        )
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise SyntheticError(
                f"{path}: {name} is {list(weights[name].shape)}, config.json wants {list(shape)}; "
                "the two are of different models"
            )
    return {name: weights[name] for name in shapes}


def _write(
    folder: Path, weights: Weights, spec: LlamaSpec, vocabulary: Vocabulary, origin: Mapping[str, Any]
) -> None:
    try:
        from safetensors.torch import save
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
    except ModuleNotFoundError as missing:
        raise SyntheticError(
            f'{missing.name} is not installed; run: pip install "nameblind[realmodels]"'
        ) from None
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    words = Tokenizer(models.WordLevel(vocabulary.ids, unk_token=UNKNOWN))
    # words parted by spaces; punctuation may lean on a word if no word of ours mixes the two
    apart = all(re.fullmatch(r"\w+|[^\w\s]+", word) for word in vocabulary.words[4:])
    words.pre_tokenizer = pre_tokenizers.Whitespace() if apart else pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens([PAD, BOS, EOS, UNKNOWN])
    words.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary.bos)]
    )
    (folder / "tokenizer.json").write_text(words.to_str(pretty=True), encoding="utf-8")
    tokens = {"bos_token_id": vocabulary.bos, "eos_token_id": vocabulary.eos, "pad_token_id": vocabulary.pad}
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": spec.vocabulary,
            "hidden_size": spec.width,
            "intermediate_size": spec.hidden,
            "num_hidden_layers": spec.layers,
            "num_attention_heads": spec.heads,
            "num_key_value_heads": spec.kv_heads,
            "head_dim": spec.head_width,
            "max_position_embeddings": spec.context,
            "rms_norm_eps": spec.epsilon,
            "rope_theta": spec.theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": spec.theta},
            "initializer_range": spec.weight_std,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "dtype": str(weights[next(iter(weights))].dtype).removeprefix("torch."),
            **tokens,
        },
        "generation_config.json": {"do_sample": False, **tokens},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": spec.context,
            "padding_side": "left",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
            "unk_token": UNKNOWN,
        },
        ORIGIN: {"torch": torch.__version__, **origin},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise SyntheticError(
            f"{path}: cannot be read ({problem.strerror}); give a folder of a saved model"
        ) from None
    except (ValueError, RecursionError) as problem:
        raise SyntheticError(f"{path}: is not JSON ({problem})") from None
    if not isinstance(content, dict):
        raise SyntheticError(f"{path}: expected a JSON object")
    return content
