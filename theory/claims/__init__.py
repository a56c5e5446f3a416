"""What the papers claim, as objects with a decision rule over a table of records."""

from theory.claims.base import Cell, Claim, Part, Published
from theory.claims.catalogue import CLAIMS
from theory.claims.scoreboard import PartVerdict, Scoreboard, Verdict, evaluate

__all__ = ["CLAIMS", "Cell", "Claim", "Part", "PartVerdict", "Published", "Scoreboard", "Verdict", "evaluate"]
