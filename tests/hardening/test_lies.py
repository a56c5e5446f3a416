"""Folders, files, names and cells that lie: pickles that would run code, names that would leave their folder, formulas
and markup in data, worlds and checkpoints edited by hand. Nothing runs, nothing is written elsewhere; it is said."""

import csv
import io
import json
import pickle
import shutil
import zipfile
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from figures.columns import read_columns, write_columns
from figures.errors import FiguresError
from figures.knowledge import knowledge, read_graph
from figures.provenance import sources
from figures.report import page
from figures.report_theorems import check
from figures.runs import read_runs, slug
from realmodels.audited import read_audit
from realmodels.card import describe
from realmodels.checkpoints import FILE, State, read_state, write_state
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.eval_tasks import read_tasks
from realmodels.loading import load
from realmodels.resident import _named
from realmodels.split_cli import parse_shares
from realmodels.study_prompts_near import _kept
from realmodels.tables import read_table, write_table
from realmodels.together import together
from realmodels.train_run import arms_of
from synthetic.cache import kept
from synthetic.errors import SyntheticError
from synthetic.export import load_model, save_model
from synthetic.model import LlamaSpec, initialise
from synthetic.summary import _csv
from synthetic.vocabulary import SPECIAL, Vocabulary
from tests.realmodels.conftest import FACTS, bpe, tiny, tiny_llama, write_audit  # noqa: F401
from theory import WorldSpec, make_world
from theory.claims import evaluate
from theory.command import main
from theory.errors import TheoryError
from theory.measurements.write import _write_table
from theory.records import Record, RecordWriter, read_records
from theory.runs import Run, open_run
from theory.spreadsheets import FORMULA, safe
from theory.world_file import load_world, save_world

from . import fuzz

FORMULAS = (
    "=1+1",
    "+1",
    "-cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "x\r=1",
    "  =HYPERLINK(1)",
    "\n@x",
)
NAMES = ("../up", "a/b", "/etc/x", "..", ".", ".hidden", "a\0b", "a\nb", "C:\\x", "a b")


class Poison:
    """Opening a pickle of this makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """A file that is there once a pickle was opened; the poison works."""
    other = tmp_path / "works"
    pickle.loads(pickle.dumps(Poison(other)))
    assert other.exists()
    return tmp_path / "ran"


@pytest.fixture
def copy(tiny, tmp_path):  # noqa: F811
    return shutil.copytree(tiny, tmp_path / "copy")


# ---------------------------------------------------------------- pickles


@pytest.mark.parametrize("decoy", [False, True])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_a_poisoned_model_does_not_run(copy, mark, name, decoy):
    weights = copy / "model.safetensors"
    if decoy:
        weights.rename(copy / "other.safetensors")
    else:
        weights.unlink()
    torch.save({"x": Poison(mark)}, copy / name)
    with pytest.raises(RealmodelsError, match="cannot be opened" if decoy else "is a pickle"):
        load(str(copy))
    assert not mark.exists()


def test_a_poisoned_model_does_not_run_when_pickles_are_allowed(copy, mark):
    (copy / "model.safetensors").unlink()
    torch.save({"x": Poison(mark)}, copy / "pytorch_model.bin")
    with pytest.raises(RealmodelsError, match="cannot be opened"):
        load(str(copy), allow_pickle=True)
    assert not mark.exists()


def adapter_files(folder, base):
    folder.mkdir()
    said = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(said | {"base_model_name_or_path": str(base)}))
    return folder


@pytest.mark.parametrize("decoy", ["", "state.safetensors", "model.safetensors"])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_poisoned_adapter_does_not_run(tiny, mark, tmp_path, decoy, allowed):  # noqa: F811
    folder = adapter_files(tmp_path / "adapter", tiny)
    torch.save({"x": Poison(mark)}, folder / "adapter_model.bin")
    if decoy:
        (folder / decoy).write_bytes((tiny / "model.safetensors").read_bytes())
    with pytest.raises(
        RealmodelsError, match="cannot be opened" if allowed else r"adapter_model\.bin: is a pickle"
    ):
        load(str(tiny), adapter=str(folder), allow_pickle=allowed)
    assert not mark.exists()


def test_poisoned_training_arguments_beside_good_weights_are_left_alone(copy, mark):
    torch.save(Poison(mark), copy / "training_args.bin")
    assert load(str(copy)).name == str(copy)
    assert not mark.exists()


def test_a_poisoned_checkpoint_does_not_run(tmp_path, mark):
    torch.save({"weights": Poison(mark)}, tmp_path / FILE)
    with pytest.raises(RealmodelsError, match="cannot be read"):
        read_state(tmp_path, "key")
    assert not mark.exists()


def test_an_edited_checkpoint_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    moments = {"a": {name: torch.ones(1) for name in ("step", "exp_avg", "exp_avg_sq")}}
    write_state(
        tmp_path, "key", State(3, {"a": torch.ones(2)}, moments, {}, {"cpu": torch.ones(1)}, {"x": 1})
    )
    assert read_state(tmp_path, "key").step == 3
    tensors = load_file(tmp_path / FILE)
    for about in ({"step": "three"}, {"seen": "{"}, {"step": None}):
        said = {"key": "key", "step": "3", "seen": "{}"} | about
        save_file(tensors, tmp_path / FILE, {k: v for k, v in said.items() if v is not None})
        with pytest.raises(RealmodelsError, match="is incomplete"):
            read_state(tmp_path, "key")
    del tensors["exp_avg/a"]
    save_file(tensors, tmp_path / FILE, {"key": "key", "step": "3", "seen": "{}"})
    with pytest.raises(RealmodelsError, match="is incomplete"):
        read_state(tmp_path, "key")


def poisoned_npz(path, mark, **arrays):
    with open(path, "wb") as file:
        np.savez(file, x=np.array([Poison(mark)], object), **arrays)
    return path


def test_poisoned_arrays_do_not_run(tmp_path, mark):
    path = poisoned_npz(tmp_path / "w.npz", mark)
    with pytest.raises(TheoryError, match="allow_pickle=False"):
        load_world(path)

    import hashlib

    def make():
        return {"a": np.arange(3)}

    kept(tmp_path / "cache", "kind", {"k": 1}, "theory.slick", make)
    (cached,) = (tmp_path / "cache").glob("kind-*.npz")
    body = path.read_bytes()
    cached.write_bytes(hashlib.sha256(body).hexdigest().encode() + body)
    with pytest.raises(SyntheticError, match="cannot be read"):
        kept(tmp_path / "cache", "kind", {"k": 1}, "theory.slick", make)
    embedded = poisoned_npz(
        tmp_path / "e.npz", mark, key=np.array("k"), found=np.array([Poison(mark)], object)
    )
    assert _kept(embedded, "k") is None
    embedded.write_bytes(embedded.read_bytes()[:200])
    assert _kept(embedded, "k") is None
    assert not mark.exists()


# ---------------------------------------------------------------- folders of models, worlds


# What says so: the configuration itself, or only the weights beside it, which no description of a model opens.
CONFIG = (
    ("num_hidden_layers", 10**9, "expected 1 to 10,000"),
    ("num_hidden_layers", -1, "expected 1 to 10,000"),
    ("num_hidden_layers", "two", "num_hidden_layers"),
    ("hidden_size", 0, "expected 1 to 1,048,576"),
    ("hidden_size", 10**30, "expected 1 to 1,048,576"),
    ("vocab_size", -5, "expected 1 to 16,777,216"),
    ("vocab_size", 10**12, "expected 1 to 16,777,216"),
    ("num_attention_heads", 0, "expected 1 to 10,000"),
    ("num_key_value_heads", 0, "a divisor of the 4 heads, got 0"),
    ("num_key_value_heads", 3, "a divisor of the 4 heads, got 3"),
    ("hidden_act", "../../x", "cannot be opened"),
    ("model_type", 3, "cannot be opened"),
    ("max_position_embeddings", None, "max_position_embeddings"),
)
WEIGHTS = (
    ("num_hidden_layers", 3, r"the weights lack model\.layers\.2"),
    ("num_hidden_layers", 1, "config.json says 1 layers"),
    ("hidden_size", 64, "other sizes than config.json says"),
    ("vocab_size", 300, "other sizes than config.json says"),
    ("num_key_value_heads", 4, "other sizes than config.json says"),
)


def edited(folder, name, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    return str(folder)


@pytest.mark.parametrize("read", [describe, load])
@pytest.mark.parametrize(("name", "value", "said"), CONFIG)
def test_a_config_that_no_model_can_have_is_refused_by_whoever_reads_it(copy, read, name, value, said):
    with pytest.raises(RealmodelsError, match=said) as error:
        read(edited(copy, name, value))
    assert "copy" in one_line(error)


@pytest.mark.parametrize(("name", "value", "said"), WEIGHTS)
def test_a_config_of_another_model_is_refused_with_its_weights(copy, name, value, said):
    before = describe(str(copy))
    folder = edited(copy, name, value)
    assert describe(folder) != before
    with pytest.raises(RealmodelsError, match=said) as error:
        load(folder)
    assert "different models" in one_line(error) or "another model's" in one_line(error)


@pytest.mark.parametrize(("name", "value"), [("architectures", ["os.system"]), ("torch_dtype", "float7")])
def test_a_config_is_not_asked_for_classes_or_types(copy, name, value):
    """Both are chosen by us, so that what stands there is never looked up."""
    before = {key: weight.clone() for key, weight in load(str(copy)).model.state_dict().items()}
    found = load(edited(copy, name, value))
    assert (found.dtype, describe(str(copy)).dtype) == ("float32", "float32")
    after = found.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_world_edited_by_hand_is_refused(tmp_path):
    spec = WorldSpec(subjects=12, never_seen=2, relations=2, answers=4, derived_answers=2, mean_exposure=3.0)
    path = tmp_path / "w.npz"
    save_world(make_world(spec, seed=1), path)
    with np.load(path) as found:
        good = {name: found[name] for name in found.files}

    def refused(match, **changes):
        arrays = {name: value for name, value in {**good, **changes}.items() if value is not None}
        with open(path, "wb") as file:
            np.savez(file, **arrays)
        with pytest.raises(TheoryError, match=match):
            load_world(path)

    for name, array in good.items():
        if name == "header":
            continue
        refused(f"{name}: missing", **{name: None})
        refused(name, **{name: array[:-1]})
        swapped = array.copy()
        swapped[..., [0, -1]] = swapped[..., [-1, 0]]
        if not np.array_equal(swapped, array):
            refused("w.npz: ", **{name: swapped})
        refused(name, **{name: np.array("x")})
    header = json.loads(good["header"].tobytes())
    for change in (
        {"seed": 2},
        {"seed": "one"},
        {"seed": None},
        {"spec": {"subjects": 10**400}},
        {"version": 2},
    ):
        refused("w.npz: ", header=np.frombuffer(json.dumps(header | change).encode(), np.uint8))
    refused("expected JSON", header=np.frombuffer(b"[" * 100_000, np.uint8))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../up.npy", b"\x93NUMPY")
    with pytest.raises(TheoryError, match="up"):
        load_world(path)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("exposure.npy", huge.getvalue() + bytes(1000))
    with pytest.raises(TheoryError, match="exposure"):
        load_world(path)
    assert {file.name for file in tmp_path.iterdir()} == {"w.npz"}


DAMAGES = {
    "missing": lambda path, other: path.unlink(),
    "empty": lambda path, other: path.write_bytes(b""),
    "half": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all but a byte": lambda path, other: path.write_bytes(path.read_bytes()[:-2]),
    "longer": lambda path, other: path.write_bytes(path.read_bytes() + b"x"),
    "another model's": lambda path, other: shutil.copy(other / path.name, path),
    "a folder": lambda path, other: (path.unlink(), path.mkdir()),
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text, text
    assert len(text) < 600, text
    return text


@pytest.fixture(scope="module")
def bigger(tmp_path_factory):
    """Another model of the same kind: its own words, shapes and adapter."""
    folder = tmp_path_factory.mktemp("bigger") / "bigger"
    words = bpe([f"{n:x} " * 3 for n in range(20_000, 21_000)], size=900)
    tiny_llama(words, hidden_size=48, num_hidden_layers=3).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@damages
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
)
def test_a_damaged_model_folder_is_refused(copy, bigger, name, damage):
    before = load(str(copy))
    texts = before.tokens.tokenizer("Q: What is the capital of Peru?\nA: Lima")["input_ids"]
    damage(copy / name, bigger)
    with (
        suppress(RealmodelsError)
        if name == "tokenizer_config.json"
        else pytest.raises(RealmodelsError) as error
    ):
        after = load(str(copy))  # that file says little that is not elsewhere
        assert after.tokens.tokenizer("Q: What is the capital of Peru?\nA: Lima")["input_ids"] == texts
    assert error is None or str(copy) in one_line(error)


@pytest.fixture(scope="module")
def adapters(tiny, bigger, tmp_path_factory):  # noqa: F811
    from tests.realmodels.test_loading import adapter_of

    place = tmp_path_factory.mktemp("adapters")
    return adapter_of(tiny, place / "own"), adapter_of(bigger, place / "other")


@damages
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_damaged_adapter_is_refused(tiny, adapters, tmp_path, name, damage):  # noqa: F811
    own, other = adapters
    folder = shutil.copytree(own, tmp_path / "adapter")
    damage(folder / name, other)
    with pytest.raises(RealmodelsError) as error:
        load(str(tiny), adapter=str(folder))
    assert "adapter" in one_line(error)


def test_an_adapter_for_another_base_is_refused(tiny, bigger, adapters, tmp_path):  # noqa: F811
    _, other = adapters
    with pytest.raises(RealmodelsError, match=r"is an adapter of .*bigger, not of .*; give --model"):
        load(str(tiny), adapter=str(other))
    lying = shutil.copytree(other, tmp_path / "lying")
    said = json.loads((lying / "adapter_config.json").read_text())
    (lying / "adapter_config.json").write_text(json.dumps(said | {"base_model_name_or_path": str(tiny)}))
    with pytest.raises(RealmodelsError) as error:
        load(str(tiny), adapter=str(lying))
    assert "lying" in one_line(error)


WORDS = Vocabulary((*SPECIAL, "the", "cat", "of", ".", "?"))
SHAPE = LlamaSpec(len(WORDS), width=16, layers=1, heads=2, kv_heads=1, hidden=24)


@damages
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_pocket_model_is_refused(tmp_path, name, damage):
    folder = save_model(tmp_path / "model", initialise(SHAPE, 0), SHAPE, WORDS)
    more, wider = Vocabulary((*WORDS.words, "dog")), replace(SHAPE, vocabulary=10, width=24)
    other = save_model(tmp_path / "other", initialise(wider, 0), wider, more)
    damage(folder / name, other)
    with pytest.raises(SyntheticError) as error:
        load_model(folder)
    assert name in one_line(error) or "different models" in str(error.value)


@pytest.mark.parametrize(
    "knob", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps"]
)
@pytest.mark.parametrize("value", [None, "x", -1, 0, 3, 10**12, 1.5, [], float("nan"), "gone"])
def test_a_pocket_model_with_an_edited_configuration_is_refused(tmp_path, knob, value):
    folder = save_model(tmp_path / "model", initialise(SHAPE, 0), SHAPE, WORDS)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {knob: value}
    if value == "gone":
        del config[knob]
    path.write_text(json.dumps(config))
    if knob == "rms_norm_eps" and value in (3, 10**12, 1.5):  # a number that could be
        assert load_model(folder)[1].epsilon == value
        return
    with pytest.raises(SyntheticError):
        load_model(folder)


@pytest.mark.parametrize(
    "model",
    [
        {"type": "WordLevel"},
        {"type": "WordLevel", "vocab": []},
        {"type": "WordLevel", "vocab": {"a": 0, "b": 0}},
        {"type": "WordLevel", "vocab": {"a": [1]}},
        {"type": "WordLevel", "vocab": {"a": 0, "b": 1}},
        None,
        3,
    ],
)
def test_a_pocket_model_with_other_words_is_refused(tmp_path, model):
    folder = save_model(tmp_path / "model", initialise(SHAPE, 0), SHAPE, WORDS)
    (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    with pytest.raises(SyntheticError, match=r"tokenizer\.json"):
        load_model(folder)


# ---------------------------------------------------------------- names that would leave their folder


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_its_folder(tmp_path, name):
    for refuse, room in (
        (lambda: arms_of((f"{name}=rows.jsonl",), tmp_path / "out"), RealmodelsError),
        (lambda: _named(f"{name}=adapter"), RealmodelsError),
        (lambda: read_tasks(f"{name}=rows.jsonl"), RealmodelsError),
        (lambda: parse_shares([f"{name}=1"]), RealmodelsError),
        (lambda: Run(tmp_path).part(name), TheoryError),
        (lambda: open_run(tmp_path, name, {}).__enter__(), TheoryError),
    ):
        with pytest.raises(room):
            refuse()
    assert not list(tmp_path.iterdir())
    assert "/" not in slug(name)
    assert "\0" not in slug(name)


def test_a_manifest_that_lists_files_elsewhere_deletes_nothing(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("x")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("../precious", "..", "", ".", str(precious), 3, None, "sub/../../precious"):
        (folder / "manifest.json").write_text(
            json.dumps({"written": [{"name": name}, {"name": "manifest.json"}]})
        )
        with together(folder, ["new.jsonl"], "manifest.json") as scratch:
            (scratch / "new.jsonl").write_text("1")
            (scratch / "manifest.json").write_text(json.dumps({"written": [{"name": "new.jsonl"}]}))
        assert precious.read_text() == "x"
        assert {file.name for file in folder.iterdir()} == {"new.jsonl", "manifest.json"}
        shutil.rmtree(folder)
        folder.mkdir()


def test_relations_and_ids_name_no_files(write_audit, tmp_path, capsys):  # noqa: F811
    rows = [
        (
            {"question": f"Q{n}?", "answers": [f"a{n}"]},
            {"label": label, "relation": "../../up", "id": f"../{n}", "subject": f"../s{n}"},
        )
        for n, label in enumerate(["HighlyKnown", "Unknown"] * 4)
    ]
    audit = write_audit(rows)
    out = tmp_path / "deep" / "deep" / "arms"
    words = ["filter", str(audit), "--arms", "known,unknown", "--match", "relation", "-o", str(out)]
    assert main("python -m realmodels", "", COMMANDS, words) == 0, capsys.readouterr().err
    assert {file.name for file in out.iterdir()} == {"known.jsonl", "unknown.jsonl", "manifest.json"}
    assert {file.name for file in tmp_path.iterdir()} == {"audit", "deep"}


# ---------------------------------------------------------------- cells that a spreadsheet would run


def raw(path):
    return path.read_bytes().decode()


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_made_text(tmp_path, text):
    assert safe(text) == ("" if text == "x\r=1" else "'") + text.replace("\r", "\n")
    path = write_columns(
        tmp_path / "c.csv", {text: np.array([text, "plain"], object), "x": np.array([-1.5, 2.0])}
    )
    _write_table(tmp_path / "m.csv", ("a", "b"), [{"a": text, "b": -0.5}, {"a": "x", "b": 1e-3}])
    effects = _csv(["a", "b"], [(text, -2.5)])
    for content in (raw(path), raw(tmp_path / "m.csv"), effects):
        for row in csv.reader(io.StringIO(content, newline="")):
            for cell in row:
                assert not cell.lstrip().startswith(("=", "+", "@")), row
                assert not cell.startswith(FORMULA) or float(cell) < 0, row
    assert read_columns(path, ())["x"].tolist() == [-1.5, 2.0]  # numbers stay numbers


def test_numbers_stay_numbers():
    for value in (-1, -1.5, 0, np.float64(-2.0), np.int64(-3), True):
        assert safe(value) is value
    assert (safe(None), safe("a=b"), safe("1-2")) == ("", "a=b", "1-2")


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_drop_in_file_keeps_every_cell_as_it_was(tmp_path, kind):
    rows = [{"question": text, "answers": text} for text in FORMULAS if text.strip()]
    path = tmp_path / f"a.{kind}"
    write_table(path, kind, ("question", "answers"), rows)
    assert [row for _, row in read_table(path)] == rows


# ---------------------------------------------------------------- markup and formulas of TeX in data

EVIL = "<script>alert(1)</script>"
IMAGE = '"><img/src=x/onerror=alert(2)>'


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))


def evil_records():
    for seed in (100, 101, 102):
        for on, value in (("best", 0.6), ("lesser", 0.4), (EVIL.replace(" ", ""), 0.5)):
            for step, share in ((1, 0.2), (5, 1.0), (10, 0.9)):
                for split in ("dev", "test"):
                    common = ("all", "zero", split, "all", "accuracy", share * value)
                    arm, prompt, split_, stratum, metric, number = common
                    yield Record(
                        "synthetic/R2-2layer", "salience", f"run {EVIL}", seed, arm, step, on, prompt, split_, stratum,
                        metric, number, 50,
                    )  # fmt: skip
        for field in ("arm", "prompt", "split", "stratum", "run"):
            said = {"arm": "all", "prompt": "zero", "split": "test", "stratum": "all", "run": "r"}
            said[field] = f"k={EVIL}{IMAGE}" if field == "stratum" else f"{EVIL}{IMAGE.replace('=', ':')}"
            if field == "stratum":
                said[field] = "k=" + (EVIL + IMAGE).replace("=", ":")
            yield Record(
                "synthetic/R2-4layer", "salience", said["run"], seed, said["arm"], 10, "best", said["prompt"],
                said["split"], said["stratum"], "accuracy", 0.5, 9,
            )  # fmt: skip


def test_names_in_records_cannot_become_part_of_the_page(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(3)>"
    folder.mkdir()
    with RecordWriter(folder / "records.jsonl") as out:
        out.write_many(evil_records())
    (folder / "environment.json").write_text(json.dumps({"command": EVIL, "packages": {EVIL: EVIL}}))
    runs, found = read_runs([tmp_path]), sources([tmp_path])
    text = page(runs, found, [], check(2))
    tags = Tags(text).found
    assert EVIL not in text
    assert "<img" not in text.replace("&lt;img", "")
    assert sum(name == "script" for name, _ in tags) == 2  # the page's own
    assert not [one for one in tags if any(key.startswith("on") for key in one[1])]
    assert "&lt;script&gt;alert(1)" in text  # said, not run


def test_a_graph_with_names_of_any_kind_is_drawn(tmp_path):
    names = ["$\\frac{1}", "a$b$c", EVIL, "_^{}", "x" * 40, "=1+1"]
    told = json.loads(json.dumps(fuzz.GRAPH))
    told["format"] = "nameblind graph 1"
    told["relation_name"] = "../../ $\\frac{1$ " + EVIL
    told["nodes"] = [{"id": f"s{i}", "kind": "subject", "name": name} for i, name in enumerate(names)]
    told["nodes"] += [{"id": f"a{i}", "kind": "answer", "name": name} for i, name in enumerate(names)]
    told["edges"] = [
        told["edges"][0] | {"fact": i, "source": f"s{i}", "target": f"a{i}"} for i in range(len(names))
    ]
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(told))
    assert read_graph(path).relation == told["relation_name"]
    out = tmp_path / "deep" / "out"
    files = knowledge(path, out)
    assert {file.parent for file in files} == {out}
    assert {file.name for file in tmp_path.iterdir()} == {"graph.json", "deep"}
    (svg,) = (file for file in files if file.suffix == ".svg")
    assert "<script" not in svg.read_text()


@pytest.mark.parametrize(
    ("where", "value"), [("seed", float("inf")), ("fact", float("-inf")), ("fact", float("nan"))]
)
def test_a_graph_with_numbers_that_are_none_is_refused(tmp_path, where, value):
    told = json.loads(json.dumps(fuzz.GRAPH)) | {"format": "nameblind graph 1"}
    for part in [told] if where == "seed" else told["edges"]:
        part[where] = value
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(told))  # as Infinity and NaN, which Python reads
    with pytest.raises(FiguresError, match="it lacks"):
        read_graph(path)


def test_the_scoreboard_of_odd_records_is_safe(tmp_path):
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as out:
        out.write_many(evil_records())
    board = evaluate(read_records(path))
    for row in csv.reader(io.StringIO(board.to_csv())):
        assert not [cell for cell in row if cell.startswith(("=", "+", "@"))]


def test_an_audit_edited_while_it_is_used_is_noticed(write_audit):  # noqa: F811
    audit = write_audit([({"question": "Q?", "answers": ["a"]}, {"label": "HighlyKnown"})] * 2)
    found = read_audit(audit)
    audit.write_text(audit.read_text().splitlines()[0] + "\n")
    with pytest.raises(RealmodelsError, match="shorter"):
        list(found.originals(np.arange(2)))
