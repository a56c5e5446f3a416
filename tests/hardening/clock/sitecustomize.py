"""A clock that goes backwards by a minute whenever it is asked; Python imports this before anything else."""

import datetime
import itertools
import time

_MINUTE = 60.0
_seconds, _instant = time.time, datetime.datetime
_asked = itertools.count(1)


class Datetime(_instant):
    @classmethod
    def now(cls, tz=None):
        return _instant.fromtimestamp(backwards(), tz)


def backwards():
    return _seconds() - _MINUTE * next(_asked)


def backwards_ns():
    return int(backwards() * 1e9)


def turn_back(*modules):
    """Also in modules that have taken these names already."""
    for module in modules:
        for name, new in (("datetime", Datetime), ("time", backwards)):
            if getattr(module, name, None) in (_instant, _seconds):
                setattr(module, name, new)


time.time, time.time_ns, datetime.datetime = backwards, backwards_ns, Datetime
