"""The commands of this room. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from theory.command import Command

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]


@dataclass(frozen=True)
class Run:
    """Run studies over rungs and seeds; what is finished is not done again. Exits 1 if some of it failed."""

    profile: tyro.conf.Positional[str]
    """quick (3 seeds), full (10 seeds) or paper (20 seeds, all rungs of the ladder)."""
    studies: tuple[str, ...] = ()
    """Which studies; all of them if none is named."""
    rungs: tuple[str, ...] = ()
    """Which rungs of the ladder, such as R1-mlp R2-2layer; those of the profile if none is named."""
    seeds: tuple[int, ...] = ()
    """How many (one number below 100; from 100 on for quick, 2100 for full, 3000 for paper), or the seeds
    themselves, such as 4000 4001. Of those from 100 to 139 some have been looked at."""
    setup: Path | None = None
    """A TOML or JSON file with fields of the setup to change, such as `[world] subjects = 300`."""
    workers: int = 2
    """Processes of one thread; the records do not depend on it."""
    output: Out = Path("runs")
    """Folder of the run folders."""
    dry_run: bool = False
    """Say what would be done, how long it would take and how much memory; write nothing."""

    def run(self) -> int:
        from synthetic.dry_run import describe
        from synthetic.lab import run_lab
        from synthetic.plan import make_plan, read_changes
        from synthetic.profiles import fit_workers

        changes = read_changes(self.setup) if self.setup else None
        plan = make_plan(self.profile, self.studies, self.rungs, self.seeds, changes)
        workers, remark = fit_workers(self.workers, plan.worker_mb)
        if remark:
            print(remark, file=sys.stderr)
        if self.dry_run:
            print(describe(plan, self.output, workers))
            return 0
        outcome = run_lab(plan, self.output, workers)
        if outcome.board is not None:
            print(outcome.board.to_text())
        for path in (*outcome.boards, *outcome.records):
            print(f"wrote {path}", file=sys.stderr)
        return outcome.exit_code


@dataclass(frozen=True)
class Summarise:
    """Keep what run folders say in a few small files: verdicts, what each seed said, and where it comes from."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, such as runs/salience-0a1b2c3d4e."""
    output: Out
    """Folder to write to."""

    def run(self) -> int:
        from synthetic.summary import summarise

        for path in summarise(self.folders, self.output):
            print(f"wrote {path}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Graph:
    """Write the facts of one relation as a graph to draw: which edges each network extracts, alone and with a prompt.
    Base and tunings are taken from the cache of earlier runs where they are there."""

    profile: tyro.conf.Positional[str] = "full"
    """quick, full or paper: how large the world is."""
    seed: int = 100
    """Of the world, the base and the tunings."""
    relation: str = ""
    """Number or name; the first relation that rows are about if none is named."""
    prompt: str = "few:4"
    """The prompt beside the bare question, such as few:4, few-wrong:4 or cot."""
    rung: str = "R2-2layer"
    """The network, such as R1-mlp."""
    setup: Path | None = None
    """A TOML or JSON file with fields of the setup to change, such as `[world] subjects = 300`."""
    cache: Path = Path("runs/cache")
    """Where bases and tunings are kept; `run` keeps them in the folder `cache` of its output."""
    output: Out = Path("graph.json")
    """File to write."""

    def run(self) -> int:
        from dataclasses import asdict

        from synthetic.graph_picture import write_graph
        from synthetic.lab import in_use
        from synthetic.plan import merged, read_changes
        from synthetic.setup import setup_for, setup_from

        setup = setup_for(self.profile, self.rung)
        if self.setup:
            setup = setup_from(merged(asdict(setup), read_changes(self.setup)))
        with in_use(self.cache):
            found = write_graph(
                self.output,
                setup,
                self.seed,
                self.cache,
                relation=self.relation,
                prompt=self.prompt,
                progress="reading",
            )
        counts = found["counts"]
        print(
            f"{self.output}: {found['relation_name']}, {len(found['edges'])} edges, {counts['edges']} held out"
        )
        for network, extracted in counts["extracted"].items():
            told = ", ".join(f"{prompt} {number}" for prompt, number in extracted.items())
            print(f"  {network} extracts {told}")
        return 0


@dataclass(frozen=True)
class MakePocket:
    """Make a pocket model: a tiny real Llama that has read a made-up world, as a folder that transformers opens."""

    folder: tyro.conf.Positional[Path]
    """Where to write it."""
    seed: int = 0
    """Of the world, the documents, the first weights and the order of reading."""
    world: Path | None = None
    """A TOML file with the knobs of the world (such as `subjects = 300`)."""
    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 384
    """Width of the MLP."""
    epochs: int = 1
    """How often every document is read."""
    rate: float = 3e-3
    """The highest learning rate."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of matrix products; auto takes bfloat16 where the processor has it."""
    overwrite: bool = False
    """Replace what the folder holds."""

    def run(self) -> int:
        from synthetic.pocket import PocketSpec, make_pocket
        from theory.world import read_spec

        spec = PocketSpec()
        spec = replace(
            spec,
            world=read_spec(self.world) if self.world else spec.world,
            llama=replace(
                spec.llama,
                width=self.width,
                layers=self.layers,
                heads=self.heads,
                kv_heads=self.kv_heads,
                hidden=self.hidden,
            ),
            train=replace(spec.train, epochs=self.epochs, rate=self.rate, precision=self.precision),
        )
        say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
        pocket = make_pocket(self.folder, self.seed, spec, overwrite=self.overwrite, progress=True, say=say)
        print(f"{self.folder}: {pocket.llama.parameters:,} parameters, {len(pocket.vocabulary):,} words")
        for name, value in pocket.scores.items():
            print(f"  right on {name}: {value:.1%}")
        return 0


@dataclass(frozen=True)
class Probe:
    """Sort the facts of a pocket model by how well it knows them (SliCK), from exact probabilities."""

    folder: tyro.conf.Positional[Path]
    """A pocket model."""
    prompts: int = 10
    """Few-shot prompts for every fact."""
    shots: int = 4
    """Answered questions in each."""
    seed: int = 0
    """Of the examples that are shown; facts that are shown are not probed."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Also write every fact with its probabilities and category, as JSON lines."""

    def run(self) -> int:
        from synthetic.facts import fact_rows, know
        from synthetic.pocket import load_pocket
        from theory.files import write_whole

        pocket = load_pocket(self.folder)
        known = know(pocket, prompts=self.prompts, shots=self.shots, seed=self.seed, progress="asking")
        if self.output:
            rows = fact_rows(pocket, known)
            write_whole(self.output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(known.describe(pocket.world))
        return 0


@dataclass(frozen=True)
class Ask:
    """Let a pocket model go on from a text, such as "question <relation> of <subject> ? answer"."""

    folder: tyro.conf.Positional[Path]
    """A pocket model."""
    text: tyro.conf.Positional[str]
    """Words with spaces between them, punctuation too."""
    temperature: float = 0.0
    """0 takes the likeliest word."""
    top_k: int = 0
    """Draw among so many words; 0 draws among all."""
    draws: int = 1
    """How many continuations."""
    most: int = 12
    """Words at most."""
    seed: int = 0

    def run(self) -> int:
        from synthetic.export import load_model
        from synthetic.generate import generate

        weights, llama, vocabulary, _ = load_model(self.folder)
        said = generate(
            weights,
            llama,
            [[vocabulary.bos, *vocabulary.encode(self.text)]],
            most=self.most,
            stop=(vocabulary.eos,),
            temperature=self.temperature,
            top_k=self.top_k,
            draws=self.draws,
            seed=self.seed,
        )
        for tokens in said[0]:
            print(vocabulary.decode(token for token in tokens if token >= 0))
        return 0


COMMANDS: dict[str, type[Command]] = {
    "run": Run,
    "summarise": Summarise,
    "graph": Graph,
    "pocket": MakePocket,
    "probe": Probe,
    "ask": Ask,
}
