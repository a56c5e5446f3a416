"""A frozen base that several processes share out by layers (FSDP): each holds an equal part of every layer's weights,
and all of a layer's while it computes.

Embeddings, the last norm and the head stay whole everywhere, and so does the adapter. Frozen weights have no gradient,
so that nothing but they themselves goes over the wire. Whoever computes a layer needs the others to do so too, in the
same order; that is why all read as many pieces as the one that has most."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor, distributed, nn

from realmodels.errors import RealmodelsError
from realmodels.parallel import current
from realmodels.relief import opening

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Piece = TypeVar("Piece")
Layout = Mapping[str, tuple[torch.Size, torch.dtype]]

_SHARED: WeakSet[nn.Module] = WeakSet()


def check_sharing(load_in: str, device: str) -> None:
    """Whether a base can be shared out here."""
    if current().size == 1:
        raise RealmodelsError(
            "--shard: there is one process and nobody to share with; start several by "
            "torchrun --nproc-per-node N -m realmodels train ... --shard, or leave it out"
        )
    if load_in != "none":
        raise RealmodelsError(
            f"--shard: a base in {load_in} is not shared out; leave out --load-in {load_in} or --shard"
        )
    kind, _, number = device.partition(":")
    if kind not in ("cuda", "cpu"):
        raise RealmodelsError(f"--shard: needs CUDA or a CPU, this is {device}; leave it out")
    if kind == "cuda" and number not in ("", os.environ.get("LOCAL_RANK", "0")):
        raise RealmodelsError(f"--shard: each process has a card of its own; leave out --device {device}")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 7):
        raise RealmodelsError(f"--shard: needs torch 2.7, this is {torch.__version__}; leave it out")


def load_shared(
    name: str, *, dtype: str, device: str, allow_code: bool = False, allow_pickle: bool = False
) -> Loaded:
    """Open a model of which this process holds its part. The first process reads it into the computer's own memory and
    hands it out weight by weight: no device ever holds more than its part and one weight."""
    from realmodels.card import read_config, skeleton
    from realmodels.loading import Loaded, _fingerprint, _tokens, load, quiet
    from realmodels.places import find

    team, config = current(), read_config(name, allow_code)
    if getattr(config, "quantization_config", None):
        raise RealmodelsError(f"--shard: {name} is in few bits already; leave it out")
    given: dict[str, Tensor] = {}
    attention = None
    if team.first:
        whole = load(name, dtype=dtype, device="cpu", allow_code=allow_code, allow_pickle=allow_pickle).model
        given, attention = _weights(whole), whole.config._attn_implementation
        del whole
    layout, config._attn_implementation = team.told(
        ({key: (value.shape, value.dtype) for key, value in given.items()}, attention)
    )
    with quiet():
        model = skeleton(config, name, allow_code, dtype=dtype).eval().requires_grad_(False)
        tokens = _tokens(find(name), allow_code, model.get_input_embeddings().weight.shape[0])
        model.tie_weights()
        if {key: value.shape for key, value in _weights(model).items()} != {
            key: shape for key, (shape, _) in layout.items()
        }:
            raise RealmodelsError(
                f"--shard: {name} has other weights once it is loaded than config.json alone says; leave it out"
            )
        with opening(name, device, dtype, shared=True):
            layers = _share_out(model, device)
            _hand_out(model, given, layout, device)
            model.tie_weights()
            for layer in layers:  # once outside of inference mode, whose tensors no gradient can go through
                layer.unshard()
                layer.reshard()
    _SHARED.add(model)
    return Loaded(model, tokens, name, _fingerprint(find(name), None), device, dtype)


def shared(model: Any) -> bool:
    """Whether this process holds a part of that model only."""
    return model in _SHARED


def any_shared() -> bool:
    """Whether it does of any model: then it cannot try a thing again that the others do not."""
    return bool(_SHARED)


def least(model: Any, number: int) -> int:
    """The least that any process has, if they share the model; else one's own."""
    return -most(model, -number)


def most(model: Any, number: int) -> int:
    if not shared(model):
        return number
    found = torch.tensor(number)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def in_step(model: Any, pieces: Iterable[Piece], spare: Callable[[], Piece]) -> Iterator[tuple[Piece, bool]]:
    """The pieces, and whether they count: of a shared model so many spare ones follow that all processes read alike."""
    if not shared(model):
        yield from ((piece, True) for piece in pieces)
        return
    own = list(pieces)
    missing = most(model, len(own)) - len(own)  # asked before the first one is read
    yield from ((piece, True) for piece in own)
    for _ in range(missing):
        yield spare(), False


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name; tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _share_out(model: nn.Module, device: str) -> list[Any]:
    """Mark every layer as shared, and the body as what they are layers of."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    from realmodels.prefix import body

    mesh = init_device_mesh(device.partition(":")[0], (current().size,), mesh_dim_names=("fsdp",))
    layers = _layers(model)
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    inside = body(model)
    rest = {weight for weight in inside.parameters() if not isinstance(weight, DTensor)}
    fully_shard(inside, mesh=mesh, ignored_params=rest)
    return layers


def _layers(model: nn.Module) -> list[nn.Module]:
    """The list of parts that has most of the model's weights."""
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
    if not lists:
        raise RealmodelsError(f"--shard: {type(model).__name__} has no layers to share out; leave it out")
    largest = max(lists, key=lambda some: sum(weight.numel() for weight in some.parameters()))
    return list(largest)


def _hand_out(model: nn.Module, given: dict[str, Tensor], layout: Layout, device: str) -> None:
    """From the first process, which has them all, to each its part; what is not shared is whole everywhere."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    held: dict[str, Tensor] = {}
    for name, place in _weights(model).items():
        shape, kind = layout[name]
        first = current().first
        # a copy: a single weight of a mapped file holds all of it
        value = (
            given.pop(name).detach().to(device, copy=True)
            if first
            else torch.empty(shape, dtype=kind, device=device)
        )
        if isinstance(place, DTensor):
            held[name] = distribute_tensor(value, place.device_mesh, place.placements)
        else:
            distributed.broadcast(value, src=0)
            held[name] = value
    for name, _ in list(model.named_buffers()):  # a state holds some of them alone
        where, _, own = name.rpartition(".")
        model.get_submodule(where)._buffers[own] = held.pop(name)
    model.load_state_dict(held, strict=False, assign=True)
