"""How near test questions are to the rows of a training, in the eyes of the untuned model."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmodels.executor import spread
from realmodels.prompting import Style, render_question, style_named
from realmodels.study_arms import _load, train_dtype
from realmodels.study_table import Order, Say
from theory.files import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from realmodels.loading import Loaded
    from realmodels.study_facts import Facts

Array = NDArray[np.float64]
NAME = "embeddings.npz"
NEAREST = 10  # training rows whose mean cosine counts


def embeddings(order: Order, facts: Facts, say: Say) -> Array:
    """[rows, width] of every fact of the study; read again where they were made before."""
    keys, path = _keys(order, facts), order.output / NAME
    if (found := _kept(path, keys)) is not None:
        return found
    say(f"reading {len(facts.rows):,} questions to tell how near they are to each other")
    (found,) = spread(_embed, [(order, [row.question for row in facts.rows])], order.executor, say)
    with whole_file(path, "wb") as out:
        np.savez(out, found=found.astype(np.float32), key=np.array(keys[0]))
    return found.astype(np.float32).astype(np.float64)


def _embed(part: tuple[Order, list[str]]) -> Array:
    """Where arms are trained."""
    order, questions = part
    return embed(_load(order), style_named(order.recipe.style), questions)


def embed(loaded: Loaded, style: Style, questions: Sequence[str], batch: int | None = None) -> Array:
    """[questions, width] the mean last hidden state over the tokens of each question as it is asked."""
    import torch

    from realmodels.batching import in_batches, token_budget
    from realmodels.packing import pack
    from realmodels.prefix import Prefix, Reading, check_length
    from realmodels.wide import wide

    rows = [
        pack(ids, ()) for ids in loaded.tokens.prompts_ids([render_question(style, q) for q in questions])
    ]
    lengths, before = [len(row) for row in rows], len(loaded.tokens.bos)
    check_length(loaded, max(lengths))
    found = np.zeros((len(rows), loaded.model.config.get_text_config().hidden_size))

    def work(index: NDArray[np.int64]) -> Array:
        hidden = wide(Reading(loaded, Prefix((), (), 0), [rows[i] for i in index]).hidden)
        means = [one[before : len(rows[i])].mean(0) for one, i in zip(hidden, index, strict=True)]
        return torch.stack(means).cpu().numpy()

    for index, some in in_batches(lengths, work, token_budget(loaded, 0, max(lengths)), batch, loaded):
        found[index] = some
    return found


def similarity(rows: Array, facts: Array, nearest: int = NEAREST) -> Array:
    """(facts,) mean cosine with the `nearest` of the rows, the rows' mean taken out of both."""
    near, far = (x - rows.mean(0) for x in (rows, facts))
    near, far = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (near, far))
    return np.asarray(np.sort(far @ near.T, axis=1)[:, -nearest:].mean(1))


def quarters(values: ArrayLike) -> NDArray[np.str_]:
    """(n,) "1" farthest to "4" nearest, equally many in each up to one."""
    order = np.argsort(np.asarray(values, float), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return np.asarray((1 + 4 * place // max(1, len(order))).astype(str))


def _keys(order: Order, facts: Facts) -> tuple[str, ...]:
    """Today's, then those of earlier versions."""
    from realmodels.fingerprints import fingerprints

    rest = [train_dtype(order), order.recipe.style, [row.question for row in facts.rows]]
    said = (json.dumps([model, *rest]) for model in fingerprints(order.model))
    return tuple(hashlib.sha256(one.encode()).hexdigest()[:16] for one in said)


def _kept(path: Path, keys: Sequence[str]) -> Array | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as said:
            return said["found"].astype(np.float64) if str(said["key"]) in keys else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
