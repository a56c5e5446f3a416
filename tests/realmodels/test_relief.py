"""Memory that runs out, on cards that are not here: what is said, and what free memory is taken to be."""

import re
from types import SimpleNamespace

import pytest
import torch
import transformers

from realmodels import batching, loading, parallel, relief, study_arms, train_loop, train_watch
from realmodels.attend_cli import Attend
from realmodels.cli import COMMANDS, Audit
from realmodels.errors import RealmodelsError
from realmodels.eval_cli import Eval
from realmodels.loading import load, pick_device
from realmodels.parallel import Crew, check_own
from realmodels.prompting import style_named
from realmodels.recipe import Recipe
from realmodels.study_cli import Study
from realmodels.study_settings import Settings
from realmodels.study_table import Order
from realmodels.train_cli import Train
from realmodels.train_rows import TrainSet, read_train
from realmodels.train_run import OPTIONS
from theory.command import main
from theory.errors import out_of_memory

FULL = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 172.00 MiB. GPU 0 has a total capacity of 23 GiB"
)


def boom(*args, **kwargs):
    raise FULL


@pytest.fixture
def card(monkeypatch):
    """A card that holds no model."""
    monkeypatch.setattr(loading, "pick_device", lambda device="auto": "cuda:0")
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", boom)


def run(capsys, *words):
    code = main("m", "", COMMANDS, [str(word) for word in words])
    return code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "words", "extra"),
    [
        (Train, ["train", "--data"], "--load-in 4bit or --shard with torchrun or "),
        (Eval, ["eval", "--prompts", "zero", "--tasks"], "--load-in 4bit or "),
        (Audit, ["audit", "--data"], "--load-in 4bit or "),
        (Attend, ["attend", "--data"], "--load-in 4bit or "),
    ],
)
def test_a_base_too_large_for_the_card(
    command, words, extra, card, tiny, rows, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(relief, "_cards", lambda: 2)
    if command is Attend:
        rows.write_text(
            rows.read_text().replace('"answers"', '"subject": "France", "relation": "r", "answers"')
        )
    code, said = run(capsys, *words, rows, "--model", tiny, "-o", tmp_path / "out", "--dtype", "float32")
    assert code == 2
    assert f"{tiny}: out of memory while it is opened in float32 on cuda:0; " in said
    assert said.endswith(f"try --dtype bfloat16 or {extra}a smaller model")
    for option in re.findall(r"--([a-z-]+)", said.rpartition("; try ")[2]):
        assert option.replace("-", "_") in command.__dataclass_fields__


def test_a_study_is_told_of_no_option_that_it_lacks(card, tiny, tmp_path):
    assert not {"load_in", "shard"} & set(Study.__dataclass_fields__)
    order = Order(str(tiny), (), tmp_path, Settings(), Recipe(), dtype="bfloat16")
    with pytest.raises(RealmodelsError, match=r"in bfloat16 on cuda:0; try a smaller model$"):
        study_arms._load(order)


def test_ways_to_hold_a_base_in_less(monkeypatch):
    monkeypatch.setattr(relief, "_cards", lambda: 1)
    assert relief.lighter("cuda:0", "bfloat16", OPTIONS) == ["--load-in 4bit"]
    assert relief.lighter("cuda:0", "bfloat16", OPTIONS, few=True) == []
    assert relief.lighter("cuda:0", "bfloat16", OPTIONS, shared=True) == ["more processes"]
    assert relief.lighter("mps", "float32", OPTIONS) == ["--dtype bfloat16"]
    monkeypatch.setattr(parallel, "current", lambda: Crew(0, 2))
    assert relief.lighter("cuda:0", "bfloat16", OPTIONS) == ["--load-in 4bit", "--shard"]
    with pytest.raises(KeyError), relief.opening("m", "cpu", "float32"):
        raise KeyError
    with pytest.raises(RuntimeError, match="assert"), relief.opening("m", "cpu", "float32"):
        raise RuntimeError("device-side assert")


@pytest.mark.parametrize(
    ("options", "ways"),
    [
        (OPTIONS, "--set micro=16 or --load-in 4bit"),
        ((), "--set micro=16"),
    ],
)
def test_a_step_too_large_for_the_card(options, ways, monkeypatch):
    monkeypatch.setattr(relief, "_cards", lambda: 1)
    monkeypatch.setattr(train_loop, "take_step", boom)
    loaded = SimpleNamespace(model=torch.nn.Linear(1, 1), device="cuda:0", dtype="bfloat16")
    optimizer = SimpleNamespace(zero_grad=lambda set_to_none: None)
    rows, recipe = [(1, 2)] * 32, Recipe(batch=32, checkpointing=True)
    with pytest.raises(RealmodelsError) as caught:
        train_loop._guarded(loaded, optimizer, rows, recipe, 1e-4, 0, "rows", 0, options)
    assert str(caught.value).endswith(f"with 32 rows of up to 2 tokens; try {ways}")


def test_what_a_studys_training_is_told(monkeypatch, tiny, rows, tmp_path):
    said = []
    monkeypatch.setattr(train_loop, "_guarded", lambda *words: said.append(words[-1]) or boom())
    loaded = load(str(tiny), dtype="float32", device="cpu")
    data = read_train(rows, loaded.tokens, style_named("qa"), longest=100)
    watch = SimpleNamespace(go_on=lambda *_: None, enough=False)
    with pytest.raises(torch.OutOfMemoryError):
        train_loop.train_adapter(loaded, data, Recipe(steps=1), tmp_path, "k", watch)
    assert said == [()]


def test_cublas_has_words_of_its_own():
    said = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    assert out_of_memory(RuntimeError(said))
    assert not out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"))


def test_a_look_at_rows_that_are_no_questions_is_halved(tiny, rows, monkeypatch):
    loaded = load(str(tiny), dtype="float32", device="cpu")
    data = read_train(rows, loaded.tokens, style_named("qa"), longest=100)
    held = TrainSet(data.name, "completion", data.items, data.fingerprint)
    real, sizes = train_watch.answer_loss, []

    def answer_loss(model, lines):
        found = real(model, lines)
        sizes.append(len(found[1]))
        if len(found[1]) > 2:
            boom()
        return found[0], torch.ones_like(found[1])

    monkeypatch.setattr(train_watch, "answer_loss", answer_loss)
    assert train_watch.exact_match(loaded, held, Recipe()) == 1.0
    assert sizes == [5, 3, 2, 1, 2]


@pytest.mark.parametrize("free", [60, 4, 0.1])
def test_what_torch_keeps_for_later_is_free(free, monkeypatch):
    """A card of 80 GiB of which torch has the rest, 60 GiB in use."""
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda card: (int(free * gib), 80 * gib))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda card: 70 * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda card: 60 * gib)
    assert batching.free_bytes("cuda:0") == int(free * gib) + 10 * gib


def test_a_card_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(name) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]
    with pytest.raises(RealmodelsError, match="no 'cuda:9' here, there is cuda:0, cuda:1; try auto or cpu"):
        pick_device("cuda:9")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RealmodelsError, match="no 'mps' here"):
        pick_device("mps")


def test_several_processes_do_not_share_a_device(monkeypatch):
    for size, here, devices in (
        (1, None, ("cuda:0", "mps")),
        (2, "1", ("cuda:0",)),
        (2, "2", ("cuda", "auto", "cpu")),
    ):
        monkeypatch.setattr(parallel, "current", lambda size=size: Crew(0, size))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here or "1")
        for device in devices:
            check_own(device)
    with pytest.raises(
        RealmodelsError, match="--device cuda:0: 2 processes of this machine would share it; leave it"
    ):
        check_own("cuda:0")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    with pytest.raises(RealmodelsError, match="--device cuda:1: 2 processes"):
        check_own("cuda:1")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("mps", "auto"):
        with pytest.raises(RealmodelsError, match=r"several processes cannot share mps; .* add --device cpu"):
            check_own(device)
