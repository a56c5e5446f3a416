"""LoRA adapters on a base that stays what it was: put on, read out, saved as peft saves them, taken off."""

from __future__ import annotations

import hashlib
import json
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from realmodels.checkpoints import generators, set_generators
from realmodels.errors import RealmodelsError
from realmodels.loading import plainly, quiet
from realmodels.recipe import ALL_LINEAR, Recipe
from theory.files import write_whole

if TYPE_CHECKING:
    from realmodels.loading import Loaded

NAME = "default"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@contextmanager
def fresh_adapter(loaded: Loaded, recipe: Recipe) -> Iterator[Any]:
    """A new float32 adapter on the base; its start follows from the seed alone. Afterwards the base is as before."""
    from peft import LoraConfig, TaskType, get_peft_model

    targets = ALL_LINEAR if recipe.targets == (ALL_LINEAR,) else list(recipe.targets)
    config = LoraConfig(
        r=recipe.rank,
        # peft takes fractions too, whatever it says
        lora_alpha=cast("int", recipe.alpha if recipe.alpha % 1 else int(recipe.alpha)),
        lora_dropout=recipe.dropout,
        target_modules=targets,
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    own = getattr(loaded.model, "peft_config", None)
    before = generators(loaded.device)
    torch.manual_seed(recipe.seed)
    with quiet(), warnings.catch_warnings(), plainly("recipe: targets"):
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        model = get_peft_model(loaded.model, config, adapter_name=NAME)
    model.peft_config[NAME].base_model_name_or_path = loaded.name
    try:
        for module in model.modules():
            _lighten(module)
        if recipe.checkpointing:
            _forgetful(loaded.model, True)
        yield model
    finally:
        if recipe.checkpointing:
            _forgetful(loaded.model, False)
        model.unload()
        loaded.model.eval().requires_grad_(False)
        if own is None and hasattr(loaded.model, "peft_config"):
            del loaded.model.peft_config
        set_generators(loaded.device, before)


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The adapter's weights, by name, in a fixed order."""
    return {name: weight for name, weight in sorted(model.named_parameters()) if weight.requires_grad}


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Of names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_adapter(model: Any, folder: Path) -> None:
    """As peft saves it, the configuration last, each file whole."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    state = get_peft_model_state_dict(model, adapter_name=NAME, save_embedding_layers=False)
    write_whole(
        folder / WEIGHTS,
        save({name: value.detach().cpu().contiguous() for name, value in state.items()}, {"format": "pt"}),
    )
    config = model.peft_config[NAME].to_dict()
    config["inference_mode"] = True
    plain = {key: _plain(value) for key, value in config.items()}
    write_whole(folder / CONFIG, json.dumps(plain, indent=2, sort_keys=True) + "\n")


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def put_back(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Overwrite the adapter's weights with these."""
    own = trained(model)
    if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
        raise RealmodelsError("checkpoint: is of another adapter; start afresh with --overwrite")
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def _forgetful(model: Any, yes: bool) -> None:
    """Whether layers drop their activations and compute them again; the name of the method changes with transformers'
    version."""
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if yes:
        getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{kind}_checkpointing_disable")()


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return getattr(value, "value", value)


def _lighten(module: Any) -> None:
    """A plain adapter without peft's casts: the products run in the base's own precision. In float32 it is the same
    sum."""
    from peft.tuners.lora.layer import Linear

    plain = type(module) is Linear and type(module.base_layer) is torch.nn.Linear
    if plain and not module.lora_variant and isinstance(module.lora_dropout[NAME], torch.nn.Identity):
        module.forward = types.MethodType(_light, module)


def _light(self: Any, x: Tensor) -> Tensor:
    if self.disable_adapters or self.merged:
        return type(self).forward(self, x)
    base, low, high = self.base_layer, self.lora_A[NAME].weight, self.lora_B[NAME].weight
    flat = x.reshape(-1, x.shape[-1])
    out = functional.linear(flat, base.weight, base.bias)
    inner = functional.linear(flat, low.to(x.dtype))
    out = torch.addmm(out, inner, high.to(x.dtype).t(), alpha=self.scaling[NAME])
    return out.view(*x.shape[:-1], out.shape[-1])
