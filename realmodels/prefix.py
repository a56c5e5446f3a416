"""A prefix read once, and rows of tokens that go on from it, each seeing the prefix and its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from realmodels.errors import RealmodelsError
from realmodels.packing import Row

if TYPE_CHECKING:
    from realmodels.loading import Loaded


@dataclass(frozen=True)
class Prefix:
    """Keys and values [1, heads, tokens, width] of every layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    length: int


class PastLayer(CacheLayerMixin):
    """Keys and values of one layer for a batch of rows: the prefix, copied in once, then room for their own tokens."""

    is_sliding = False

    def __init__(self, keys: Tensor | None, values: Tensor | None, room: int) -> None:
        super().__init__()
        self.old, self.room = (keys, values), room
        self.used = 0 if keys is None else keys.shape[2]
        self.kept: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        for new, old in zip((key_states, value_states), self.old, strict=True):
            rows, heads, _, width = new.shape
            kept = new.new_empty(rows, heads, self.used + self.room, width)
            if old is not None:
                kept[:, :, : self.used] = old
            self.kept.append(kept)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.used = self.used, self.used + key_states.shape[2]
        for kept, new in zip(self.kept, (key_states, value_states), strict=True):
            kept[:, :, start : self.used] = new
        return self.kept[0][:, :, : self.used], self.kept[1][:, :, : self.used]

    def take(self, rows: Tensor, room: int) -> None:
        """Keep these rows, repeated where asked, with room for `room` more tokens."""
        for i, old in enumerate(self.kept):
            fresh = old.new_empty(len(rows), old.shape[1], self.used + room, old.shape[3])
            fresh[:, :, : self.used] = old[rows, :, : self.used]
            self.kept[i] = fresh

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.used + query_length, 0

    def get_seq_length(self) -> int:
        return self.used

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length  # its name in transformers 5.0


class Reading:
    """A batch of rows behind a prefix. `hidden` [rows, tokens, width] is what came out of the last read."""

    def __init__(self, loaded: Loaded, prefix: Prefix, rows: Sequence[Row]) -> None:
        self.loaded, self.model = loaded, loaded.model
        longest = max(map(len, rows))
        tokens = np.full((len(rows), longest), loaded.tokens.pad)
        places = np.zeros((len(rows), longest), np.int64)
        seen = np.zeros((len(rows), longest, prefix.length + longest), bool)
        seen[:, :, : prefix.length] = True
        seen[:, range(longest), range(prefix.length, prefix.length + longest)] = True  # padding sees itself
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row.tokens
            places[i, : len(row)] = row.depth
            seen[i, : len(row), prefix.length : prefix.length + len(row)] = row.seen
        layers = self.model.config.get_text_config().num_hidden_layers
        old = zip(prefix.keys, prefix.values, strict=True) if prefix.length else [(None, None)] * layers
        self.past = Cache(layers=[PastLayer(keys, values, longest) for keys, values in old])
        self.start = prefix.length
        self.seen = torch.from_numpy(seen)  # of the row's tokens: on the host, where rows are chosen
        self.hidden = self._read(
            torch.from_numpy(tokens), torch.from_numpy(places + prefix.length), self.seen
        )

    def follow(self, rows: Sequence[int], nodes: Sequence[int], depth: Sequence[int], room: int) -> None:
        """From now on, go on from these tokens of these rows; the next tokens stand at `depth` in their rows."""
        self.visible = self.seen[list(rows), list(nodes)]
        self.place = torch.tensor(list(depth)) + self.start
        self._take(torch.tensor(list(rows)), room)

    def keep(self, rows: Sequence[int], room: int) -> None:
        """Go on with these of the rows that are followed."""
        index = torch.tensor(list(rows))
        self.visible, self.place = self.visible[index], self.place[index]
        self._take(index, room)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Every row reads one token; hidden states [rows, width]."""
        own = torch.ones(len(self.visible), 1, dtype=torch.bool)
        self.visible = torch.cat([self.visible, own], dim=1)
        hidden = self._read(torch.tensor(list(tokens))[:, None], self.place[:, None], self.visible[:, None])
        self.place = self.place + 1
        return hidden[:, 0]

    def _take(self, rows: Tensor, room: int) -> None:
        for layer in cast("list[PastLayer]", self.past.layers):
            layer.take(rows.to(self.model.device), room)

    def _read(self, tokens: Tensor, places: Tensor, seen: Tensor) -> Tensor:
        device = self.model.device
        with torch.inference_mode():
            found = body(self.model)(
                input_ids=tokens.to(device),
                position_ids=places.to(device),
                attention_mask=_mask(self.model, seen[:, None].to(device)),
                past_key_values=self.past,
                use_cache=True,
            )
        return found.last_hidden_state


def run_prefix(loaded: Loaded, ids: Sequence[int]) -> Prefix:
    """Read a prefix, once, at batch 1."""
    if not ids:
        return Prefix((), (), 0)
    past = DynamicCache()
    with torch.inference_mode():
        body(loaded.model)(
            input_ids=torch.tensor([list(ids)], device=loaded.model.device),
            past_key_values=past,
            use_cache=True,
        )
    kept = [getattr(layer, "keys", None) for layer in past.layers]
    if len(kept) != loaded.model.config.get_text_config().num_hidden_layers or any(k is None for k in kept):
        raise RealmodelsError(
            f"{loaded.name}: keeps something else than keys and values of every layer, so its prefix cannot be shared; "
            "only attention models can be asked here"
        )
    layers: list[Any] = past.layers
    return Prefix(tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers), len(ids))


def body(model: Any) -> Any:
    """The network without its head."""
    return model.base_model


def logits(loaded: Loaded, hidden: Tensor) -> Tensor:
    """What the head makes of hidden states [n, width], in float32 [n, vocabulary]. In two dimensions: a frozen
    head that is given three copies its matrix for every row."""
    with torch.inference_mode():
        return head_logits(loaded.model, hidden)


def head_logits(model: Any, hidden: Tensor) -> Tensor:
    """The same of a bare model, with a gradient."""
    found: Tensor = model.get_output_embeddings()(hidden).float()
    config = model.config.get_text_config()
    if scale := getattr(config, "logits_scaling", None):
        found = found / scale
    if scale := getattr(config, "logit_scale", None):
        found = found * scale
    if cap := getattr(config, "final_logit_softcapping", None):
        found = torch.tanh(found / cap) * cap
    return found


def check_length(loaded: Loaded, tokens: int) -> None:
    """A prompt must fit the context, and the window of layers that look back only so far."""
    config = loaded.model.config.get_text_config()
    limits = [config.max_position_embeddings]
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        limits.append(config.sliding_window)
    if tokens > min(limits):
        raise RealmodelsError(
            f"{loaded.name}: a prompt with its answer has {tokens} tokens, the model sees {min(limits)} at once; "
            "use fewer shots, or drop the rows with the longest questions and answers"
        )


def _mask(model: Any, seen: Tensor) -> Tensor:
    """[rows, 1, tokens, all] True where seen: sdpa takes it as it is, others add minus infinity."""
    if model.config._attn_implementation == "sdpa":
        return seen
    least = torch.finfo(model.dtype).min
    return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill_(~seen, least)
