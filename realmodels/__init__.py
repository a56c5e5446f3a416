"""Real language models: how well does one know each row of my data, and which rows are to be kept?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.lazy import public

if TYPE_CHECKING:
    from realmodels.audited import Audited as Audited
    from realmodels.audited import read_audit as read_audit
    from realmodels.card import ModelCard as ModelCard
    from realmodels.card import describe as describe
    from realmodels.errors import RealmodelsError as RealmodelsError
    from realmodels.estimate import logprobs as logprobs
    from realmodels.filtering import Criteria as Criteria
    from realmodels.filtering import choose as choose
    from realmodels.loading import Loaded as Loaded
    from realmodels.loading import load as load
    from realmodels.recipe import Recipe as Recipe
    from realmodels.recipe import read_recipe as read_recipe
    from realmodels.rows import Row as Row
    from realmodels.rows import RowSet as RowSet
    from realmodels.rows import read_rows as read_rows
    from realmodels.splits import split_rows as split_rows

_HOMES = {
    "Audited": "realmodels.audited",
    "Criteria": "realmodels.filtering",
    "Loaded": "realmodels.loading",
    "ModelCard": "realmodels.card",
    "RealmodelsError": "realmodels.errors",
    "Recipe": "realmodels.recipe",
    "Row": "realmodels.rows",
    "RowSet": "realmodels.rows",
    "choose": "realmodels.filtering",
    "describe": "realmodels.card",
    "load": "realmodels.loading",
    "logprobs": "realmodels.estimate",
    "read_audit": "realmodels.audited",
    "read_recipe": "realmodels.recipe",
    "read_rows": "realmodels.rows",
    "split_rows": "realmodels.splits",
}
__all__, __getattr__, __dir__ = public("realmodels", _HOMES)
