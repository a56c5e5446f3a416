from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from realmodels.decoding import draw_answers, uniforms_for
from realmodels.errors import RealmodelsError
from realmodels.estimate import Sampling, estimate, logprobs, p_true
from realmodels.loading import Loaded, load
from realmodels.packing import pack
from realmodels.prefix import Reading, run_prefix
from realmodels.prompting import STYLES, Shot, render_answer, render_prefix, render_question, truth_prompt
from realmodels.scoring import Draw, answered, score_rows
from realmodels.tokens import Tokens
from theory.matching import match
from theory.slick import Category, by_detection

from .conftest import FACTS, tiny_llama

QA, SENTENCE = STYLES["qa"], STYLES["sentence"]
SHOTS = [Shot(f"What is the capital of {s}?", a) for s, a in FACTS[:3]]
QUESTIONS = [f"What is the capital of {s}?" for s, _ in FACTS] + [
    "Where?",
    "What is the capital of the whole of Peru?",
]
ANSWERS = [(a, a[:3], a + "s") for _, a in FACTS] + [("Here",), ("Li", "Lima", "Lima")]


@pytest.fixture(scope="module")
def small(tiny):
    return load(str(tiny), device="cpu")


def plain_logits(loaded, ids):
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits[0].double()


def by_hand(loaded, style, shots, question, aliases, temperature=0.5, top_k=40):
    """Chance of the answers, log chance at temperature 1 and greedy answer by one uncached pass an alias."""
    tokens = loaded.tokens
    prompt = tokens.prompt_ids(render_prefix(style, shots) + render_question(style, question))
    stops = list(tokens.stops(style.end))
    p = plain = 0.0
    greedy = False
    for answer in {tokens.answer_ids(render_answer(alias)) for alias in aliases}:
        found = plain_logits(loaded, prompt + answer)[len(prompt) - 1 :]
        least = found.topk(min(top_k, found.shape[1])).values[:, -1:]
        drawn = torch.where(found >= least, found / temperature, -torch.inf).softmax(1)
        one, steps = found.softmax(1), range(len(answer))
        p += float(drawn[steps, answer].prod() * drawn[-1, stops].sum())
        plain += float(one[steps, answer].prod() * one[-1, stops].sum())
        best = found.argmax(1).tolist()
        greedy |= tuple(best[:-1]) == answer and best[-1] in stops
    return p, np.log(plain), greedy


def test_exact_is_what_uncached_passes_give(small):
    found = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS)
    wanted = [by_hand(small, QA, SHOTS, q, a) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    np.testing.assert_allclose(found.p_sample, [w[0] for w in wanted], rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(found.logprob, [w[1] for w in wanted], rtol=1e-5)
    assert found.greedy.tolist() == [w[2] for w in wanted]
    assert found.said == ("",) * len(QUESTIONS)
    assert found.samples == ()
    np.testing.assert_array_equal(logprobs(small, QA, SHOTS, QUESTIONS, ANSWERS), found.logprob)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("estimator", ["exact", "hybrid", "sample"])
def test_neither_batch_nor_cache_changes_what_is_found(small, estimator, batch, cached):
    ask = (small, QA, SHOTS, QUESTIONS, ANSWERS)
    one = estimate(*ask, estimator=estimator, seed=3)
    other = estimate(*ask, estimator=estimator, seed=3, batch=batch, cached=cached)
    assert one.greedy.tolist() == other.greedy.tolist()
    np.testing.assert_allclose(other.p_sample, one.p_sample, atol=1e-5)
    np.testing.assert_allclose(np.exp(other.logprob), np.exp(one.logprob), atol=1e-5)
    assert other.said == one.said
    assert other.samples == one.samples


def test_what_is_asked_beside_a_question_does_not_matter(small):
    whole = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="sample", seed=5)
    for i in (0, 4, 11):
        alone = estimate(small, QA, SHOTS, [QUESTIONS[i]], [ANSWERS[i]], estimator="sample", seed=5)
        assert alone.samples[0] == whole.samples[i]
        assert alone.said[0] == whole.said[i]
    again = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="sample", seed=6)
    assert again.samples != whole.samples
    assert again.said == whole.said  # greedy answers have no seed


def test_hybrid_says_what_greedy_decoding_says(small):
    found = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="hybrid", matcher="normalized")
    stops, tokens = small.tokens.stops("\n"), small.tokens
    for i, question in enumerate(QUESTIONS):
        ids = list(tokens.prompt_ids(render_prefix(QA, SHOTS) + render_question(QA, question)))
        said = []
        while len(said) < 16 and (token := int(plain_logits(small, ids)[-1].argmax())) not in stops:
            said.append(token)
            ids.append(token)
        text = tokens.text(said).strip().split("\n")[0].strip()
        assert found.said[i] == text
    exact = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS)
    np.testing.assert_allclose(found.p_sample, exact.p_sample, atol=1e-7)


def test_hybrid_lets_the_matcher_judge(small):
    """Accepting what the model says, but in other letters, is a hit of the matcher alone."""
    said = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="hybrid").said
    shouted = [(text.swapcase() if text.strip() else "nothing",) for text in said]
    assert any(text != text.swapcase() for text in said)  # else there is nothing to judge
    strict = estimate(small, QA, SHOTS, QUESTIONS, shouted, estimator="hybrid", matcher="exact")
    loose = estimate(small, QA, SHOTS, QUESTIONS, shouted, estimator="hybrid", matcher="normalized")
    assert loose.said == said
    for i, text in enumerate(said):
        assert strict.greedy[i] == match(text, shouted[i], "exact")
        assert loose.greedy[i] == match(text, shouted[i], "normalized")
    assert loose.greedy.sum() > strict.greedy.sum()


def test_answers_that_are_said_greedily_need_no_decoding(small):
    said = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="hybrid").said
    again = estimate(small, QA, SHOTS, QUESTIONS, [(s or "x", "other") for s in said], estimator="hybrid")
    assert again.said == said
    assert (
        again.greedy.sum() >= sum(bool(s) for s in said) - 2
    )  # one text may have other tokens than its usual ones


WORDS = ["<pad>", "<s>", "</s>", ".", "a", "b", "c", "d", "?", "x", "y", "A", ":"]


@pytest.fixture(scope="module")
def toy():
    """A random Llama with so few words that all its answers can be listed."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<pad>"
    )
    model = tiny_llama(tokenizer, seed=3, spread=1.0)
    return Loaded(model.requires_grad_(False), Tokens(tokenizer), "toy", "", "cpu", "float32")


@pytest.mark.parametrize(("temperature", "top_k"), [(0.5, 4), (0.5, 40), (1.0, 0), (2.0, 7)])
def test_exact_is_what_listing_all_answers_gives(toy, temperature, top_k):
    """All answers of up to two words over the whole vocabulary, by uncached passes over every one of them."""
    shots, question = [Shot("x ?", "a b"), Shot("y ?", "c")], "x y ?"
    stops, longest = set(toy.tokens.stops(".")), 2
    assert {WORDS[i] for i in stops} == {".", "</s>"}
    prompt = toy.tokens.prompt_ids(render_prefix(SENTENCE, shots) + render_question(SENTENCE, question))
    going = [i for i in range(len(WORDS)) if i not in stops]

    def chances(rows):
        with torch.inference_mode():
            found = toy.model(torch.tensor([[*prompt, *row] for row in rows])).logits[:, -1].double()
        k = min(top_k or len(WORDS), len(WORDS))
        least = found.topk(k).values[:, -1:]
        return torch.where(found >= least, found / temperature, -torch.inf).softmax(1).numpy()

    reached, listed = {(): 1.0}, {}
    for _ in range(longest + 1):
        then = {}
        for (row, p), next_word in zip(reached.items(), chances(list(reached)), strict=True):
            listed[row] = p * sum(next_word[i] for i in stops)
            then |= {(*row, i): p * next_word[i] for i in going}
        reached = then
    assert sum(listed.values()) + sum(reached.values()) == pytest.approx(1)
    sayable = [i for i in going if WORDS[i] in "abcdxy?A:"]
    answers = [row for n in (1, 2) for row in product(sayable, repeat=n)]
    texts = [" ".join(WORDS[i] for i in row) for row in answers]
    sampling = Sampling(temperature=temperature, top_k=top_k)
    found = estimate(toy, SENTENCE, shots, [question] * len(texts), [(t,) for t in texts], sampling=sampling)
    np.testing.assert_allclose(found.p_sample, [listed[row] for row in answers], rtol=1e-4, atol=1e-9)
    # many answers to one question: the chances add up, whatever branches they share
    together = estimate(toy, SENTENCE, shots, [question], [texts], sampling=sampling)
    assert together.p_sample[0] == pytest.approx(sum(listed[row] for row in answers), rel=1e-4)
    if temperature == 1.0 and not top_k:
        np.testing.assert_allclose(np.exp(found.logprob), found.p_sample, rtol=1e-4)


def test_all_four_categories_occur_and_are_those_of_uncached_passes(toy):
    rng = np.random.default_rng(0)
    texts = [" ".join(row) for n in (1, 2) for row in product("abcdxy", repeat=n)]
    prompts = [[Shot(f"{rng.choice(['x', 'y'])} ?", rng.choice(texts)) for _ in range(2)] for _ in range(4)]
    accepted = (
        [(t,) for t in texts]
        + [tuple(rng.choice(texts, 25, replace=False)) for _ in range(30)]
        + [tuple(texts)]
    )
    cells = [(q, aliases) for q in ("x ?", "y ?", "x y ?", "d c ?") for aliases in accepted]
    questions, answers = [q for q, _ in cells], [aliases for _, aliases in cells]
    found = [estimate(toy, SENTENCE, shots, questions, answers) for shots in prompts]
    labels = by_detection(np.stack([f.greedy for f in found], 1), np.stack([f.p_sample for f in found], 1))
    assert set(labels.tolist()) == {int(category) for category in Category}
    some = [int(i) for c in Category for i in np.flatnonzero(labels == c)[:6]]
    wanted = [[by_hand(toy, SENTENCE, shots, questions[i], answers[i]) for shots in prompts] for i in some]
    slow = by_detection(
        [[w[2] for w in row] for row in wanted], [[min(w[0], 1.0) for w in row] for row in wanted]
    )
    assert slow.tolist() == labels[some].tolist()


def test_samples_are_drawn_with_the_chances_that_exact_finds(toy):
    n, draw, stops = 4000, Draw(1.0, 9), frozenset(toy.tokens.stops("."))
    prefix, question = run_prefix(toy, (1, 9, 8)), pack((10, 8), ())
    uniforms = uniforms_for(0, "a question", n, 3)[None]
    said = draw_answers(Reading(toy, prefix, [question]), [question], uniforms, stops, 3, draw)[0]
    counts = Counter(ids for ids in said if 0 < len(ids) < 3)
    usual = [ids for ids, count in counts.items() if count >= 40]
    assert len(usual) >= 3
    rows = [pack((10, 8), [ids]) for ids in usual]
    scores = score_rows(toy, Reading(toy, prefix, rows).hidden, rows, sorted(stops), draw)
    p = np.exp([answered(row, score, stops).drawn for row, score in zip(rows, scores, strict=True)])
    deviations = (np.array([counts[ids] for ids in usual]) / n - p) / np.sqrt(p * (1 - p) / n)
    assert np.abs(deviations).max() < 4


def test_p_sample_of_the_sampling_estimator_is_the_share_of_right_samples(small):
    said = estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, estimator="sample").samples
    gold = [(max(set(texts) - {""}, key=texts.count, default="x"), "other") for texts in said]
    found = estimate(small, QA, SHOTS, QUESTIONS, gold, estimator="sample", matcher="normalized")
    for i, texts in enumerate(found.samples):
        assert len(texts) == 16
        assert found.p_sample[i] == np.mean([match(t, gold[i], "normalized") for t in texts])
        assert found.greedy[i] == match(found.said[i], gold[i], "normalized")
    assert found.p_sample.max() > 0


def test_p_true_is_the_chance_of_the_word_true_against_the_word_false(small):
    proposed = [a for a, *_ in ANSWERS]
    found = p_true(small, QA, SHOTS, QUESTIONS, proposed)
    for i in (0, 5, 10):
        ids = small.tokens.prompt_ids(truth_prompt(QA, SHOTS, QUESTIONS[i], proposed[i]))
        words = [small.tokens.answer_ids(word) for word in (" True", " False")]
        assert words[0] != words[1]
        chances = []
        for word in words:
            logs = plain_logits(small, ids + word).log_softmax(1)[len(ids) - 1 : -1]
            chances.append(float(logs[range(len(word)), word].sum().exp()))
        assert found[i] == pytest.approx(chances[0] / sum(chances), abs=1e-5)
    np.testing.assert_allclose(p_true(small, QA, SHOTS, QUESTIONS, proposed, batch=1), found, atol=1e-5)
    assert len(p_true(small, QA, SHOTS, [], [])) == 0


def test_nothing_asked_is_nothing_found(small):
    found = estimate(small, QA, SHOTS, [], [])
    assert found.greedy.shape == found.p_sample.shape == (0,)
    assert found.said == ()


def test_without_shots_or_anything_before_the_text(toy):
    found = estimate(toy, SENTENCE, [], ["x ?"], [("a",)])
    p, plain, greedy = by_hand(toy, SENTENCE, [], "x ?", ("a",))
    assert (found.p_sample[0], found.logprob[0]) == pytest.approx((p, plain), rel=1e-4)
    assert found.greedy[0] == greedy


@pytest.mark.parametrize(
    ("knobs", "parts"),
    [
        ({"estimator": "exakt"}, ["unknown 'exakt'", "did you mean 'exact'"]),
        (
            {"estimator": "sample", "matcher": "normalised"},
            ["unknown 'normalised'", "did you mean 'normalized'"],
        ),
        ({"estimator": "exact", "matcher": "contains"}, ["to the letter", "hybrid"]),
    ],
)
def test_what_cannot_be_estimated(small, knobs, parts):
    with pytest.raises(RealmodelsError) as error:
        estimate(small, QA, SHOTS, QUESTIONS, ANSWERS, **knobs)
    assert all(part in str(error.value) for part in parts)


def test_lists_of_unlike_lengths(small, toy):
    with pytest.raises(RealmodelsError, match="12 questions but answers to 1"):
        estimate(small, QA, SHOTS, QUESTIONS, ANSWERS[:1])
    with pytest.raises(RealmodelsError, match="12 questions but 1 proposed"):
        p_true(small, QA, SHOTS, QUESTIONS, ["a"])
    with pytest.raises(RealmodelsError, match="'True' and 'False'"):
        p_true(toy, SENTENCE, [], ["x ?"], ["a"])


@pytest.mark.parametrize(
    ("knobs", "name"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"samples": 0}, "samples"),
        ({"longest": 1.5}, "longest"),
    ],
)
def test_settings_of_sampling(knobs, name):
    with pytest.raises(RealmodelsError, match=f"{name} is"):
        Sampling(**knobs)


def test_a_pocket_model_is_scored_as_its_own_room_scores_it(pocket):
    """Two engines that share no code."""
    synthetic = pytest.importorskip("synthetic.pocket")
    from synthetic.probe import score_answers

    own, loaded = synthetic.load_pocket(pocket), load(str(pocket), device="cpu")
    facts = np.flatnonzero(own.world.stated)[::3]
    triples = [own.world.triple(int(fact)) for fact in facts]
    questions = [own.text.question.replace("{s}", s).replace("{r}", r) for s, r, _ in triples]
    ends = [token for token in loaded.tokens.stops(".") if token != loaded.tokens.eos]
    loaded.tokens.stops = lambda end: tuple(ends)  # the other engine takes "." alone, not the end of the text
    shots = [Shot(q, a) for q, (_, _, a) in zip(questions[:2], triples[:2], strict=True)]
    prefix = loaded.tokens.prompt_ids(render_prefix(SENTENCE, shots))
    wanted = score_answers(own.weights, own.llama, own.asked(facts), prefix=prefix)
    found = estimate(loaded, SENTENCE, shots, questions, [(a,) for _, _, a in triples], estimator="hybrid")
    assert found.greedy.tolist() == wanted.greedy.tolist()
    assert 0 < found.greedy.mean() < 1
    np.testing.assert_allclose(found.p_sample, wanted.sampled, atol=1e-5)
    np.testing.assert_allclose(found.logprob, wanted.log_likelihood, atol=1e-4)
