"""What several test files of this room write, make and run."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from realmodels.cli import COMMANDS
from theory.command import main

GOOD = [
    {"id": f"r{n}", "question": f"What is the capital of {name}?", "answers": [answer], "subject": name}
    for n, (name, answer) in enumerate(
        [("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Cuba", "Havana")]
    )
]


def train_words(model, rows, out, *more, **recipe):
    """What is typed behind `python -m realmodels` to train on a CPU."""
    said = ["train", "--model", model, "--data", rows, "--output-dir", out, "--device", "cpu", *more, "--set"]
    return [*map(str, said), *(f"{key}={value}" for key, value in recipe.items())]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def raw(text):
    """A first good row, then this text as the second line."""
    return lines(GOOD[0]) + text.encode() + b"\n"


def run(capsys, *words):
    """The exit code and what stderr got; usage errors of the parser leave by SystemExit."""
    capsys.readouterr()
    try:
        code = main("python -m realmodels", "test", COMMANDS, [str(word) for word in words])
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().err


def with_room(model, folder):
    """A copy of the model with a context as long as real models have."""
    shutil.copytree(model, folder)
    for name, field in (
        ("config.json", "max_position_embeddings"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, field: 8192}))
    return folder


def tune(model, folder, *, seed, rank, named):
    """A LoRA adapter that changes answers, in the folder; train.json says that its seed was `named`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(model)
        config = LoraConfig(
            r=rank, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        )
        get_peft_model(base, config).save_pretrained(folder)
    about = {"arm": "known", "recipe": {"seed": named}, "kept_step": 30}
    (folder / "train.json").write_text(json.dumps(about))
    return folder


def write_gguf(path):
    """A random Llama of one layer and its tokenizer, as one file."""
    gguf = pytest.importorskip("gguf")
    rng, width, hidden, words = np.random.default_rng(0), 32, 64, 260
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(words)
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["<pad>", "<s>", "</s>", *alphabet, "ab"])
    writer.add_token_types([3, 3, 3, *[1] * len(alphabet), 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {
        "token_embd.weight": (words, width),
        "output_norm.weight": (width,),
        "output.weight": (words, width),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ffn_norm.weight": (width,),
        **{f"blk.0.attn_{part}.weight": (width, width) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (hidden, width),
        "blk.0.ffn_up.weight": (hidden, width),
        "blk.0.ffn_down.weight": (width, hidden),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
