import pytest

from realmodels.errors import RealmodelsError
from realmodels.recipe import Recipe, changed, rate_at, read_recipe


def test_a_file_then_words(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text("rate: 1e-3\nrank: 8\ntargets: [q_proj, v_proj]\nalpha: 16\n")
    recipe = read_recipe(path, ["rank=4", "steps=null", "checkpointing=true", "dropout=1e-1"])
    assert recipe == Recipe(
        rate=1e-3, rank=4, targets=("q_proj", "v_proj"), alpha=16.0, checkpointing=True, dropout=0.1
    )
    assert read_recipe(None) == Recipe()
    path.write_text("# nothing\n")
    assert read_recipe(path, ["targets=o_proj"]).targets == ("o_proj",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rte=1"], "--set: unknown key \"rte\"; did you mean 'rate'?"),
        (["rate"], "--set 'rate': expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["rate=0"], "--set: rate: expected a number above 0, got 0.0"),
        (["rate=fast"], 'rate: expected a number above 0, got "fast"'),
        (["rate=.nan"], "rate: expected a number above 0"),
        (["dropout=1"], "dropout: expected a number at least 0 and below 1, got 1.0"),
        (["warmup=1.5"], "warmup: expected a number at least 0 and at most 1"),
        (["clip=-1"], "clip: expected a number at least 0, got -1.0"),
        (["rank=0"], "rank: expected a whole number of at least 1, got 0"),
        (["rank=2.5"], "rank: expected a whole number"),
        (["rank=true"], "rank: expected a whole number"),
        (["epochs=null"], "epochs: expected a whole number"),
        (["seed=-1"], "seed: expected a whole number of at least 0"),
        (["decay=linaer"], "did you mean 'linear'?"),
        (["batching=bucket"], "did you mean 'buckets'?"),
        (["style=qq"], "style: unknown 'qq'"),
        (["targets=[]"], "targets: expected 'all-linear' or a list"),
        (["targets=[1]"], "targets: expected 'all-linear' or a list"),
        (["checkpointing=1"], "checkpointing: expected true or false"),
        (["rate=[1"], "not YAML"),
    ],
)
def test_wrong_words(words, said):
    with pytest.raises(RealmodelsError) as caught:
        read_recipe(None, words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- rate\n", "expected KEY: VALUE lines"),
        ("rate: 1\nrank: [", ":2: not YAML"),
        ("rnak: 3\n", "did you mean 'rank'?"),
    ],
)
def test_wrong_files(tmp_path, text, said):
    path = tmp_path / "lora.yaml"
    path.write_text(text)
    with pytest.raises(RealmodelsError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_bytes(b"rate: \xff\xfe")
    with pytest.raises(RealmodelsError, match="not UTF-8"):
        read_recipe(path)


def test_rates():
    recipe = changed(Recipe(), {"rate": 1.0, "warmup": 0.3}, "here")
    assert [rate_at(recipe, step, 10) for step in range(10)] == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7)
    linear = changed(recipe, {"decay": "linear", "warmup": 0}, "here")
    assert [rate_at(linear, step, 4) for step in range(4)] == pytest.approx([1, 0.75, 0.5, 0.25])
    cosine = changed(linear, {"decay": "cosine"}, "here")
    assert [rate_at(cosine, step, 4) for step in range(4)] == pytest.approx(
        [1, 0.85355, 0.5, 0.14645], abs=1e-5
    )
