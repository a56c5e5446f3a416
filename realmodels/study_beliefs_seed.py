"""One seed of the study `beliefs`: the untuned model's texts and beliefs, then set by set an adapter and its texts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_beliefs import consistency
from realmodels.bios_facts import Facts
from realmodels.bios_files import Bio, read_bios, write_rows
from realmodels.bios_filter import train_rows
from realmodels.bios_probe import crossed
from realmodels.bios_prompts import own_wording
from realmodels.bios_score import read_all, verified
from realmodels.bios_split import splitter_named
from realmodels.bios_write import Writing, prompt_of, write_all
from realmodels.errors import RealmodelsError
from realmodels.prompting import render_answer, style_named
from realmodels.recipe import Recipe
from realmodels.study_beliefs_exam import by_labels, measured, probes, signals
from realmodels.study_beliefs_texts import Library, claimed, told, with_belief
from realmodels.study_records import BASE, LORA, Stamp
from realmodels.study_table import Order, Say
from theory.records import Record, read_records, write_records

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.resident import Resident
    from realmodels.study_beliefs import People, Settings

COPIES = 6  # texts that the untuned model writes about a person: a greedy one and others


@dataclass(eq=False)
class Seed:
    """The study under one seed: of what is drawn, of adapters and of orders. People are the same under every seed."""

    order: Order
    resident: Resident
    people: People
    facts: Facts
    seed: int
    say: Say

    @cached_property
    def settings(self) -> Settings:
        return self.order.settings

    @cached_property
    def recipe(self) -> Recipe:
        return replace(self.order.recipe, seed=self.seed, steps=None)

    @cached_property
    def stamp(self) -> Stamp:
        return Stamp(self.order.lab, "beliefs", self.order.output.resolve().name, self.seed, LORA)

    @cached_property
    def folder(self) -> Path:
        """Of what was written and read, which Parts finds again by content."""
        return self.order.output / "beliefs" / f"seed-{self.seed}"

    @property
    def base(self) -> Loaded:
        return self.resident.base()

    def records(self) -> list[Record]:
        """Those of the untuned model, then set by set."""
        self.say(f"seed {self.seed}: the untuned model")
        found = self._part("base", self._of_base)
        for name in self.settings.sets:
            found += self._part(name, partial(self._of_set, name))
        return found

    @cached_property
    def library(self) -> Library:
        """Texts about the training people, with beliefs."""
        own = self._claims(self._written(self.base, self.people.train, COPIES - 1, shots=True))
        if not any(bio.stated for bio in own):
            raise RealmodelsError(
                f"{self.order.model}: its own texts make no claim; change request, shots or splitter (--set)"
            )
        gold = self._claims(self._gold(self.people.train))
        values = self._belief(own, gold)
        cut = sum(len(bio.stated) for bio in own)
        return Library(
            with_belief(gold, values[cut:]), with_belief(own, values[:cut]), self.settings.keep, self.seed
        )

    def _of_base(self) -> Iterator[Record]:
        stamp = replace(self.stamp, arm=BASE)
        own = self._claims(self._written(self.base, self.people.train, COPIES - 1, shots=True))
        labels = [claim.support is True for bio in own for claim in bio.stated]
        fitted = probes(self._read(own)[1], labels, self.seed)
        for split, names in self.people.asked.items():
            yield from measured(stamp, split, self._claims(self._written(self.base, names)), self.facts)
            if self.settings.shots:
                few = replace(stamp, prompt=f"few:{self.settings.shots}")
                shown = self._claims(self._written(self.base, names, shots=True))
                yield from measured(few, split, shown, self.facts)
            texts = self._claims(self._written(self.base, names, COPIES - 1, shots=bool(self.settings.shots)))
            true = [claim.support is True for bio in texts for claim in bio.stated]
            if not true:
                continue
            chance, states = self._read(texts)
            by_size = {size: probe(states).tolist() for size, probe in fitted.items()}
            said = [value for own in consistency(texts) for value in own]
            beliefs: dict[str, Sequence[float]] = {"statement": chance, "consistency": said}
            if by_size:
                beliefs["probe"] = by_size[max(by_size)]
            if (asked := self._verified(texts)) is not None:
                beliefs["verification"] = asked
            yield from signals(stamp, split, beliefs, true)
            yield from by_labels(stamp, split, by_size, true)

    def _of_set(self, name: str) -> Iterator[Record]:
        """Tune on these texts until as many tokens are read as `generated` has in its epochs; write about others."""
        from realmodels.fingerprints import leave_word
        from realmodels.resident import Tuned
        from realmodels.train_loop import drop_checkpoint, train_adapter
        from realmodels.train_rows import read_train
        from realmodels.train_watch import Label, Watch

        texts = self.library.texts(name)
        rows, budget = train_rows(texts), self.recipe.epochs * self._tokens(self.library.texts("generated"))
        if not rows:
            self.say(f"seed {self.seed}: {name} has no text left and is not trained on")
            return
        key = self._key(name)
        folder = (self.order.shared or self.order.output / "beliefs" / "arms") / key
        write_rows(folder / "rows.jsonl", rows)
        data = read_train(folder / "rows.jsonl", self.base.tokens, style_named(self.recipe.style))
        an_epoch = -(-len(data) // self.recipe.batch)
        steps = max(1, round(budget * an_epoch / sum(map(len, data.items))))
        recipe = replace(self.recipe, steps=steps)
        label = Label(self.order.lab, self.stamp.run, self.seed, name)
        watch = Watch(folder / "records.jsonl", label, recipe, lambda text: None)
        end = train_adapter(self.base, data, recipe, folder, key, watch)
        drop_checkpoint(folder)
        self.say(
            f"seed {self.seed}: {name}: {len(rows)} texts, {steps} steps, loss {end.seen['last_loss']:.3f}"
        )
        stamp = replace(self.stamp, trained_on=name, step=steps)
        yield from measured(stamp, "train", [replace(bio, draw=1) for bio in texts if bio.stated], self.facts)
        yield stamp.record("train", "all", "tokens_read", float(end.seen["real_tokens"]), 1)
        with self.resident.wearing(Tuned(name, str(folder), key)) as tuned:
            for split, names in self.people.asked.items():
                yield from measured(stamp, split, self._claims(self._written(tuned, names)), self.facts)
        if self.order.keep_adapters:
            leave_word(folder, self.base, name, recipe, steps)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _written(
        self, loaded: Loaded, names: Sequence[str], samples: int | None = None, *, shots: bool = False
    ) -> tuple[Bio, ...]:
        """Texts by this model; their prompt is the bare request, whatever stood before it."""
        settings = self.settings
        how = Writing(
            settings.request,
            self.recipe.style,
            self._shown() if shots else (),
            settings.draws if samples is None else samples,
            tokens=settings.tokens,
            seed=self.seed,
        )
        found = write_all(loaded, names, how, self.folder, say=False)
        return tuple(replace(bio, prompt=self._prompt(bio.name)) for bio in found)

    def _shown(self) -> tuple[str, ...]:
        """Gold texts about people who are neither trained on nor written about: nobody copies what is told of them."""
        some = self._gold(self.people.shown)
        return tuple(f"{bio.prompt}{render_answer(bio.text)}\n\n" for bio in some)

    def _gold(self, names: Sequence[str]) -> tuple[Bio, ...]:
        prompts = {name: self._prompt(name) for name in names}
        if not self.settings.gold:
            return told(names, self.facts, self.settings.line, prompts, self.seed)
        texts = {bio.name: bio for bio in read_bios(self.settings.gold)}
        if missing := [name for name in names if name not in texts]:
            raise RealmodelsError(
                f"{self.settings.gold}: has no text about {missing[0]} ({len(missing)} people in all)"
            )
        return tuple(replace(texts[name], id=f"{name}#gold", prompt=prompts[name]) for name in names)

    def _prompt(self, name: str) -> str:
        return prompt_of(Writing(self.settings.request, self.recipe.style), name)

    def _claims(self, bios: Sequence[Bio]) -> tuple[Bio, ...]:
        return claimed(bios, splitter_named(self.settings.splitter), self.facts)

    def _read(self, bios: Sequence[Bio]) -> tuple[list[float], NDArray[np.float64]]:
        """Chance and hidden state of every claim, to the untuned model."""
        from realmodels.bios_beliefs import layer_of

        base = self.base
        chance, states = read_all(
            lambda: base,
            base.fingerprint + base.dtype,
            bios,
            layer_of(base, self.settings.depth),
            self.folder,
        )
        return chance, states.astype(np.float64)

    def _verified(self, bios: Sequence[Bio]) -> list[float] | None:
        base, wording = self.base, own_wording(self.settings.ask or None, *self.settings.verdicts)
        try:
            return verified(lambda: base, base.fingerprint + base.dtype, bios, self.folder, wording=wording)
        except RealmodelsError as wrong:
            self.say(f"verification left out: {wrong}")
            return None

    def _belief(self, own: Sequence[Bio], gold: Sequence[Bio]) -> NDArray[np.float64]:
        """By the chosen signal, of all claims; a probe sees verdicts on the model's own claims about other people."""
        both = [*own, *gold]
        if self.settings.belief == "verification":
            found = self._verified(both)
            if found is None:
                raise RealmodelsError(
                    "settings: belief: the model cannot be asked for verification; choose another"
                )
            return np.array(found)
        chance, states = self._read(both)
        if self.settings.belief == "statement":
            return np.array(chance)
        labels = [c.support is True for bio in own for c in bio.stated] + [
            None for b in gold for _ in b.stated
        ]
        return crossed(states, labels, [bio.name for bio in both for _ in bio.stated])[0]

    def _tokens(self, texts: Sequence[Bio]) -> int:
        """That a pass over these texts reads."""
        tokens = self.base.tokens
        return sum(
            len(tokens.prompt_ids(row["prompt"])) + len(tokens.answer_ids(row["completion"])) + 1
            for row in train_rows(texts)
        )

    def _part(self, name: str, make: Callable[[], Iterator[Record]]) -> list[Record]:
        """Records that are kept when they are whole."""
        path = self.order.output / "beliefs" / "parts" / f"{self._key(name)}.jsonl"
        if not path.exists():
            write_records(path, make())
        return list(read_records(path).records()) if path.stat().st_size else []

    def _key(self, name: str) -> str:
        """Of all that decides the records of a set."""
        said = {
            "settings": {k: v for k, v in asdict(self.settings).items() if k != "sets"},
            "recipe": asdict(self.recipe),
            "model": self.base.fingerprint,
            "dtype": self.base.dtype,
            "people": [self.people.train, self.people.asked, self.people.shown],
            "facts": [
                [n, [(f.relation, f.objects) for f in own]] for n, own in sorted(self.facts.of.items())
            ],
            "gold": Path(self.settings.gold).read_text(encoding="utf-8") if self.settings.gold else "",
            "stamp": [self.stamp.lab, self.stamp.run, self.seed, name],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]
