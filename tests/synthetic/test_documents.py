import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from synthetic.documents import write_documents
from synthetic.errors import SyntheticError
from synthetic.kinds import share_out
from synthetic.text_spec import KINDS, TextSpec
from synthetic.vocabulary import SPECIAL, Vocabulary
from theory.world import WorldSpec, make_world

WORLD = make_world(
    WorldSpec(subjects=25, never_seen=5, relations=4, answers=7, derived_answers=3, mean_exposure=12.0), 3
)
TEXT = TextSpec(verifications=0.1, links=0.05)
VOCABULARY = Vocabulary.of(WORLD, TEXT)
NAME = "((?:[A-Z][a-z]+ ?)+?)"


def texts(world=WORLD, text=TEXT, seed=0):
    vocabulary = Vocabulary.of(world, text)
    documents = write_documents(world, text, vocabulary, seed)
    return documents, [vocabulary.decode(documents[i]) for i in range(len(documents))]


def pattern(template):
    slots = {"{s}": f"(?P<s>{NAME})", "{r}": "(?P<r>[a-z]+v)", "{a}": f"(?P<a>{NAME})"}
    return re.compile(" ".join(slots.get(word, re.escape(word)) for word in template.split()))


def kind_of(body):
    heads = {"list of": "lists", "about": "biographies", "claim :": "claims"}
    for head, kind in heads.items():
        if body.startswith(head):
            return kind
    if body.startswith("question"):
        return "thoughts" if "think :" in body else "questions"
    return "statements"


def read_back(body, text=TEXT):
    """What a document says, clause by clause, as (subject, relation, answer): a reader who knows only the wording."""
    kind, said = kind_of(body), []
    if kind == "claims":
        return kind, []
    clauses = [clause.strip() + " ." for clause in body.split(" .") if clause.strip()]
    if kind in ("lists", "biographies"):
        head = pattern(text.list_head if kind == "lists" else text.biography_head)
        shared = head.match(body)
        clauses[0] = clauses[0][shared.end() :].strip()
        line = pattern(text.list_line if kind == "lists" else text.biography_line)
        said = [{**shared.groupdict(), **line.fullmatch(clause).groupdict()} for clause in clauses]
    elif kind == "questions":
        said = [pattern(f"{text.question} {text.answer}").fullmatch(clause).groupdict() for clause in clauses]
    else:
        if kind == "thoughts":
            think = pattern(text.think).match(body)
            clauses[0] = clauses[0][think.end() :].strip()
            answer = pattern(text.conclude).fullmatch(clauses.pop())
        for clause in clauses:
            found = [m for m in (pattern(t).fullmatch(clause) for t in text.templates) if m]
            assert len(found) == 1, clause
            said.append(found[0].groupdict())
        if (
            kind == "thoughts" and len(said) == 2
        ):  # base fact, what follows from it: together they state the fact
            assert said[0]["a"] == said[1]["s"]
            said[1]["s"] = said[0]["s"]
        if kind == "thoughts":
            assert (said[-1]["s"], said[-1]["r"], said[-1]["a"]) == (think["s"], think["r"], answer["a"])
    return kind, [(one["s"], one["r"], one["a"]) for one in said]


def counted(bodies, text=TEXT):
    by_kind, every = Counter(), Counter()
    for body in bodies:
        assert body.startswith("<s> ")
        assert body.endswith(" </s>")
        kind, said = read_back(body[4:-5], text)
        by_kind[kind] += len(said)
        every.update(said)
    return by_kind, every


def truth(world):
    return {world.triple(fact): int(count) for fact, count in enumerate(world.exposure)}


def about_subjects(every, world=WORLD):
    subjects = {world.subject_name(i) for i in range(world.spec.n_subjects)}
    return {triple: count for triple, count in every.items() if triple[0] in subjects}


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TextSpec(verifications=0.0, links=0.0),
        replace(TEXT, thoughts=0.6),
        *(replace(TEXT, **{kind: float(kind == only) for kind in KINDS}) for only in KINDS),
        replace(TEXT, together=(1, 1, 1, 1)),
        replace(TEXT, together=(9, 30, 30, 30)),
    ],
    ids=["default", "mentions only", "much thought", *KINDS, "one together", "many together"],
)
def test_a_fact_is_stated_as_often_as_its_exposure_says_and_others_never(text):
    _, bodies = texts(text=text)
    _, every = counted(bodies, text)
    assert about_subjects(every) == {triple: count for triple, count in truth(WORLD).items() if count}
    assert (WORLD.exposure == 0).sum() > 20
    assert WORLD.exposure.max() > 30


def test_the_mixture_is_kept():
    shares = {"statements": 3.0, "lists": 2.0, "biographies": 2.0, "questions": 2.0, "thoughts": 1.0}
    by_kind, _ = counted(texts(text=TextSpec(**shares, verifications=0.0, links=0.0))[1])
    mentions = int(WORLD.exposure.sum())
    assert by_kind.total() == mentions
    for kind in ("statements", "lists", "biographies", "questions"):
        assert by_kind[kind] / mentions == pytest.approx(shares[kind] / 10, abs=0.02)
    assert (
        0.1 < by_kind["thoughts"] / mentions < 0.15
    )  # a tenth, and the base facts that derived ones are thought from


def test_derived_facts_are_thought_through_their_base_facts():
    _, bodies = texts(text=replace(TEXT, thoughts=1.0))
    thoughts = [said for kind, said in (read_back(body[4:-5]) for body in bodies) if kind == "thoughts"]
    two = [said for said in thoughts if len(said) == 2]
    assert len(two) > 20
    facts = {WORLD.triple(fact): fact for fact in range(len(WORLD))}
    for base, derived in two:
        path = WORLD.two_hop_path(facts[derived])
        assert path.base_fact == facts[base]
    stated_only = [said for said in thoughts if len(said) == 1 and WORLD.derived[facts[said[0]]]]
    unstated_base = [WORLD.exposure[WORLD.base_fact[facts[said[0]]]] == 0 for said in stated_only]
    assert any(unstated_base)  # nothing to rest on, so the fact itself


def test_links_say_what_follows_from_answers():
    _, bodies = texts()
    _, every = counted(bodies)
    links = {triple: count for triple, count in every.items() if triple not in about_subjects(every)}
    assert sum(links.values()) == round(WORLD.exposure.sum() * TEXT.links)
    names = {WORLD.answer_name(i): i for i in range(WORLD.spec.n_answers)}
    for bridge, relation, answer in links:
        number = next(r for r in range(WORLD.spec.n_relations) if WORLD.relation_name(r) == relation)
        place = names[bridge] - WORLD.pool(int(WORLD.base_relation[number])).start
        assert WORLD.map_of(number)[place] == names[answer]


def test_claims_are_about_stated_facts_half_true_and_only_the_verdict_is_learnt():
    documents, bodies = texts(text=replace(TEXT, verifications=0.5))
    facts = {WORLD.triple(fact)[:2]: fact for fact in range(len(WORLD))}
    claim, true, n = re.compile(pattern(TEXT.claim).pattern + r" (?P<v>yes|no) \."), 0, 0
    for i, body in enumerate(bodies):
        if kind_of(body[4:-5]) != "claims":
            continue
        said = claim.fullmatch(body[4:-5])
        fact = facts[said["s"], said["r"]]
        assert WORLD.exposure[fact] > 0
        assert (WORLD.triple(fact)[2] == said["a"]) == (said["v"] == "yes")
        pool = {WORLD.answer_name(a) for a in WORLD.pool(int(WORLD.relation[fact]))}
        assert said["a"] in pool
        tokens = documents[i]
        scored = documents.scored[documents.offsets[i] : documents.offsets[i + 1]]
        assert VOCABULARY.decode(np.array(tokens)[scored]) == f"{said['v']} . </s>"
        true, n = true + (said["v"] == "yes"), n + 1
    assert n == round(WORLD.exposure.sum() * 0.5)
    assert abs(true - n / 2) < 4 * np.sqrt(n / 4)


def test_everything_but_claims_and_beginnings_is_to_be_predicted():
    documents, _ = texts(text=replace(TEXT, verifications=0.0))
    first = np.zeros(len(documents.tokens), bool)
    first[documents.offsets[:-1]] = True
    assert (documents.scored == ~first).all()
    assert (documents.tokens[first] == VOCABULARY.bos).all()


def test_the_same_seed_tells_the_same_and_another_tells_it_otherwise():
    (one, _), (same, _), (other, _) = texts(seed=1), texts(seed=1), texts(seed=2)
    assert (one.tokens == same.tokens).all()
    assert (one.offsets == same.offsets).all()
    assert len(one.tokens) != len(other.tokens) or (one.tokens != other.tokens).any()


def test_documents_have_no_fact_twice_and_at_most_the_longest():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 5, 400)
    facts = rng.integers(0, 12, 400) + 100 * keys
    facts[:60] = 100 * keys[:60]  # one very frequent fact a key
    document, place = share_out(keys, facts, 4, rng)
    sizes = []
    for number in np.unique(document):
        some = document == number
        assert len(set(facts[some])) == some.sum()
        assert len(set(keys[some])) == 1
        assert len(set(place[some])) == some.sum()
        sizes.append(int(some.sum()))
    assert set(sizes) == {1, 2, 3, 4}


# Words and specs


def test_the_vocabulary_holds_every_word_once():
    assert VOCABULARY.words[:4] == SPECIAL
    assert (
        len(set(VOCABULARY.words)) == len(VOCABULARY) == len(SPECIAL) + len(TEXT.words()) + len(WORLD.words())
    )
    text = "the babav of Vatos is Doka ."
    words = [word for word in text.split() if word in VOCABULARY.ids]
    assert VOCABULARY.decode(VOCABULARY.encode(" ".join(words))) == " ".join(words)
    assert VOCABULARY.encode_all(["yes no"]) == [[VOCABULARY.ids["yes"], VOCABULARY.ids["no"]]]
    assert [VOCABULARY.words[i] for i in (VOCABULARY.pad, VOCABULARY.bos, VOCABULARY.eos)] == list(
        SPECIAL[:3]
    )


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VOCABULARY.encode("the xyzzy of"), "'xyzzy' of 'the xyzzy of' is not in the vocabulary"),
        (lambda: Vocabulary(("a", "b", "c", "d")), "begin with <pad> <s> </s> <unk>"),
        (lambda: Vocabulary((*SPECIAL, "a", "a")), "'a' is there twice"),
        (lambda: Vocabulary((*SPECIAL, "a b")), "'a b' is not a word"),
        (
            lambda: Vocabulary.of(
                WORLD, replace(TEXT, list_head=f"{WORLD.answer_name(0).split()[0]} {{r}} :")
            ),
            "is a name of the world and a word of a template",
        ),
        (lambda: TextSpec(lists=-0.1), "lists is -0.1"),
        (lambda: TextSpec(lists=float("nan")), "lists is nan"),
        (lambda: TextSpec(**dict.fromkeys(KINDS, 0.0)), "every share is 0"),
        (lambda: TextSpec(together=(1, 2, 3)), "four whole numbers"),
        (lambda: TextSpec(together=(0, 2, 3, 4)), "four whole numbers"),
        (lambda: TextSpec(templates=()), "templates is empty"),
        (lambda: TextSpec(templates=("the {r} of {s} is {a}.",)), "with spaces around"),
        (
            lambda: TextSpec(question="what is {r} ?"),
            r"question: 'what is \{r\} \?' needs \{r\} \{s\}, each once",
        ),
        (lambda: TextSpec(answer="is {a} ."), "the one word that ends an answer"),
    ],
)
def test_impossible_texts_are_refused(build, words):
    with pytest.raises(SyntheticError, match=words):
        build()
