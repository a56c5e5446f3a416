"""What a process holds in memory while it trains an adapter: of a whole base, or of its part of a shared one.

    python tests/hardening/shard_memory.py [--processes 1 2 4] [--layers 12] [--width 768]

builds a Llama with random weights, and starts `realmodels train` on it in one process, and by torchrun with --shard in
several. Each process says what it held once the base was there and, at the most, in the steps (resident, less what it
held before the base came), and what it held at the most while the base was read. Linux; on a CPU."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
# what is freed goes back at once; else glibc keeps it, and what is held cannot be told from what was
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
FACTS = ("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi")


def resident(most: bool = False) -> float:
    """Mebibytes, now or at the most since they were last reset."""
    word = "VmHWM" if most else "VmRSS"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(word):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {word}")


def settle() -> None:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def build(folder: Path, layers: int, width: int) -> dict[str, float]:
    """A model's folder; the mebibytes of its layers and of all else, in float32."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    kinds = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        show_progress=False,
        special_tokens=kinds,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    words.train_from_iterator([f"Q: What is the capital of {s}?\nA: {a}\n" for s, a in FACTS], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    part = sum(weight.numel() for weight in model.model.layers.parameters()) * 4 / 2**20
    return {"layers": part, "rest": sum(w.numel() for w in model.parameters()) * 4 / 2**20 - part}


def process(folder: str, rows: str, out: str, shard: bool) -> None:
    """One of the processes: the command itself, watched where the base comes and where a step ends."""
    import torch

    from realmodels import train_loop, train_run
    from realmodels.__main__ import main
    from tests.realmodels.common import train_words

    for name in ("peft", "transformers.models.llama.modeling_llama"):  # an import is not the base's
        import_module(name)
    torch.set_num_threads(1)
    seen: dict[str, float] = {}
    load, step = train_run._base, train_loop.take_step

    def watched_load(*given: object) -> object:
        settle()
        before = resident()
        base = load(*given)
        seen["while read"] = resident(most=True) - before
        settle()
        seen.update(before=before, base=resident() - before)
        return base

    def watched_step(*given: object) -> object:
        if "steps" not in seen:
            settle()
        done = step(*given)
        seen["steps"] = resident(most=True) - seen["before"]
        return done

    train_run._base, train_loop.take_step = watched_load, watched_step
    recipe = {"rank": 4, "batch": 4, "epochs": 2, "checkpointing": "true"}
    sys.argv = ["realmodels", *train_words(folder, rows, out, *(["--shard"] if shard else []), **recipe)]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    Path(out, f"seen{os.environ.get('RANK', '0')}.json").write_text(json.dumps(seen))


def measured(folder: Path, rows: Path, out: Path, processes: int) -> list[dict[str, float]]:
    own = [str(Path(__file__).resolve()), "--process", str(folder), str(rows), str(out)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    start = [sys.executable, *(launcher if processes > 1 else []), *own]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **AT_ONCE}
    subprocess.run(start + (["--shard"] if processes > 1 else []), check=True, env=env, capture_output=True)
    return [json.loads((out / f"seen{rank}.json").read_text()) for rank in range(processes)]


def table(processes: list[int], layers: int, width: int) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        folder, rows = Path(scratch) / "model", Path(scratch) / "rows.jsonl"
        size = build(folder, layers, width)
        rows.write_text(
            "".join(
                json.dumps({"question": f"What is the capital of {s}?", "answers": [a]}) + "\n"
                for s, a in FACTS
            )
        )
        lines = [
            f"float32 base: {layers} layers of {size['layers']:.0f} MiB in all, {size['rest']:.0f} MiB else"
        ]
        lines.append(f"{'processes':>9} {'process':>7} {'base MiB':>9} {'in steps':>9} {'while read':>10}")
        for count in processes:
            found = measured(folder, rows, Path(scratch) / f"out{count}", count)
            lines += [
                f"{count:>9} {rank:>7} {one['base']:>9.0f} {one['steps']:>9.0f} {one['while read']:>10.0f}"
                for rank, one in enumerate(found)
            ]
    return "\n".join(lines)


def cli() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--shard", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.process:
        process(*said.process, said.shard)
    else:
        print(table(said.processes, said.layers, said.width))


if __name__ == "__main__":
    cli()
