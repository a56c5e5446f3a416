"""`bios`: long form. Write biographies, split them into claims, score and filter these; the scorer against people."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Flag = tyro.conf.FlagCreatePairsOff[bool]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Write:
    """Let a model write about people; what is finished is not written again."""

    model: str
    """A folder, a .gguf file or a hub name."""
    people: str
    """A text file with a name a line, FActScore's labelled .jsonl, or rows with subjects."""
    output_dir: Out
    """Folder for bios.jsonl."""
    adapter: str | None = None
    """A PEFT adapter on top of the model."""
    request: str = "Tell me a bio of {name}."
    style: str = "qa"
    """How the request is worded: qa, plain or sentence."""
    shown: Path | None = None
    """Biographies to show before the request (JSONL with name and text)."""
    shots: int = 2
    """How many of these."""
    samples: int = 0
    """Sampled texts a person, besides the greedy one."""
    temperature: float = 1.0
    top_k: int = 0
    """Tokens that sampling chooses from; 0: all."""
    tokens: int = 128
    """Most tokens of a text."""
    sentences: int = 0
    """Most sentences of a text; 0: as they come."""
    unfinished: Flag = False
    """Keep a last sentence that the limit of tokens cut off."""
    limit: int | None = None
    """Only the first people."""
    seed: int = 0
    batch: int | None = None
    dtype: Dtype = "auto"
    device: str = "auto"
    allow_code: Flag = False
    allow_pickle: Flag = False

    def run(self) -> int:
        from realmodels.bios_files import names_in, write_bios
        from realmodels.bios_write import Writing, read_shown, write_all
        from realmodels.checks import at_least, check_folder
        from realmodels.loading import load

        at_least(self, limit=1, batch=1, shots=1)
        folder = check_folder(self.output_dir)
        names = names_in(self.people)[: self.limit]
        shown = () if self.shown is None else read_shown(self.shown, self.request, self.style, self.shots)
        writing = Writing(
            self.request,
            self.style,
            shown,
            self.samples,
            self.temperature,
            self.top_k,
            self.tokens,
            self.sentences,
            not self.unfinished,
            self.seed,
        )
        loaded = load(
            self.model,
            adapter=self.adapter,
            dtype=self.dtype,
            device=self.device,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
        )
        bios = write_all(loaded, names, writing, folder, batch=self.batch)
        write_bios(folder / "bios.jsonl", bios)
        ended = sum(bool(bio.original["finished"]) for bio in bios) / len(bios)
        words = sum(len(bio.text.split()) for bio in bios) / len(bios)
        print(
            f"{len(bios)} texts about {len(names)} people, {words:.1f} words each, {ended:.0%} came to an end"
        )
        print(f"wrote {folder / 'bios.jsonl'}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Split:
    """Split biographies into atomic claims, by rules that need no second model."""

    data: str
    """What `bios write` wrote, any JSONL with name and text, or FActScore's labelled .jsonl."""
    output: Out
    """JSONL file: the same texts with their claims."""
    splitter: str = "rules"
    """rules, sentences, lines (full stops with a space before them), or MODULE:FUNCTION of a text and a name."""

    def run(self) -> int:
        from realmodels.bios_files import Stated, read_bios, with_claims, write_bios
        from realmodels.bios_split import splitter_named

        cut = splitter_named(self.splitter)
        bios = [
            with_claims(bio, [Stated(c.text, c.sentence) for c in cut(bio.text, bio.name)])
            for bio in read_bios(self.data)
        ]
        write_bios(self.output, bios)
        claims = sum(len(bio.stated) for bio in bios)
        empty = sum(not bio.stated for bio in bios)
        print(
            f"{len(bios)} texts, {claims} claims, {claims / len(bios):.1f} a text; {empty} texts without a claim"
        )
        print(f"wrote {self.output}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Score:
    """Say which claims are supported, by a table of facts and then by a judge, and what a model believes of them."""

    data: str
    """What `bios split` wrote."""
    output_dir: Out
    """Folder for scored.jsonl and summary.json."""
    facts: str | None = None
    """Rows of subject, relation and object, or any data that `audit` reads whose rows have a subject."""
    map: tuple[str, ...] = ()
    """Columns of other names in the facts, such as subject=person."""
    matcher: str = "words"
    """When a claim names an object: words (whole words in SQuAD's form), or a matcher such as contains."""
    judge: str | None = None
    """A causal model that judges what the facts leave open."""
    passages: str | None = None
    """What the judge reads (JSONL with name and text); without it, it answers from memory."""
    judge_threshold: float = 0.0
    """Log-odds of True against False from which a claim counts as supported."""
    model: str | None = None
    """The model whose beliefs are wanted."""
    adapter: str | None = None
    """A PEFT adapter on top of that model."""
    signals: tuple[Literal["statement", "verification", "consistency", "probe"], ...] = (
        "statement",
        "consistency",
    )
    """Beliefs: statement, verification (P(True)), consistency, probe (cross-fitted by person on the support found)."""
    ask: str | None = None
    """How judge and verification are asked, with {claim} and, if wanted, {name} and {passage}."""
    yes: str = "True"
    no: str = "False"
    """The two answers to that."""
    depth: float = 0.6
    """Share of the layers below the one that the probe reads."""
    batch: int | None = None
    dtype: Dtype = "auto"
    device: str = "auto"
    allow_code: Flag = False
    allow_pickle: Flag = False
    json: Flag = False
    """Print the summary as JSON."""

    def run(self) -> int:
        import json

        from realmodels import bios_score as score
        from realmodels.bios_beliefs import consistency
        from realmodels.bios_facts import read_facts
        from realmodels.bios_files import read_bios, write_bios
        from realmodels.bios_prompts import own_wording
        from realmodels.bios_report import render_scores
        from realmodels.checks import check_folder, column_map
        from realmodels.errors import RealmodelsError
        from theory.files import write_whole

        self._check()
        folder = check_folder(self.output_dir)
        wording = own_wording(self.ask, self.yes, self.no)
        bios = read_bios(self.data, claims=True)
        facts = None if self.facts is None else read_facts(self.facts, column_map(self.map), self.matcher)
        passages = None if self.passages is None else score.read_passages(self.passages)
        if facts:
            bios = score.supported(bios, facts)
        if self.judge:
            opened, mark = self._opened(self.judge, None)
            asked = score.questions_of(bios, passages)
            odds = score.asked(opened, mark, asked, folder, self.batch, wording)
            bios = score.told_by_judge(bios, odds, passages, self.judge_threshold)
        beliefs: dict[str, list[float]] = {}
        labels = 0
        if self.model:
            if "consistency" in self.signals:
                beliefs["consistency"] = [value for own in consistency(bios) for value in own]
            opened, mark = self._opened(self.model, self.adapter)
            if {"statement", "probe"} & set(self.signals):
                from realmodels.bios_beliefs import layer_of

                loaded = opened()
                chance, states = score.read_all(
                    opened, mark, bios, layer_of(loaded, self.depth), folder, self.batch
                )
                if "statement" in self.signals:
                    beliefs["statement"] = chance
                if "probe" in self.signals:
                    beliefs["probe"], labels = score.probed(bios, states)
                    if not labels:
                        raise RealmodelsError(
                            "--signals probe: no claim has a verdict to learn from; give --facts or --judge"
                        )
            if "verification" in self.signals:
                beliefs["verification"] = score.verified(opened, mark, bios, folder, self.batch, wording)
            bios = score.believed(bios, beliefs)
        write_bios(folder / "scored.jsonl", bios)
        summary = {**score.summaries(bios, facts), **({"probe_labels": labels} if labels else {})}
        write_whole(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
        print(json.dumps(summary) if self.json else render_scores(summary))
        print(f"wrote {folder / 'scored.jsonl'}", file=sys.stderr)
        return 0

    def _check(self) -> None:
        from realmodels.checks import at_least
        from realmodels.errors import RealmodelsError

        at_least(self, batch=1)
        if not (self.facts or self.judge or self.model):
            raise RealmodelsError("bios score: nothing to score by; give --facts, --judge or --model")
        if self.passages and not self.judge:
            raise RealmodelsError("--passages: they are for a judge; add --judge MODEL")
        if self.adapter and not self.model:
            raise RealmodelsError("--adapter: it is for a model; add --model MODEL")
        if not 0 < self.depth <= 1:
            raise RealmodelsError(f"--depth: expected a number above 0 and at most 1, got {self.depth}")

    def _opened(self, name: str, adapter: str | None) -> tuple[Any, str]:
        """A model that is opened when it is first needed, and what its answers are kept under."""
        from functools import lru_cache

        from realmodels.loading import _fingerprint, load, pick_dtype
        from realmodels.places import find

        dtype = pick_dtype(self.dtype, self.device)
        place = find(name)
        place.check_weights(self.allow_pickle)

        @lru_cache(maxsize=1)
        def opened() -> Loaded:
            return load(
                name,
                adapter=adapter,
                dtype=self.dtype,
                device=self.device,
                allow_code=self.allow_code,
                allow_pickle=self.allow_pickle,
            )

        return opened, f"{_fingerprint(place, adapter)} {dtype}"


@dataclass(frozen=True)
class Keep:
    """Drop claims by support, by belief or at random, and write rows that `train` reads, a file an arm."""

    data: str
    """What `bios score` wrote."""
    output_dir: Out
    """Folder for ARM.jsonl (prompt and completion) and manifest.json."""
    arms: str = "none,support"
    """none, support, belief:SIGNAL, two joined by +; random: as many claims of each text as the arm before it has."""
    level: Literal["claim", "sentence", "text"] = "claim"
    """What is kept: claims, sentences without a bad claim, or each person's best text."""
    threshold: float = 0.5
    """Beliefs above it are kept."""
    top: float | None = None
    """Keep this share of all claims by belief instead."""
    seed: int = 0
    """Of the random arm."""

    def run(self) -> int:
        import json

        from realmodels import bios_filter as filters
        from realmodels.bios_files import read_bios, write_rows
        from realmodels.checks import check_folder
        from realmodels.errors import RealmodelsError
        from theory.files import write_whole
        from theory.runs import command

        if self.top is not None and not 0 < self.top <= 1:
            raise RealmodelsError(f"--top: expected a share above 0 and at most 1, got {self.top}")
        folder = check_folder(self.output_dir)
        bios = read_bios(self.data, claims=True)
        rules = filters.read_rules(self.arms, filters.signals_in(bios))
        if any("support" in rule.parts for rule in rules) and not any(c.by for b in bios for c in b.stated):
            raise RealmodelsError(
                f"{self.data}: no claim has a verdict; run bios score with --facts or --judge first"
            )
        kept: dict[str, Any] = {}
        for rule in rules:
            if rule.name != "random":
                kept[rule.name] = filters.kept_by(
                    bios, rule, level=self.level, threshold=self.threshold, top=self.top
                )
                continue
            if not kept or self.level != "claim":
                raise RealmodelsError(
                    "--arms random: it drops claims until as many are left as in the arm named before it; "
                    "name one before it, and use --level claim"
                )
            kept["random"] = filters.at_random(bios, list(kept.values())[-1], self.seed)
        manifest = filters.manifest_of(kept, self.level)
        for name, texts in kept.items():
            write_rows(folder / f"{name.replace(':', '-')}.jsonl", filters.train_rows(texts, self.level))
        about = {"command": command(), "data": self.data, "level": self.level, "arms": manifest}
        write_whole(folder / "manifest.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
        print(f"{'arm':<24} {'texts':>7} {'claims':>8} {'words':>8} {'supported':>10}")
        for name, own in manifest.items():
            share = own["supported_of_judged"]
            print(
                f"{name:<24} {own['texts']:>7} {own['claims']:>8} {own['words']:>8} "
                f"{'' if share is None else f'{share:.3f}':>10}"
            )
        if empty := [name for name, own in manifest.items() if not own["texts"]]:
            print(f"warning: nothing is left in {', '.join(empty)}", file=sys.stderr)
        print(f"wrote {folder}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Agree:
    """Hold the scorer against FActScore's human labels: claims, support, and the order of the systems."""

    data: str
    """Folder of labelled .jsonl files, one a system."""
    people: Literal["held-out", "development", "all"] = "held-out"
    """The rules were written on the development third."""
    splitter: str = "rules"
    judge: str | None = None
    """A causal model to judge a small sample of people's claims, from memory and reading what the other systems said
    rightly."""
    sample: int = 60
    """Claims a system for the judge, half of them supported."""
    output_dir: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PATH")] = None
    """Folder for agreement.json and the judge's answers; a judge needs one."""
    batch: int | None = None
    dtype: Dtype = "auto"
    device: str = "auto"
    json: Flag = False
    """Print as JSON."""

    def run(self) -> int:
        import json
        from dataclasses import asdict, replace

        from realmodels import bios_agree as agree
        from realmodels.bios_report import render_agreement
        from realmodels.bios_split import splitter_named
        from realmodels.checks import at_least, check_folder
        from realmodels.errors import RealmodelsError
        from theory.files import write_whole

        at_least(self, batch=1, sample=2)
        if self.judge and self.output_dir is None:
            raise RealmodelsError("--judge: its answers are kept in a folder; add --output-dir PATH")
        folder = None if self.output_dir is None else check_folder(self.output_dir)
        bios = agree.read_labelled(self.data)
        found = agree.compare(bios, splitter_named(self.splitter), self.people)
        if self.judge and folder is not None:
            told = self._judged(bios, folder)
            found = replace(found, agreements=(*found.agreements, *told))
        said = json.dumps(asdict(found), indent=1, ensure_ascii=False, allow_nan=True)
        if folder is not None:
            write_whole(folder / "agreement.json", said + "\n")
            print(f"wrote {folder / 'agreement.json'}", file=sys.stderr)
        print(said if self.json else render_agreement(found))
        return 0

    def _judged(self, bios: Any, folder: Path) -> list[Any]:
        from realmodels import bios_agree as agree
        from realmodels.bios_score import asked

        opened, mark = Score("", folder, judge=self.judge, dtype=self.dtype, device=self.device)._opened(
            str(self.judge), None
        )
        test, found = agree.in_part(bios, self.people), []
        for reading in (False, True):
            name = "judge, reading the other systems' supported claims" if reading else "judge, from memory"
            chosen = agree.sample(test, self.sample, reading, bios)
            odds = asked(opened, mark, [question for _, question, _ in chosen], folder, self.batch)
            found.append(
                agree.agreement_of_sample(name, chosen, [odds[asked_for] for _, asked_for, _ in chosen])
            )
        return found


Do = (
    Annotated[Write, tyro.conf.subcommand("write")]
    | Annotated[Split, tyro.conf.subcommand("split")]
    | Annotated[Score, tyro.conf.subcommand("score")]
    | Annotated[Keep, tyro.conf.subcommand("filter")]
    | Annotated[Agree, tyro.conf.subcommand("agree")]
)


@dataclass(frozen=True)
class Bios:
    """Long form: write biographies, split them into claims, score and filter these; or test the scorer on people."""

    do: Do

    def run(self) -> int:
        return self.do.run()
