"""A decoder that is a Llama in every tensor: a pure function of a dictionary of weights, named as transformers does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthetic.errors import SyntheticError

Weights = dict[str, Tensor]
EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
LORA_A, LORA_B, LORA_SCALE = ".lora_A.weight", ".lora_B.weight", "lora_scale"


@dataclass(frozen=True)
class LlamaSpec:
    """The shape of the network. `hidden` is the width of the MLP; 0 leaves the MLP out. Embeddings are tied."""

    vocabulary: int
    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 352
    context: int = 256
    theta: float = 10000.0
    epsilon: float = 1e-5
    embedding_std: float = 0.02
    weight_std: float = 0.02

    def __post_init__(self) -> None:
        least = {
            "vocabulary": 2,
            "width": 2,
            "layers": 1,
            "heads": 1,
            "kv_heads": 1,
            "hidden": 0,
            "context": 1,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise SyntheticError(f"LlamaSpec.{name} is {value!r}; give a whole number of at least {low}")
        for name in ("theta", "epsilon", "embedding_std", "weight_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SyntheticError(f"LlamaSpec.{name} is {value!r}; give a finite number above 0")
        if self.width % (2 * self.heads):
            raise SyntheticError(
                f"LlamaSpec.width {self.width} over {self.heads} heads is not an even number a head, "
                f"which rotary positions need; take a width that is a multiple of {2 * self.heads}"
            )
        if self.heads % self.kv_heads:
            raise SyntheticError(
                f"LlamaSpec.kv_heads {self.kv_heads} does not divide heads {self.heads}; take a divisor of it"
            )

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor, in the order in which they are drawn."""
        kv = self.kv_heads * self.head_width
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocabulary, self.width)}
        for i in range(self.layers):
            at = f"model.layers.{i}."
            shapes[at + "input_layernorm.weight"] = (self.width,)
            shapes[at + "self_attn.q_proj.weight"] = (self.width, self.width)
            shapes[at + "self_attn.k_proj.weight"] = (kv, self.width)
            shapes[at + "self_attn.v_proj.weight"] = (kv, self.width)
            shapes[at + "self_attn.o_proj.weight"] = (self.width, self.width)
            if self.hidden:
                shapes[at + "post_attention_layernorm.weight"] = (self.width,)
                shapes[at + "mlp.gate_proj.weight"] = (self.hidden, self.width)
                shapes[at + "mlp.up_proj.weight"] = (self.hidden, self.width)
                shapes[at + "mlp.down_proj.weight"] = (self.width, self.hidden)
        return shapes | {FINAL_NORM: (self.width,)}

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes().values())


def initialise(spec: LlamaSpec, seed: int) -> Weights:
    """Normal matrices, norms at one; matrices that write into the residual stream are smaller by sqrt(2 layers)."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, shape in spec.shapes().items():
        if len(shape) == 1:
            weights[name] = torch.ones(shape)
            continue
        std = spec.embedding_std if name == EMBEDDING else spec.weight_std
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            std /= math.sqrt(2 * spec.layers)
        weights[name] = torch.randn(shape, generator=generator) * std
    return weights


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon))


def rotary(spec: LlamaSpec, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin of shape positions.shape + (head_width,), the two halves equal."""
    steps = torch.arange(0, spec.head_width, 2, dtype=torch.int64).float() / spec.head_width
    angle = positions[..., None].float() * (1.0 / spec.theta**steps)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


Attention = Callable[[int, Tensor, Tensor, Tensor, Tensor | None], Tensor]


def flash(layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """What queries (rows, heads, n, head_width) read from keys and values, where `mask` lets them; None is causal."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


@dataclass
class Cache:
    """Keys and values already read: per layer two tensors (rows, kv_heads, room, head_width); slot = position."""

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(cls, spec: LlamaSpec, rows: int, room: int, like: Tensor) -> Cache:
        shape = (rows, spec.kv_heads, room, spec.head_width)
        return cls(*([like.new_zeros(shape) for _ in range(spec.layers)] for _ in range(2)))

    def copies(self, rows: int, room: int) -> Cache:
        """This cache of one row for `rows` rows, with space for `room` positions."""
        return Cache(*([_widen(part, rows, room) for part in parts] for parts in (self.keys, self.values)))

    def repeated(self, times: int) -> Cache:
        """Every row `times` times, side by side."""
        return Cache(
            *([part.repeat_interleave(times, 0) for part in parts] for parts in (self.keys, self.values))
        )

    def rows(self, some: Tensor) -> Cache:
        """These rows alone."""
        return Cache(*([part[some] for part in parts] for parts in (self.keys, self.values)))

    def write(self, layer: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        slots = positions[:, None, :, None].expand_as(k)
        return self.keys[layer].scatter_(2, slots, k), self.values[layer].scatter_(2, slots, v)


def _widen(part: Tensor, rows: int, room: int) -> Tensor:
    wide = part.new_zeros((rows, part.shape[1], room, part.shape[3]))
    wide[:, :, : part.shape[2]] = part
    return wide


def linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """x W^T, plus the scaled low-rank update B A x where the weights carry an adapter."""
    out = F.linear(x, weights[name + ".weight"])
    if (down := weights.get(name + LORA_A)) is not None:
        out = out + F.linear(F.linear(x, down), weights[name + LORA_B]) * weights[LORA_SCALE]
    return out


def hidden_states(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    tokens: Tensor,
    positions: Tensor,
    mask: Tensor | None = None,
    *,
    take: Tensor | None = None,
    cache: Cache | None = None,
    attention: Attention = flash,
    layers: list[Tensor] | None = None,
) -> Tensor:
    """Final hidden states (rows, n, width) of `tokens` (rows, n) at `positions` (rows, n).

    `mask` (rows or 1, 1, n, n) is True where a token may look. `take` (rows, m) names the columns wanted: the
    last layer runs its queries and its MLP at those only. With a `cache`, keys and values are added to it and
    all earlier positions are seen; `mask` is not needed. `attention` may be one that records or patches. `layers`, if
    given, gets what each layer leaves at those columns, normed as the final states are.
    """
    x = F.embedding(tokens, weights[EMBEDDING])
    cos, sin = (part[:, None] for part in rotary(spec, positions, x.dtype))
    if cache is not None:
        mask = (torch.arange(cache.keys[0].shape[2]) <= positions[..., None])[:, None]
    elif mask is None and take is not None:
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()[None, None]

    def heads(name: str, h: Tensor) -> Tensor:
        return linear(weights, name, h).view(*h.shape[:2], -1, spec.head_width).transpose(1, 2)

    for i in range(spec.layers):
        at = f"model.layers.{i}."
        h = rms_norm(x, weights[at + "input_layernorm.weight"], spec.epsilon)
        k = rotate(heads(at + "self_attn.k_proj", h), cos, sin)
        v = heads(at + "self_attn.v_proj", h).to(k.dtype)
        if take is not None and i == spec.layers - 1:
            x, h = _columns(x, take), _columns(h, take)
            cos, sin = (_columns(part[:, 0], take)[:, None] for part in (cos, sin))
            mask = _columns(mask[:, 0].expand(len(take), -1, -1), take)[:, None] if mask is not None else None
        q = rotate(heads(at + "self_attn.q_proj", h), cos, sin)
        if cache is not None:
            k, v = cache.write(i, positions, k, v)
        if spec.kv_heads < spec.heads:
            k, v = (part.repeat_interleave(spec.heads // spec.kv_heads, dim=1) for part in (k, v))
        with torch.autocast("cpu", enabled=False):  # attention in bfloat16 is slower than in float32 on a CPU
            out = attention(i, q, k, v, mask)
        x = x + linear(weights, at + "self_attn.o_proj", out.transpose(1, 2).flatten(2))
        if spec.hidden:
            h = rms_norm(x, weights[at + "post_attention_layernorm.weight"], spec.epsilon)
            gate = F.silu(linear(weights, at + "mlp.gate_proj", h))
            x = x + linear(weights, at + "mlp.down_proj", gate * linear(weights, at + "mlp.up_proj", h))
        if layers is not None:
            some = x if take is None or i == spec.layers - 1 else _columns(x, take)
            layers.append(rms_norm(some, weights[FINAL_NORM], spec.epsilon))
    return rms_norm(x, weights[FINAL_NORM], spec.epsilon)


def logits(weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """What the tied head says of hidden rows (..., width)."""
    return F.linear(rows, weights[EMBEDDING])


def _columns(x: Tensor, take: Tensor) -> Tensor:
    return x.gather(1, take[..., None].expand(-1, -1, x.shape[-1]))
