"""Does a model believe a claim? What it holds while it reads the claim behind the request, and how likely it finds it.

Signals: `statement` (chance of the claim, the geometric mean over its tokens), `verification` (P(True) when asked),
`consistency` (share of its other texts about the same person that say so too), `probe` (a line in hidden states).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from realmodels.batching import in_batches, token_budget
from realmodels.bios_cover import SAME, support_by
from realmodels.bios_files import Bio
from realmodels.prefix import body, check_length, logits
from realmodels.wide import wide

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Array = NDArray[np.float64]
SIGNALS = ("statement", "verification", "consistency", "probe")
DEPTH = 0.6  # share of the layers below the one that the probe reads


@dataclass(frozen=True)
class Read:
    """`logprob` of the claim's tokens, how many they are, and the hidden state at its last token."""

    logprob: float
    tokens: int
    state: NDArray[np.float32]

    @property
    def chance(self) -> float:
        return float(np.exp(self.logprob / self.tokens))


def layer_of(loaded: Loaded, depth: float = DEPTH) -> int:
    """The layer whose output is read, counted from 1."""
    layers = int(loaded.model.config.get_text_config().num_hidden_layers)
    return min(max(round(depth * layers), 1), layers)


def read_claims(
    loaded: Loaded, pairs: Sequence[tuple[str, str]], layer: int, batch: int | None = None
) -> list[Read]:
    """Each claim read behind its request (request, claim), in one pass."""
    tokens = loaded.tokens
    prompts = dict(zip(*_unique_prompts(loaded, [request for request, _ in pairs]), strict=True))
    rows = [(prompts[request], tokens.answer_ids(" " + claim)) for request, claim in pairs]
    lengths = [len(prompt) + len(claim) for prompt, claim in rows]
    if not rows:
        return []
    check_length(loaded, max(lengths))
    found: list[Any] = [None] * len(rows)

    def work(index: NDArray[np.int64]) -> list[Read]:
        return _read(loaded, [rows[i] for i in index], layer)

    for index, done in in_batches(lengths, work, token_budget(loaded, 0, max(lengths)), batch, loaded):
        for i, read in zip(index, done, strict=True):
            found[i] = read
    return found


def consistency(bios: Sequence[Bio], same: float = SAME) -> list[list[float]]:
    """Of every claim of every text, the share of the other texts about the person that state it; nan if there is no
    other text."""
    texts: dict[str, list[int]] = {}
    for i, bio in enumerate(bios):
        texts.setdefault(bio.name, []).append(i)
    found: list[list[float]] = []
    for i, bio in enumerate(bios):
        claims = [claim.text for claim in bio.stated]
        others = [j for j in texts[bio.name] if j != i]
        if not others or not claims:
            found.append([float("nan")] * len(claims))
            continue
        alike = [
            support_by(claims, [claim.text for claim in bios[j].stated], bio.name) >= same for j in others
        ]
        found.append([float(share) for share in np.mean(alike, axis=0)])
    return found


def _unique_prompts(loaded: Loaded, requests: Sequence[str]) -> tuple[list[str], list[tuple[int, ...]]]:
    once = list(dict.fromkeys(requests))
    return once, loaded.tokens.prompts_ids(once)


def _read(loaded: Loaded, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], layer: int) -> list[Read]:
    longest = max(len(prompt) + len(claim) for prompt, claim in rows)
    ids = torch.full((len(rows), longest), loaded.tokens.pad)
    seen = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, (prompt, claim) in enumerate(rows):
        ids[i, : len(prompt) + len(claim)] = torch.tensor([*prompt, *claim])
        seen[i, : len(prompt) + len(claim)] = 1
    device = loaded.model.device
    with torch.inference_mode():
        out = body(loaded.model)(
            input_ids=ids.to(device),
            attention_mask=seen.to(device),
            output_hidden_states=True,
            use_cache=False,
        )
    last = torch.tensor([len(prompt) + len(claim) - 1 for prompt, claim in rows], device=device)
    states = out.hidden_states[layer][torch.arange(len(rows), device=device), last].float().cpu().numpy()
    places = [(i, len(prompt) + k - 1) for i, (prompt, claim) in enumerate(rows) for k in range(len(claim))]
    index = torch.tensor(places, device=device)
    targets = torch.tensor([token for _, claim in rows for token in claim], device=device)
    said = np.zeros(len(places))
    for start in range(0, len(places), 256):
        some = index[start : start + 256]
        found = logits(loaded, out.last_hidden_state[some[:, 0], some[:, 1]]).log_softmax(-1)
        told = found.gather(1, targets[start : start + 256, None])[:, 0]
        said[start : start + 256] = wide(told).cpu().numpy()
    sums = np.bincount(index[:, 0].cpu().numpy(), weights=said, minlength=len(rows))
    return [
        Read(float(total), len(claim), state)
        for total, (_, claim), state in zip(sums, rows, states, strict=True)
    ]
