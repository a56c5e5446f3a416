import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import pocket as pockets
from synthetic.cli import COMMANDS
from synthetic.errors import SyntheticError
from synthetic.export import ORIGIN, load_model, save_model
from synthetic.facts import fact_rows, know
from synthetic.model import LlamaSpec
from synthetic.pocket import PocketSpec, load_pocket, make_pocket
from synthetic.train_spec import TrainSpec
from theory.command import main
from theory.slick import Category
from theory.world import WorldSpec, make_world

TINY = PocketSpec(
    world=WorldSpec(
        types=1, subjects=6, never_seen=1, relations=2, answers=4, derived_answers=2, mean_exposure=3.0
    ),
    llama=LlamaSpec(4, width=16, layers=1, heads=2, kv_heads=1, hidden=16, context=96),
    train=TrainSpec(rate=1e-2, batch=2),
)


def test_what_is_told_often_is_known_and_what_is_never_told_is_guessed(pocket):
    assert pocket.scores["questions"] > 0.5
    assert pocket.scores["statements 1"] > 0.5
    assert pocket.scores["never stated"] < pocket.scores["questions"] - 0.15
    assert pocket.tokens > 90_000
    known = know(pocket, prompts=4, shots=2)
    exposure = pocket.world.exposure[known.facts]
    often, never = known.category[exposure > 30], known.category[exposure == 0]
    assert (often >= Category.MaybeKnown).mean() > 0.8
    assert (never >= Category.MaybeKnown).mean() < (often >= Category.MaybeKnown).mean() - 0.3
    assert (often == Category.HighlyKnown).mean() > 2 * (never == Category.HighlyKnown).mean()


def test_it_comes_back_with_its_world(pocket, pocket_folder):
    again = load_pocket(pocket_folder)
    assert again.world == pocket.world == make_world(pocket.world.spec, 7)
    assert again.text == pocket.text
    assert again.vocabulary == pocket.vocabulary
    assert again.scores == pocket.scores
    assert all(torch.equal(again.weights[name], pocket.weights[name]) for name in pocket.weights)


def test_its_questions_lie_beside_it_as_lines_of_json(pocket, pocket_folder):
    rows = [json.loads(line) for line in (pocket_folder / "questions.jsonl").read_text("utf-8").splitlines()]
    world = pocket.world
    assert len(rows) == int(world.seen[world.subject].sum())
    assert sum(row["popularity"] == 0 for row in rows) == int(
        (world.exposure[world.seen[world.subject]] == 0).sum()
    )
    for row in rows[:: len(rows) // 20]:
        fact = int(row["id"].removeprefix("fact-"))
        subject, relation, answer = world.triple(fact)
        assert (row["subject"], row["relation"], row["answers"]) == (subject, relation, [answer])
        assert subject in row["question"]
        asked = pocket.asked([fact])
        assert pocket.vocabulary.encode(row["question"]) == list(asked.prompts[0])
        assert row["popularity"] == world.exposure[fact]


def test_the_same_seed_makes_the_same_files(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    said = []
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        make_pocket(folder, seed, TINY, say=said.append)
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert files[0]["model.safetensors"] != files[2]["model.safetensors"]
    assert len(said) == 9
    assert "documents of" in said[0]
    assert "parameters" in said[1]
    assert "last loss" in said[2]


def test_nothing_is_left_of_one_that_was_interrupted(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pockets, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        make_pocket(tmp_path / "model", 0, TINY)
    assert os.listdir(tmp_path) == []


def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "mine").touch()
    monkeypatch.setattr(pockets, "train", lambda *args, **kwargs: pytest.fail("worked for nothing"))
    with pytest.raises(SyntheticError, match="holds something already"):
        make_pocket(tmp_path, 0, TINY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "not made as a pocket model"),
        ({"seed": 8}, "not the one that was told"),
        ({"world": {"subjects": 0}}, r"nameblind.json: world: WorldSpec.subjects"),
        ({"text": {"list_head": "see {r} :"}}, "not those of the tokenizer"),
        ({"text": None}, "damaged"),
        ({"scores": None}, "damaged"),
    ],
)
def test_an_edited_origin_is_refused(pocket, pocket_folder, tmp_path, changes, words):
    origin = json.loads((pocket_folder / ORIGIN).read_text())
    folder = save_model(
        tmp_path / "m", pocket.weights, pocket.llama, pocket.vocabulary, {**origin, **changes}
    )
    with pytest.raises(ValueError, match=words):
        load_pocket(folder)


def test_a_model_of_unknown_origin_loads_but_is_no_pocket(pocket, tmp_path):
    folder = save_model(tmp_path / "m", pocket.weights, pocket.llama, pocket.vocabulary)
    (folder / ORIGIN).unlink()
    assert load_model(folder)[3] == {}
    with pytest.raises(SyntheticError, match="its world is unknown"):
        load_pocket(folder)


# What it knows


def test_facts_that_are_shown_are_not_probed(pocket):
    known = know(pocket, prompts=3, shots=2, seed=5)
    world = pocket.world
    assert known.answered.greedy.shape == (len(known.facts), 3)
    assert len(known.facts) == world.spec.n_seen * world.spec.relations - 4 * world.spec.n_relations
    rows = list(fact_rows(pocket, known))
    assert len(rows) == len(known.facts)
    for i, row in enumerate(rows):
        assert (row["subject"], row["relation"], row["answer"]) == world.triple(row["fact"])
        assert row["exposure"] == world.exposure[row["fact"]]
        assert row["p_greedy"] == pytest.approx(known.answered.greedy[i].mean())
        if row["category"] == "HighlyKnown":
            assert row["p_greedy"] == 1
        if row["category"] in ("WeaklyKnown", "Unknown"):
            assert row["p_greedy"] == 0
            assert (row["detection"] >= 0.5) == (row["category"] == "WeaklyKnown")
    table = known.describe(world).splitlines()
    assert [line.split()[0] for line in table[1:]] == ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
    assert sum(int(line.split()[1]) for line in table[1:]) == len(known.facts)
    none = replace(known, category=np.zeros(len(known.facts), np.int8))
    assert none.describe(world).splitlines()[1].split() == ["HighlyKnown", "0", "0.0%"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"prompts": 0}, "0 prompts of 4 shots"),
        ({"shots": 40}, "relation 0 has .* stated facts; the prompts need 80"),
    ],
)
def test_impossible_probes_are_refused(pocket, wish, words):
    with pytest.raises(SyntheticError, match=words):
        know(pocket, **wish)


def test_prompts_that_show_everything_leave_nothing_to_probe(pocket):
    small = make_world(
        WorldSpec(types=1, subjects=4, never_seen=1, relations=2, answers=4, derived=0, unseen=0.0), 0
    )
    with pytest.raises(SyntheticError, match="show all 8 facts and leave none"):
        know(replace(pocket, world=small), shots=2)


# Commands


def run(*words):
    return main("python -m synthetic", "about", COMMANDS, words)


def test_probe_prints_a_table_and_writes_every_fact(pocket, pocket_folder, tmp_path, capsys):
    out = tmp_path / "facts.jsonl"
    assert run("probe", str(pocket_folder), "--prompts", "2", "--shots", "2", "-o", str(out)) == 0
    table = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    known = know(pocket, prompts=2, shots=2)
    assert table == known.describe(pocket.world) + "\n"
    assert rows == list(fact_rows(pocket, known))


def test_ask_goes_on_from_a_text(pocket, pocket_folder, capsys):
    fact = int(np.argmax(pocket.world.exposure))
    s, r, a = pocket.world.triple(fact)
    question = pocket.text.question.format(s=s, r=r)
    assert run("ask", str(pocket_folder), question) == 0
    assert capsys.readouterr().out.startswith(f"{a} .")
    assert (
        run("ask", str(pocket_folder), question, "--draws", "3", "--temperature", "0.5", "--top-k", "40") == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_pocket_makes_one(tmp_path, capsys):
    knobs = {"types": 1, "subjects": 6, "never_seen": 1, "relations": 2, "answers": 4, "derived_answers": 2}
    lines = [f"{name} = {value}" for name, value in {**knobs, "mean_exposure": 3.0}.items()]
    (tmp_path / "world.toml").write_text("\n".join(lines))
    folder = tmp_path / "model"
    words = ["pocket", str(folder), "--seed", "3", "--world", str(tmp_path / "world.toml"), "--width", "16"]
    words += ["--heads", "2", "--kv-heads", "1", "--hidden", "16", "--layers", "1"]
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "parameters" in said.out
    assert "right on questions" in said.out
    assert "documents of" in said.err
    made = load_pocket(folder)
    assert made.world.spec.subjects == 6
    assert (made.llama.width, made.llama.layers, made.llama.kv_heads) == (16, 1, 1)
    assert run(*words) == 2
    assert "error: " + str(folder) in capsys.readouterr().err
    assert run(*words, "--overwrite") == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("probe", "nowhere"), "error: nowhere/config.json: cannot be read"),
        (("pocket", "out", "--heads", "3"), "error: LlamaSpec.width 128 over 3 heads"),
        (("pocket", "out", "--rate", "0"), "error: TrainSpec.rate is 0.0"),
        (("pocket", "out", "--world", "none.toml"), "error: none.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_an_unknown_word_is_named(pocket_folder, capsys):
    assert run("ask", str(pocket_folder), "who is xyzzy ?") == 2
    assert "error: the word 'who'" in capsys.readouterr().err
