"""What this machine can do for real models, found out without loading one."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

NEEDED = ("torch", "transformers", "peft")
OPTIONAL = {
    "gguf": 'reads GGUF checkpoints: pip install "nameblind[realmodels]"',
    "bitsandbytes": '4-bit and 8-bit bases: pip install "nameblind[quant]"',
    "submitit": 'jobs on a cluster: pip install "nameblind[cluster]"',
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    found: str
    ok: bool
    advice: str = ""


def examine() -> list[Finding]:
    """Packages, devices, memory and disk, as far as they can be seen from here."""
    found = [_package(name, 'pip install "nameblind[realmodels]"', needed=True) for name in NEEDED]
    found += [_package(name, advice, needed=False) for name, advice in OPTIONAL.items()]
    found += _devices() if found[0].ok else []
    free = shutil.disk_usage(".").free / 2**30
    found.append(
        Finding("disk here", f"{free:.0f} GiB free", free > 20, "a 7B checkpoint in 16 bit takes 14 GiB")
    )
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    found.append(
        Finding(
            "hub",
            "offline (HF_HUB_OFFLINE is set)" if offline else "may be asked for names that are no folder",
            True,
        )
    )
    return found


def render(found: list[Finding]) -> str:
    """The report, a line a finding, advice only where something is wanting."""
    return "\n".join(
        f"{'ok' if row.ok else '--':3} {row.what:14} {row.found}"
        + (f"; {row.advice}" if row.advice and not row.ok else "")
        for row in found
    )


def _package(name: str, advice: str, *, needed: bool) -> Finding:
    try:
        return Finding(name, version(name), True)
    except PackageNotFoundError:
        return Finding(name, "not installed" + ("" if needed else " (optional)"), False, advice)


def _devices() -> list[Finding]:
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        memory = card.total_memory / 2**30
        bf16 = card.major >= 8
        found.append(
            Finding(
                f"cuda:{index}",
                f"{card.name}, {memory:.0f} GiB, bfloat16 {'yes' if bf16 else 'no'}",
                memory > 20,
                "LoRA on a 7B base in bfloat16 wants about 20 GiB: use a smaller base or load it in 4 bit",
            )
        )
    if torch.backends.mps.is_available():
        found.append(Finding("mps", "available", True))
    found.append(Finding("cpu", f"{os.cpu_count()} cores, Python {sys.version.split()[0]}", True))
    return found
