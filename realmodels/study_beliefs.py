"""The study `beliefs` (D): long-form text, gold or the model's own, filtered by gold support or by own belief.

Every set is read until the same number of tokens has been read, those of `generated` in the recipe's epochs. Finished
parts are kept, whatever else is asked for later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from realmodels.bios_facts import Facts, read_facts
from realmodels.bios_prompts import own_wording
from realmodels.bios_split import splitter_named
from realmodels.bios_write import REQUEST, Writing, prompt_of
from realmodels.errors import RealmodelsError
from realmodels.recipe import Recipe
from realmodels.rows import Row, iter_rows
from realmodels.splits import split_rows
from realmodels.study_beliefs_texts import SETS
from realmodels.study_table import Order, Say, Section, Study
from theory.intervals import t_interval
from theory.records import Record, write_records
from theory.schema import shown

USUAL = Recipe(rank=16, rate=3e-4, epochs=4, batch=16)
CLAIM = 12  # tokens that a claim is taken to have, of which a text is taken to be full


@dataclass(frozen=True)
class Settings:
    """How many people, how they are written about, how claims are told, and by which belief is filtered."""

    people: int = 200  # most to train on
    test: int = 100  # most to write about afterwards
    train_share: float = 0.6  # of all people; the rest are written about
    salt: str = ""  # another one splits otherwise

    request: str = REQUEST
    line: str = "The {relation} of {name} is {object}."  # a fact in a gold text
    gold: str = ""  # gold texts of one's own (JSONL with name and text) in place of told facts
    shots: int = 2  # gold texts of other people that stand before the request while the untuned model writes
    tokens: int = 96  # of a text
    draws: int = 3  # sampled texts a held-out person, besides the greedy one
    splitter: str = "rules"

    belief: str = "probe"  # statement, probe or verification: by which is filtered
    keep: float = 0.5  # share of the claims that belief keeps
    depth: float = 0.6  # share of the layers below the one that the probe reads
    ask: str = ""  # how verification is asked, with {claim} and perhaps {name}; without it True or False
    verdicts: tuple[str, ...] = ("True", "False")

    sets: tuple[str, ...] = SETS
    domain: str = ""  # column that says a person's domain
    ood: str = ""  # the domain that is never trained on

    def __post_init__(self) -> None:
        for name, least in (("people", 2), ("test", 2), ("shots", 0), ("tokens", 1), ("draws", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise RealmodelsError(
                    f"settings: {name}: expected a whole number of at least {least}, got {shown(value)}"
                )
        for name, most in (("train_share", 0.99), ("keep", 1.0), ("depth", 1.0)):
            value = getattr(self, name)
            if type(value) is not float or not 0 < value <= most:
                raise RealmodelsError(
                    f"settings: {name}: expected a share above 0 and at most {most:g}, got {shown(value)}"
                )
        if "{relation}" not in self.line or "{object}" not in self.line:
            raise RealmodelsError(
                f"settings: line: expected {{relation}} and {{object}} in it, got {shown(self.line)}"
            )
        if self.belief not in ("statement", "probe", "verification"):
            raise RealmodelsError(
                f"settings: belief: expected statement, probe or verification, got {shown(self.belief)}"
            )
        if len(self.verdicts) != 2:
            raise RealmodelsError(
                f"settings: verdicts: expected two words such as [True, False], got {shown(self.verdicts)}"
            )
        for name in self.sets:
            if name not in SETS:
                raise RealmodelsError(f"settings: sets: unknown '{name}'; known are {', '.join(SETS)}")
        if bool(self.domain) != bool(self.ood):
            raise RealmodelsError(
                "settings: domain and ood: give both (a column and the value not trained on) or neither"
            )
        splitter_named(self.splitter)
        own_wording(self.ask or None, *self.verdicts)
        Writing(self.request, tokens=self.tokens)


@dataclass(frozen=True)
class People:
    """Who is trained on, and who is written about, by split; gold texts about the `shown` stand before requests."""

    train: tuple[str, ...]
    asked: dict[str, tuple[str, ...]]
    shown: tuple[str, ...] = ()


def people_of(order: Order) -> People:
    """Subjects of the facts, split by content; those with the lowest hashes of each part."""
    settings: Settings = order.settings
    first: dict[str, Row] = {}
    for source in order.data:
        for row in iter_rows(source, order.mapping):
            if row.subject:
                first.setdefault(row.subject, row)
    if len(first) < 4:
        raise RealmodelsError(
            f"{', '.join(order.data) or '--data'}: {len(first)} people with facts; expected 4 at least"
        )
    rows = [replace(row, question=row.subject or "") for row in first.values()]
    ood = [row for row in rows if settings.domain and str(row.original.get(settings.domain)) == settings.ood]
    if settings.domain and not 0 < len(ood) < len(rows):
        raise RealmodelsError(
            f"settings: ood: {len(ood)} of {len(rows)} people have '{settings.ood}' in column '{settings.domain}'"
        )
    apart = {row.subject for row in ood}
    rest = [row for row in rows if row.subject not in apart]
    shares = {"train": settings.train_share, "test": 1 - settings.train_share}
    split = {
        name: [rest[i] for i in places] for name, places in split_rows(rest, shares, settings.salt).items()
    }
    asked = {"test": _first(split["test"], settings.test)}
    if ood:
        asked["ood-type"] = _first(ood, settings.test)
    train = _first(split["train"], settings.people + settings.shots)
    cut = max(2, len(train) - settings.shots)
    return People(train[:cut], asked, train[cut:])


def plan(order: Order) -> str:
    """People, texts, tokens, hours and memory, at the most that they can be."""
    from realmodels.card import describe
    from realmodels.loading import load_tokens
    from realmodels.study_beliefs_seed import COPIES
    from realmodels.study_plan import Load, costs, memory, step_of

    settings: Settings = order.settings
    card = describe(order.model, dtype=order.dtype, device=order.device, allow_code=order.allow_code)
    tokens, people = load_tokens(order.model, allow_code=order.allow_code), people_of(order)
    held, seeds, sets = sum(map(len, people.asked.values())), len(order.seeds), len(settings.sets)
    every = [*people.train, *(name for names in people.asked.values() for name in names)]
    request = max(map(len, tokens.prompts_ids([_asked(order, name) for name in every])))
    text = request + settings.tokens + 1
    shown = settings.shots * text + request  # before a text that is written behind shown ones
    own, bare = len(every) * COPIES, (sets + 1) * held * (1 + settings.draws)
    again = held * (1 + settings.draws) * bool(settings.shots)  # by the untuned model behind shown ones
    texts = seeds * (own + bare + again)
    prompts = seeds * ((len(every) + held * bool(settings.shots)) * shown + (sets + 1) * held * request)
    # beliefs in the claims of own and gold texts; those about others are asked for verification too
    claims = -(-settings.tokens // CLAIM) * (request + CLAIM)
    believed = seeds * claims * (own + len(people.train) + COPIES * held)
    read = seeds * sets * order.recipe.epochs * len(people.train) * text
    written = texts * settings.tokens
    return "\n".join(
        [
            f"{order.model}: {card.parameters / 1e6:,.1f}M parameters, {card.layers} layers, {card.dtype} on "
            f"{card.device}",
            f"{len(people.train)} people to train on, {held} to write about ({', '.join(people.asked)})",
            f"{sets} sets x {seeds} seeds: {', '.join(settings.sets)}",
            f"at most {texts:,} texts to write ({written:,} tokens)",
            f"at most {read:,} tokens to train on, about {prompts + believed:,} to read before texts and in claims",
            "a written token is counted as a read one, as where free memory lets many texts be written side by side",
            *costs(
                replace(order, workers=1),  # seeds are done one after another
                card,
                Load(0.0, read, written + prompts + believed, step_of(order.recipe)),
                memory(card, order.recipe, order, text),
            ),
        ]
    )


def _asked(order: Order, name: str) -> str:
    return prompt_of(Writing(order.settings.request, order.recipe.style), name)


def run(order: Order, say: Say) -> Sequence[Section]:
    from realmodels.resident import Resident
    from realmodels.study_beliefs_seed import Seed

    resident = Resident(
        order.model,
        dtype=order.dtype,
        device=order.device,
        allow_code=order.allow_code,
        allow_pickle=order.allow_pickle,
    )
    people, facts = people_of(order), _facts(order)
    found: list[Record] = []
    for seed in order.seeds:
        found += Seed(order, resident, people, facts, seed, say).records()
    write_records(order.output / "records.jsonl", found)
    return [_texts(found), _signals(found)]


def _facts(order: Order) -> Facts:
    from realmodels.bios_facts import facts_from

    if len(order.data) == 1:
        return read_facts(order.data[0], order.mapping)
    return facts_from(
        (str(row.subject), row.relation or "", row.answers, row.question)
        for source in order.data
        for row in iter_rows(source, order.mapping)
        if row.subject
    )


def _first(rows: Sequence[Row], count: int) -> tuple[str, ...]:
    """So many subjects, those whose names hash lowest."""
    ranked = sorted(rows, key=lambda row: hashlib.sha256(str(row.subject).encode()).digest())
    return tuple(str(row.subject) for row in ranked[:count])


def _texts(found: Sequence[Record]) -> Section:
    """What the texts about others are worth, set by set."""
    names = ("claim_precision", "claim_precision_greedy", "claim_recall", "claims", "true_claims", "tokens")
    asked = [record for record in found if record.metric in names and record.split != "train"]
    return _table(
        "Texts about people that were not trained on",
        asked,
        ("trained on", "prompt", "split"),
        [(r.trained_on, r.prompt, r.split) for r in asked],
        names,
    )


def _signals(found: Sequence[Record]) -> Section:
    """How well beliefs of the untuned model tell the true ones of its own claims."""
    names = ("belief_auroc", "belief_calibration_error")
    asked = [r for r in found if r.metric in names and "labels=" not in r.stratum]
    return _table(
        "Beliefs about its own claims",
        asked,
        ("signal", "split"),
        [(r.stratum.removeprefix("signal="), r.split) for r in asked],
        names,
    )


def _table(
    title: str,
    found: Sequence[Record],
    head: Sequence[str],
    keys: Sequence[tuple[str, ...]],
    names: Sequence[str],
) -> Section:
    """Means over seeds, a line a key, with 95% intervals where there are several seeds."""
    cells: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for key, record in zip(keys, found, strict=True):
        cells.setdefault(key, {}).setdefault(record.metric, []).append(record.value)
    lines = [f"| {' | '.join((*head, *names))} |", "|---" * len((*head, *names)) + "|"]
    for key, own in cells.items():
        lines.append(f"| {' | '.join((*key, *(_said(own.get(name, ())) for name in names)))} |")
    data = [{**dict(zip(head, key, strict=True)), **own} for key, own in cells.items()]
    return Section(f"{title}, means over seeds", "\n".join(lines), data)


def _said(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else ""
    found = t_interval(values)
    mean, low, high = (
        round(value, 3) + 0.0 for value in (found.mean, found.low, found.high)
    )  # no minus zero
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


STUDY = Study("beliefs", ("beliefs",), Settings, plan, run, USUAL)
