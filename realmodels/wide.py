"""Float64 of what a device computed, also of a device that has none."""

from __future__ import annotations

from torch import Tensor

NARROW = ("mps",)  # kinds of devices without float64


def able(x: Tensor) -> Tensor:
    """The same where float64 can be had: a copy on the CPU of what is on a device without it, else x itself."""
    return x.cpu() if x.device.type in NARROW else x


def wide(x: Tensor) -> Tensor:
    """In float64."""
    return able(x).double()
