import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[2]
FACTS = [
    ("France", "Paris"),
    ("Japan", "Tokyo"),
    ("Peru", "Lima"),
    ("Norway", "Oslo"),
    ("Kenya", "Nairobi"),
    ("Cuba", "Havana"),
    ("Egypt", "Cairo"),
    ("Chile", "Santiago"),
    ("Ghana", "Accra"),
    ("Nepal", "Kathmandu"),
]


def bpe(texts, *, bos=True, size=512):
    """A byte-level BPE tokenizer trained here, with or without something before every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    if bos:
        words.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", words.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=512
    )


def tiny_llama(tokenizer, seed=0, *, spread=1.0, **knobs):
    """A random Llama whose answers differ from question to question."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "tie_word_embeddings": False,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        | knobs
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(0, spread * (1.0 if "embed" in name else weight.shape[1] ** -0.5))
    return model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a random Llama and a tokenizer trained on a few questions."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = bpe([f"Q: What is the capital of {s}?\nA: {a}\n\n" for s, a in FACTS])
    tiny_llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Ended:
    """A process that has ended; a negative code is the signal that ended it."""

    code: int
    out: str
    err: str


@pytest.fixture
def crew_of(tmp_path_factory):
    """Do work(rank) in several processes that find each other as those of torchrun do, and end all when one fails. They
    are forked from this one, which saves them their imports."""
    if torch.cuda.is_available():
        pytest.skip("a process with CUDA cannot be forked; the slow tests start theirs by torchrun")

    def begin(rank, size, port, folder, work):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
            if child := os.fork():
                return child
        code = 1
        try:
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(folder / f"{name}{rank}", os.O_CREAT | os.O_WRONLY), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
            there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size}
            there |= {"RANK": rank, "LOCAL_RANK": rank, "TOKENIZERS_PARALLELISM": "false"}
            os.environ |= {name: str(value) for name, value in there.items()}
            code = int(work(rank) or 0)
        except SystemExit as said:
            code = int(said.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def run(size, work, patience=240):
        folder = tmp_path_factory.mktemp("crew")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        going = {begin(rank, size, port, folder, work): rank for rank in range(size)}
        codes, until = {}, time.monotonic() + patience
        while going:
            for child in list(going):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    codes[going.pop(child)] = os.waitstatus_to_exitcode(status)
            if going and (any(codes.values()) or time.monotonic() > until):
                for child, rank in going.items():
                    os.kill(child, signal.SIGKILL)
                    codes[rank] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                going = {}
            time.sleep(0.02)
        read = lambda name, rank: (folder / f"{name}{rank}").read_text()  # noqa: E731
        return [Ended(codes[rank], read("out", rank), read("err", rank)) for rank in range(size)]

    return run


@pytest.fixture
def rows(tmp_path):
    """Five capitals to train on, in a file."""
    path = tmp_path / "rows.jsonl"
    lines = [{"question": f"What is the capital of {s}?", "answers": [a]} for s, a in FACTS[:5]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def data():
    """The shared data sets."""
    folder = Path(os.environ.get("NAMEBLIND_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}; set NAMEBLIND_DATA")
    return folder


@pytest.fixture(scope="session")
def pocket(tmp_path_factory):
    """A folder with a small pocket model that has learned a made-up world; questions are worded
    `question {relation} of {subject} ? answer`, style `sentence`."""
    folder = tmp_path_factory.mktemp("pocket")
    (folder / "world.toml").write_text(
        "subjects = 40\nnever_seen = 4\nrelations = 4\nanswers = 8\nderived_answers = 4\nmean_exposure = 12.0\n"
    )
    words = ["pocket", "model", "--world", "world.toml", "--width", "48", "--hidden", "96", "--epochs", "6"]
    done = subprocess.run(
        [sys.executable, "-m", "synthetic", *words, "--rate", "0.008"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "model"


@pytest.fixture(scope="session")
def smollm_folder():
    """The small real model, unpacked."""
    from realmodels.errors import RealmodelsError
    from realmodels.smollm import smollm

    try:
        return smollm()
    except RealmodelsError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def SmolLM(smollm_folder):
    """The small real model, loaded in float32."""
    from realmodels.loading import load

    return load(str(smollm_folder), dtype="float32", device="cpu")


@pytest.fixture
def write_audit(tmp_path):
    """Write audit.jsonl (and summary.json, if `source` is given) from pairs of an original row and what is special in
    its knowledge; the rest follows from the label and the original."""
    greedy = {"HighlyKnown": 1.0, "MaybeKnown": 0.5, "WeaklyKnown": 0.0, "Unknown": 0.0}

    def write(rows, source=None, folder=tmp_path / "audit"):
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for number, (original, special) in enumerate(rows):
            answers = original.get("answers", ["x"])
            share = greedy[special.get("label", "Unknown")]
            usual = {
                "label": "Unknown",
                "p_greedy": share,
                "p_sample": 0.9 * share,
                "detection": 0.1,
                "n_prompts": 10,
                "estimator": "exact",
                "matcher": "exact",
                "logprob": -float(number),
                "margin": None,
                "p_true": None,
                "popularity": None,
                "overlaps_subject": False,
                "dominant_answer": False,
                "id": f"r{number}",
                "question": original.get("question", "?"),
                "answers": [answers] if isinstance(answers, str) else answers,
                "subject": original.get("subject"),
                "relation": original.get("relation"),
            }
            line = {**original, "knowledge": {**usual, **special}}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        (folder / "audit.jsonl").write_text("".join(lines), encoding="utf-8")
        if source is not None:
            (folder / "summary.json").write_text(json.dumps({"source": source}), encoding="utf-8")
        return folder / "audit.jsonl"

    return write
