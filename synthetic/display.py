"""What a person sees of a run: a bar on a terminal, lines elsewhere, nothing in a run of two seconds."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from synthetic.plan import Unit

PATIENCE = 2.0  # seconds before anything but results is shown
_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"


class Display:
    """Counts the estimated seconds of work that are done, and shows what is being done."""

    def __init__(self, total: float, units: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total, self._units, self._start = max(total, 1e-9), units, time.monotonic()
        self._ended, self._seconds = 0, 0.0
        self._shares: dict[Unit, float] = {}
        self._bar: Any = None
        self._now = ""

    def doing(self, unit: Unit, cost: float, what: str, share: float | None) -> None:
        """A worker said what it does, and how much of a unit that costs `cost` seconds is done."""
        if share is not None:
            self._shares[unit] = cost * min(max(share, 0.0), 1.0)
        self._now = f"{unit}: {what}"
        self.show()

    def finished(self, unit: Unit, cost: float, seconds: float) -> None:
        """A unit is done."""
        self.gone(unit, cost)
        if not self._stream.isatty() and self.elapsed > PATIENCE:
            left = self.elapsed * (self._total - self._done) / self._done
            self.line(f"{self._ended}/{self._units} {unit} in {clock(seconds)}, about {clock(left)} left")

    def gone(self, unit: Unit, cost: float) -> None:
        """A unit is done, or will not be."""
        self._shares.pop(unit, None)
        self._seconds += cost
        self._ended += 1
        self.show()

    def line(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=self._stream, flush=True)
        self.show()

    def show(self) -> None:
        """The bar as it is now, if there is a terminal and two seconds are over."""
        if not self._stream.isatty() or self.elapsed <= PATIENCE:
            return
        if self._bar is None:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread of its own
            self._bar = tqdm(
                total=self._total,
                file=self._stream,
                leave=False,
                smoothing=0,
                dynamic_ncols=True,
                bar_format=_FORMAT,
            )
            self._bar.start_t -= self.elapsed
        self._bar.set_description_str(f"{self._ended}/{self._units}", refresh=False)
        self._bar.set_postfix_str(self._now, refresh=False)
        self._bar.n = self._done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @property
    def _done(self) -> float:
        return min(self._seconds + sum(self._shares.values()), self._total)


def clock(seconds: float) -> str:
    """A duration for a person."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
