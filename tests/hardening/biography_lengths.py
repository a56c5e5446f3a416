"""How many claims the biographies have that the laboratory's network reads before it is tuned.

    python tests/hardening/biography_lengths.py [--profile full] [--rung R2-2layer] [--seeds 120]

A line a seed: biographies, those with 1, 2, ... claims, claims on average, and how many share a document.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthetic.base import vocabulary_of
from synthetic.documents import write_documents
from synthetic.profiles import DEFAULT_RUNG
from synthetic.setup import Setup, setup_for
from theory.world import make_world

Ints = NDArray[np.int64]


def lengths(setup: Setup, seed: int) -> tuple[Ints, int]:
    """Of each biography in the text of this seed its claims; and the number of those in documents about several."""
    world = make_world(setup.world, seed)
    vocabulary = vocabulary_of(setup, world)
    told = write_documents(world, setup.text, vocabulary, seed)
    head, end = (vocabulary.ids[word] for word in (setup.text.biography_head.split()[0], setup.text.end))
    heads = np.add.reduceat(told.tokens == head, told.offsets[:-1])
    about = told.tokens[told.offsets[:-1] + 1] == head  # behind the begin
    starts = np.flatnonzero((told.tokens == head) & np.repeat(about, told.lengths))
    edges = np.unique(np.concatenate([starts, told.offsets]))  # of biographies, and of other documents
    claims = np.add.reduceat(told.tokens == end, edges[:-1])[np.searchsorted(edges, starts)]
    return claims, int(heads[about & (heads > 1)].sum())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="full")
    parser.add_argument("--rung", default=DEFAULT_RUNG)
    parser.add_argument("--seeds", type=int, nargs="+", default=[120])
    asked = parser.parse_args(arguments)
    for seed in asked.seeds:
        claims, several = lengths(setup_for(asked.profile, asked.rung), seed)
        said = ", ".join(f"{count:,} with {k}" for k, count in enumerate(np.bincount(claims)[1:].tolist(), 1))
        print(
            f"{len(claims):,} biographies: {said}; {claims.mean():.2f} claims each; {several} share a document"
        )


if __name__ == "__main__":
    main()
