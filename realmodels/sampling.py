"""How answers are sampled."""

from __future__ import annotations

from dataclasses import dataclass

from realmodels.errors import RealmodelsError


@dataclass(frozen=True)
class Sampling:
    """The published settings: 16 samples at temperature 0.5 from the 40 likeliest tokens (0: all); a decoded answer
    has at most `longest` tokens."""

    temperature: float = 0.5
    top_k: int = 40
    samples: int = 16
    longest: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise RealmodelsError(f"temperature is {self.temperature!r}; expected a number above 0")
        for name, least in (("top_k", 0), ("samples", 1), ("longest", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise RealmodelsError(f"{name} is {value!r}; expected a whole number of at least {least}")


USUAL = Sampling()
