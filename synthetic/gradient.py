"""Loss and gradient of one batch, written out by hand: the sums of automatic differentiation in fewer operations.

A network this small spends most of a step on calls and not on sums. So all weights stand in one vector, in the order
of their spec, and neighbours (queries, keys, values; gate and up) are read and taught as one matrix; the last layer
works at the places where there is loss alone; nothing is recorded. What it computes is `train.batch_loss` and its
gradient, in single precision, of weights without an adapter.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from synthetic.head import slopes
from synthetic.model import EMBEDDING, FINAL_NORM, LlamaSpec, Weights, rotary
from synthetic.packing import Batch


class Store:
    """A copy of weights in one vector, with the gradients of those to be trained in another of the same shape."""

    def __init__(self, weights: Mapping[str, Tensor], spec: LlamaSpec, wanted: Collection[str]) -> None:
        self.spec, self.wanted = spec, frozenset(wanted)
        self.values = torch.cat([weights[name].detach().flatten() for name in spec.shapes()])
        self.slopes = torch.zeros_like(self.values)
        self.places: dict[str, slice] = {}
        start = 0
        for name, shape in spec.shapes().items():
            self.places[name] = slice(start, start := start + math.prod(shape))
        self.live = {name: self._shaped(self.values, name) for name in spec.shapes()}

    def joined(self, *names: str) -> tuple[Tensor, Tensor | None]:
        """Neighbours as one matrix (or one vector), and where its gradient goes, if any of them is trained."""
        place = slice(self.places[names[0]].start, self.places[names[-1]].stop)
        shape = (-1, *self.live[names[0]].shape[1:])
        slope = self.slopes[place].view(shape) if self.wanted.intersection(names) else None
        return self.values[place].view(shape), slope

    def parameters(self, apart: bool) -> Iterator[tuple[Tensor, bool]]:
        """What is trained, in as few pieces as can be, each with its gradient, and is it matrices? Pieces hold matrices
        and norms together unless these are to be kept `apart`."""

        def kind(name: str) -> tuple[bool, bool]:
            return name in self.wanted, apart and self.live[name].ndim > 1

        for (trained, matrices), some in groupby(self.places, kind):
            if trained:
                names = list(some)
                place = slice(self.places[names[0]].start, self.places[names[-1]].stop)
                piece = self.values[place]
                piece.grad = self.slopes[place]
                yield piece, matrices

    def weights(self, start: Mapping[str, Tensor]) -> Weights:
        """Each tensor by itself; those that were not trained are those of `start`."""
        return {
            name: self.live[name].clone() if name in self.wanted else tensor.detach()
            for name, tensor in start.items()
        }

    def _shaped(self, vector: Tensor, name: str) -> Tensor:
        return vector[self.places[name]].view(self.spec.shapes()[name])


@dataclass(frozen=True)
class _Norm:
    """x / rms(x) * weight"""

    weight: Tensor
    slope: Tensor | None

    def read(self, x: Tensor, epsilon: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        scale = x.square().mean(1, keepdim=True).add_(epsilon).rsqrt_()
        unit = x * scale
        return unit * self.weight, (unit, scale)

    def teach(self, d: Tensor, kept: tuple[Tensor, Tensor]) -> Tensor:
        unit, scale = kept
        if self.slope is not None:
            torch.sum(d * unit, 0, out=self.slope)
        d = d * self.weight
        return torch.addcmul(d, unit, (d * unit).mean(1, keepdim=True), value=-1).mul_(scale)


@dataclass(frozen=True)
class _Matrix:
    """x W^T"""

    weight: Tensor
    slope: Tensor | None

    def read(self, x: Tensor) -> Tensor:
        return x @ self.weight.T

    def teach(self, d: Tensor, x: Tensor) -> Tensor:
        if self.slope is not None:
            torch.mm(d.T, x, out=self.slope)
        return d @ self.weight


@dataclass(frozen=True)
class _Layer:
    norm: _Norm
    heads: _Matrix  # queries, keys and values
    queries: _Matrix
    memory: _Matrix  # keys and values
    out: _Matrix
    mlp_norm: _Norm | None
    wide: _Matrix | None  # gate and up
    down: _Matrix | None


class Gradient:
    """Teaches a store: a call leaves the gradient of a batch in it and returns the mean loss."""

    def __init__(self, store: Store) -> None:
        self.spec, self.store = store.spec, store
        self.embedding, self.d_embedding = store.joined(EMBEDDING)
        self.final = _Norm(*store.joined(FINAL_NORM))
        self.layers = [self._layer(f"model.layers.{i}.") for i in range(self.spec.layers)]
        cos, sin = rotary(self.spec, torch.arange(self.spec.context), store.values.dtype)
        half = self.spec.head_width // 2
        self.cos, self.sin = cos, torch.cat((-sin[:, :half], sin[:, half:]), 1)

    def _layer(self, at: str) -> _Layer:
        def matrix(*names: str) -> _Matrix:
            return _Matrix(*self.store.joined(*(f"{at}{name}_proj.weight" for name in names)))

        def norm(name: str) -> _Norm:
            return _Norm(*self.store.joined(f"{at}{name}layernorm.weight"))

        q, k, v = "self_attn.q", "self_attn.k", "self_attn.v"
        deep = self.spec.hidden > 0
        return _Layer(
            norm("input_"),
            matrix(q, k, v),
            matrix(q),
            matrix(k, v),
            matrix("self_attn.o"),
            norm("post_attention_") if deep else None,
            matrix("mlp.gate", "mlp.up") if deep else None,
            matrix("mlp.down") if deep else None,
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        spec, layers = self.spec, self.layers
        rows, length = batch.tokens.shape
        full = batch.size == rows * length
        cells = None if full else batch.cells
        tokens = batch.tokens.flatten() if full else batch.tokens.flatten()[batch.cells]
        at = batch.positions.flatten() if full else batch.positions.flatten()[batch.cells]
        grid = _grid(batch)
        turn = _Turn(self.cos, self.sin, at)
        inner = _Attention(spec, rows, length, length, batch.mask, cells, cells)
        last = _Attention(spec, rows, grid.width, length, grid.mask, grid.pick, cells)

        x = self.embedding.index_select(0, tokens)
        kept = []
        for layer in layers[:-1]:
            h, n = layer.norm.read(x, spec.epsilon)
            heads = layer.heads.read(h)
            split = turn.on(heads[:, : inner.turned]), heads[:, inner.turned :]
            read, seen = inner.read(split[0][:, : inner.wide], split[0][:, inner.wide :], split[1])
            x, deep = self._deeper(layer, x, read)
            kept.append((h, n, read, seen, deep))

        layer = layers[-1]
        h, n = layer.norm.read(x, spec.epsilon)
        memory = layer.memory.read(h)
        h_some, turn_some = h[grid.places], turn[grid.places]
        q = turn_some.on(layer.queries.read(h_some))
        narrow = last.turned - last.wide
        read, seen = last.read(q, turn.on(memory[:, :narrow]), memory[:, narrow:])
        y, deep = self._deeper(layer, x[grid.places], read)
        y, end = self.final.read(y, spec.epsilon)

        loss, d = slopes(
            y, self.embedding, batch.targets, scale=1 / len(batch.targets), into=self.d_embedding
        )
        d = self._shallower(layer, self.final.teach(d, end), deep)
        d_some = d
        d_q, d_k, d_v = last.teach(layer.out.teach(d, read), seen)
        d = layer.memory.teach(torch.cat((turn.back(d_k), d_v), 1), h)
        d[grid.places] += layer.queries.teach(turn_some.back(d_q), h_some)
        d = layer.norm.teach(d, n)
        d[grid.places] += d_some
        for layer, (h, n, read, seen, deep) in zip(layers[-2::-1], kept[::-1], strict=True):
            d = self._shallower(layer, d, deep)
            d_heads = inner.teach(layer.out.teach(d, read), seen)
            both = turn.back(torch.cat(d_heads[:2], 1))
            d = layer.norm.teach(layer.heads.teach(torch.cat((both, d_heads[2]), 1), h), n).add_(d)
        if self.d_embedding is not None:
            self.d_embedding.scatter_add_(0, tokens[:, None].expand_as(d), d)
        return loss

    def _deeper(self, layer: _Layer, x: Tensor, read: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What leaves the layer, and what its MLP has to remember."""
        x = torch.addmm(x, read, layer.out.weight.T)
        if layer.mlp_norm is None or layer.wide is None or layer.down is None:
            return x, ()
        h, (unit, scale) = layer.mlp_norm.read(x, self.spec.epsilon)
        gate, up = layer.wide.read(h).chunk(2, 1)
        open_ = gate.sigmoid()
        silu = gate * open_
        inside = silu * up
        return torch.addmm(x, inside, layer.down.weight.T), (h, unit, scale, up, open_, silu, inside)

    def _shallower(self, layer: _Layer, d: Tensor, deep: tuple[Tensor, ...]) -> Tensor:
        """Back through the MLP."""
        if layer.mlp_norm is None or layer.wide is None or layer.down is None:
            return d
        h, unit, scale, up, open_, silu, inside = deep
        d_inside = layer.down.teach(d, inside)
        d_wide = torch.empty(len(d), 2 * self.spec.hidden)
        torch.mul(d_inside, silu, out=d_wide[:, self.spec.hidden :])
        bend = torch.addcmul(silu, open_, silu, value=-1).add_(open_)  # the derivative of silu
        torch.mul(d_inside.mul_(up), bend, out=d_wide[:, : self.spec.hidden])
        return layer.mlp_norm.teach(layer.wide.teach(d_wide, h), (unit, scale)).add_(d)


@dataclass(frozen=True)
class _Grid:
    """Where there is loss: in rows of `width` columns that the last layer asks from, and among the tokens."""

    width: int
    pick: Tensor  # (n,) places in (rows, width)
    places: Tensor  # (n,) places among the document tokens
    mask: Tensor  # (rows, 1, width, length)


def _grid(batch: Batch) -> _Grid:
    length = batch.tokens.shape[1]
    if batch.take is None:
        return _Grid(length, batch.pick, torch.searchsorted(batch.cells, batch.pick), batch.mask)
    width = batch.take.shape[1]
    row = torch.div(batch.pick, width, rounding_mode="floor")
    places = torch.searchsorted(batch.cells, row * length + batch.take.flatten()[batch.pick])
    mask = batch.mask[:, 0].gather(1, batch.take[..., None].expand(-1, -1, length))[:, None]
    return _Grid(width, batch.pick, places, mask)


class _Turn:
    """Rotary positions on heads side by side (n, heads * head_width)."""

    def __init__(self, cos: Tensor, sin: Tensor, at: Tensor | None = None) -> None:
        self.cos, self.sin = (cos, sin) if at is None else (cos[at][:, None], sin[at][:, None])
        self.width = cos.shape[-1]

    def __getitem__(self, some: Tensor) -> _Turn:
        return _Turn(self.cos[some], self.sin[some])

    def on(self, heads: Tensor) -> Tensor:
        x = heads.unflatten(1, (-1, self.width))
        return torch.addcmul(x * self.cos, x.roll(self.width // 2, 2), self.sin).flatten(1)

    def back(self, d: Tensor) -> Tensor:
        d = d.unflatten(1, (-1, self.width))
        return torch.mul(d, self.cos).add_((d * self.sin).roll(self.width // 2, 2)).flatten(1)


Seen = tuple[Tensor, Tensor, Tensor, Tensor]


class _Attention:
    """`width` queries a row on `length` keys, heads side by side in columns. Queries come and go as the `some` places
    of (rows, width) that are used, keys and values as the `cells` of (rows, length); None: all of them."""

    def __init__(
        self,
        spec: LlamaSpec,
        rows: int,
        width: int,
        length: int,
        mask: Tensor,
        some: Tensor | None,
        cells: Tensor | None,
    ) -> None:
        self.spec, self.rows, self.width, self.length = spec, rows, width, length
        self.some, self.cells = some, cells
        self.wide = spec.heads * spec.head_width  # columns of the queries
        self.turned = self.wide + spec.kv_heads * spec.head_width  # and of the keys
        self.scale = 1 / math.sqrt(spec.head_width)
        block = torch.zeros(mask.shape).masked_fill_(~mask, -math.inf)
        self.block = block.expand(-1, spec.heads, -1, -1).reshape(-1, width, length)

    def read(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Seen]:
        q, k, v = self._apart(q, self.width, self.some), self._shared(k), self._shared(v)
        looks = torch.baddbmm(self.block, q, k.mT, alpha=self.scale).softmax(2)
        return self._together(torch.bmm(looks, v), self.some), (q, k, v, looks)

    def teach(self, d: Tensor, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, looks = seen
        d = self._apart(d, self.width, self.some)
        d_looks = torch.bmm(d, v.mT).mul_(looks)
        d_looks = torch.addcmul(d_looks, looks, d_looks.sum(2, keepdim=True), value=-1).mul_(self.scale)
        d_q = self._together(torch.bmm(d_looks, k), self.some)
        return d_q, self._summed(torch.bmm(d_looks.mT, q)), self._summed(torch.bmm(looks.mT, d))

    def _apart(self, x: Tensor, columns: int, some: Tensor | None) -> Tensor:
        """(rows * heads, columns, head_width)"""
        if some is not None:
            x = x.new_zeros(self.rows * columns, x.shape[1]).index_copy_(0, some, x)
        x = x.unflatten(1, (-1, self.spec.head_width)).unflatten(0, (self.rows, columns))
        return x.transpose(1, 2).reshape(-1, columns, self.spec.head_width)

    def _together(self, x: Tensor, some: Tensor | None) -> Tensor:
        x = x.unflatten(0, (self.rows, -1)).transpose(1, 2).flatten(0, 1).flatten(1)
        return x if some is None else x.index_select(0, some)

    def _shared(self, x: Tensor) -> Tensor:
        """Keys or values, a copy for each query head that shares them."""
        x = self._apart(x, self.length, self.cells)
        times = self.spec.heads // self.spec.kv_heads
        return x if times == 1 else x.repeat_interleave(times, 0)

    def _summed(self, d: Tensor) -> Tensor:
        times = self.spec.heads // self.spec.kv_heads
        return self._together(d if times == 1 else d.unflatten(0, (-1, times)).sum(1), self.cells)
