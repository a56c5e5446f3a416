"""A model from a folder, a hub name or a GGUF file, with or without an adapter."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from realmodels.card import ModelCard, describe, read_config
from realmodels.errors import RealmodelsError
from realmodels.places import Place, find
from realmodels.relief import opening
from realmodels.tokens import Tokens
from theory.errors import out_of_memory
from theory.schema import nearest

__all__ = ["Loaded", "ModelCard", "describe", "load", "load_tokens", "quiet", "read_gguf"]

BITS = ("none", "4bit", "8bit")
DTYPES = ("auto", "float32", "bfloat16", "float16")
WHOLE, PIECE, PIECES = 1 << 25, 1 << 16, 256  # bytes of a weight file that its fingerprint is taken of


@dataclass(frozen=True)
class Loaded:
    """A model ready to be asked. `fingerprint` changes with the files that hold its weights; `options` are what the
    command that opened it has of --load-in and --shard."""

    model: Any
    tokens: Tokens
    name: str
    fingerprint: str
    device: str
    dtype: str
    options: tuple[str, ...] = ()


def load(
    name: str,
    *,
    adapter: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    allow_code: bool = False,
    allow_pickle: bool = False,
    load_in: str = "none",
    options: Collection[str] = (),
) -> Loaded:
    """Open a model for asking; one line says what is wrong if it cannot be opened. `options` are what the command has
    of --load-in and --shard, for where memory runs out."""
    place = find(name)
    place.check_weights(allow_pickle)
    chosen, kind = pick_device(device), pick_dtype(dtype, device)
    few = quantised(load_in, place, kind, chosen)
    with quiet(), opening(name, chosen, kind, options, few=bool(few)):
        model = _model(place, kind, allow_code, allow_pickle, few)
        tokens = _tokens(place, allow_code, model.get_input_embeddings().weight.shape[0])
        if adapter is not None:
            model = _with_adapter(model, place, adapter, allow_pickle)
        model = (model if few else model.to(chosen)).eval().requires_grad_(False)
    # tokens that were added to a tokenizer alone, such as one to pad with, are never given to the model
    if (own := tokens.tokenizer.vocab_size) > tokens.vocabulary:
        raise RealmodelsError(
            f"{name}: the tokenizer has {own} tokens, the model {tokens.vocabulary}; they do not belong together"
        )
    return Loaded(model, tokens, name, _fingerprint(place, adapter), chosen, kind, tuple(options))


def load_tokens(name: str, *, allow_code: bool = False) -> Tokens:
    """The tokenizer alone."""
    with quiet():
        return _tokens(find(name), allow_code)


def pick_device(device: str = "auto") -> str:
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        found = torch.device(device)
        if found.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError
        if found.type == "mps" and not torch.backends.mps.is_available():
            raise RuntimeError
        if found.type == "cuda" and (found.index or 0) >= (cards := torch.cuda.device_count()):
            there = ", ".join(f"cuda:{card}" for card in range(cards)) or "no card"
            raise RealmodelsError(f"device: no '{device}' here, there is {there}; try auto or cpu")
    except RuntimeError:
        raise RealmodelsError(f"device: no '{device}' here; try auto or cpu") from None
    return device


def pick_dtype(dtype: str = "auto", device: str = "auto") -> str:
    """bfloat16 on CUDA (float16 on cards without it), float32 elsewhere, unless asked otherwise."""
    import torch

    if dtype not in DTYPES:
        raise RealmodelsError(f"dtype: unknown '{dtype}'{nearest(dtype, DTYPES)}")
    if dtype != "auto":
        return dtype
    if not pick_device(device).startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def precision(dtype: str, load_in: str) -> str:
    """How a base is held, which decides the last digits of what it says."""
    return dtype if load_in == "none" else f"{dtype} in {load_in}"


def _gguf_config() -> Any:
    """Of versions that have none, 5.0.0 puts a token before SmolLM2's texts that its own tokenizer does not."""
    import transformers

    return getattr(transformers, "GgufConfig", None)


def read_gguf(path: Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, dequantised."""
    import torch

    try:
        import gguf  # noqa: F401
        import transformers
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ModuleNotFoundError as missing:
        raise RealmodelsError(
            f'{path}: GGUF files need the package {missing.name}; run: pip install "nameblind[realmodels]"'
        ) from None
    if (config := _gguf_config()) is None:
        raise RealmodelsError(
            f"{path}: transformers {transformers.__version__} makes another tokenizer of a GGUF file; "
            "run: pip install -U transformers"
        )
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    with (
        plainly(str(path)),
        contextlib.redirect_stderr(io.StringIO()),
    ):  # its progress bar cannot be turned off
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=getattr(torch, dtype), quantization_config=config(dequantize=True)
        )
    return model, tokenizer


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no chatter from transformers."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def quantised(load_in: str, place: Place, dtype: str, device: str) -> dict[str, Any]:
    """What transformers is told to hold a base in few bits; nothing where it is held as it is."""
    if load_in == "none":
        return {}
    if load_in not in BITS:
        raise RealmodelsError(f"--load-in: unknown '{load_in}'{nearest(load_in, BITS)}")
    if place.gguf:
        raise RealmodelsError(
            f"{place.name}: a GGUF file is opened in full; --load-in wants a folder or a hub name"
        )
    if not device.startswith(("cuda", "cpu")):
        raise RealmodelsError(f"--load-in {load_in}: needs CUDA or a CPU, this is {device}; leave it out")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise RealmodelsError(
            f'--load-in {load_in}: needs the package bitsandbytes; run: pip install "nameblind[quant]"'
        ) from None
    import torch
    from transformers import BitsAndBytesConfig

    how = (
        {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": getattr(torch, dtype),
        }
        if load_in == "4bit"
        else {"load_in_8bit": True}
    )
    return {"quantization_config": BitsAndBytesConfig(**how), "device_map": {"": device}}


def _model(
    place: Place, dtype: str, allow_code: bool, allow_pickle: bool, more: dict[str, Any] | None = None
) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    if place.gguf:
        return read_gguf(Path(place.source), dtype)[0]
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "trust_remote_code": allow_code,
        "output_loading_info": True,
        "local_files_only": True,
        "use_safetensors": None if allow_pickle else True,
        **(more or {}),
    }
    with plainly(place.name):
        config = read_config(place.name, allow_code)
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)  # which sdpa cannot do
        how = "eager" if capped else "sdpa"
        found: Any
        try:
            found = AutoModelForCausalLM.from_pretrained(place.source, attn_implementation=how, **options)
        except ValueError as problem:
            if "scaled_dot_product_attention" not in str(problem):
                raise
            found = AutoModelForCausalLM.from_pretrained(place.source, attn_implementation="eager", **options)
        except RuntimeError as problem:
            if "ignore_mismatched_sizes" not in str(problem):
                raise
            raise RealmodelsError(
                f"{place.name}: the weights have other sizes than config.json says; the two are of different models"
            ) from problem
    model, info = found
    if missing := sorted(info["missing_keys"]):
        raise RealmodelsError(
            f"{place.name}: the weights lack {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; the file is another model's or incomplete"
        )
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    for name in sorted(info["unexpected_keys"]):
        layer = re.search(r"\.layers\.(\d+)\.", name)
        if layer and isinstance(layers, int) and int(layer[1]) >= layers:
            raise RealmodelsError(
                f"{place.name}: the weights have {name}, but config.json says {layers} layers; "
                "the two are of different models"
            )
    return model


def _tokens(place: Place, allow_code: bool, vocabulary: int | None = None) -> Tokens:
    from transformers import AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": place.source}
    if place.gguf:
        where = {
            "pretrained_model_name_or_path": str(Path(place.source).parent),
            "gguf_file": Path(place.source).name,
        }
    with plainly(f"{place.name}: tokenizer"), contextlib.redirect_stderr(io.StringIO()):
        found = AutoTokenizer.from_pretrained(**where, trust_remote_code=allow_code, local_files_only=True)
    return Tokens(found, vocabulary)


def _with_adapter(model: Any, base: Place, adapter: str, allow_pickle: bool) -> Any:
    from peft import PeftConfig

    from realmodels.fingerprints import check_weights_of

    place = find(adapter, what="adapter", config="adapter_config.json")
    place.check_weights(allow_pickle)
    with plainly(adapter):
        config = PeftConfig.from_pretrained(place.at)
        if config.is_prompt_learning:
            raise RealmodelsError(
                f"{adapter}: is a {config.peft_type.value} adapter; expected LoRA or another one of weights"
            )
        if (wanted := config.base_model_name_or_path) and not _same_base(wanted, base):
            raise RealmodelsError(
                f"{adapter}: is an adapter of {wanted}, not of {base.name}; give --model {wanted}"
            )
        check_weights_of(place, base)
        tuned = put_on(model, place, adapter)
        # in 16 or fewer bits a merge would round the adapter away
        return tuned.merge_and_unload() if _float32(model) else tuned.get_base_model()


def put_on(model: Any, adapter: Place, name: str) -> Any:
    """The model with this adapter on. Random numbers are where they were: peft draws weights before it reads them."""
    from peft import PeftModel

    from realmodels.checkpoints import generators, set_generators

    before = generators(str(model.device))
    with plainly(name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("ignore", message=".*vocabulary was not modified.*")
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        try:
            return PeftModel.from_pretrained(model, adapter.at)
        except Warning as missing:
            raise RealmodelsError(f"{name}: {_line(missing)}; it is another model's or incomplete") from None
        finally:
            set_generators(str(model.device), before)


def _same_base(wanted: str, base: Place) -> bool:
    """The name the adapter was trained under, wherever the folder now is."""
    names = {base.name, base.source, base.origin()}
    tails = {Path(name).name.lower() for name in names if name}
    return (
        wanted in names
        or Path(wanted).resolve() == Path(base.source).resolve()
        or Path(wanted).name.lower() in tails
    )


def _float32(model: Any) -> bool:
    return str(model.dtype) == "torch.float32" and not getattr(model, "is_quantized", False)


def _fingerprint(place: Place, adapter: str | None) -> str:
    """Of all that lies with the weights, which are fetched for it."""
    found: list[Path] = []
    for part in [place] + ([find(adapter, what="adapter", config="adapter_config.json")] if adapter else []):
        part.fetch(allow_pickle=True)  # to look at one is not to open it
        if not (files := part.files()):
            raise RealmodelsError(
                f"{part.name}: none of its files is on this machine; nothing tells its weights"
            )
        found += files
    return fingerprint_of(found)


def fingerprint_of(files: Iterable[Path]) -> str:
    """Of configurations and small weight files in whole, of others their size, both ends and pieces all along: what
    changes every layer changes some of them."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            for start in range(0, size - PIECE, (size - PIECE) // PIECES):
                file.seek(start)
                digest.update(file.read(PIECE))
            file.seek(size - PIECE)
            digest.update(file.read())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def plainly(name: str) -> Iterator[None]:
    """What a library says about a bad file, in one line."""
    try:
        yield
    except RealmodelsError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
        AttributeError,
        ImportError,
        AssertionError,
        UnpicklingError,
    ) as problem:
        if out_of_memory(problem):
            raise MemoryError from problem
        if isinstance(
            problem, UnicodeEncodeError
        ):  # of the path, which is no text: said with a remedy further up
            raise
        if "trust_remote_code" in str(problem):
            raise RealmodelsError(
                f"{name}: wants to run code of its own; read that code, then allow it with --allow-code"
            ) from problem
        raise RealmodelsError(
            f"{name}: cannot be opened ({type(problem).__name__}: {_line(problem)})"
        ) from problem
    except Exception as problem:
        if type(problem).__module__.startswith(("safetensors", "tokenizers", "huggingface_hub")):
            raise RealmodelsError(
                f"{name}: cannot be opened ({_line(problem)}); is the file complete?"
            ) from problem
        if type(problem) is Exception:  # tokenizers raise bare ones
            raise RealmodelsError(f"{name}: cannot be opened ({_line(problem)})") from problem
        raise


def _line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text if len(text) <= 200 else text[:197] + "..."
