"""`agree`: the labels of two audits side by side."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Agree:
    """Say how far two audits of the same rows agree: other estimators, prompts, precisions or models."""

    first: tyro.conf.Positional[str]
    """An audit.jsonl, or the folder that `audit` wrote."""
    second: tyro.conf.Positional[str]
    """Another, of the same rows."""
    show: int = 0
    """Also print so many of the rows that differ."""
    json: Flag = False
    """Print JSON instead of text."""

    def run(self) -> int:
        from realmodels.agree import agree, render
        from realmodels.audited import LABELS, read_audit
        from realmodels.checks import at_least

        at_least(self, show=0)
        first, second = read_audit(self.first), read_audit(self.second)
        found = agree(first, second)
        if self.json:
            print(_json(found))
            return 0
        print(render(found, first, second))
        import numpy as np

        rows = np.array(found.rows[: self.show], np.int64)
        for row, line in first.originals(rows):
            labels = f"{LABELS[first.label[row]]} then {LABELS[second.label[row]]}"
            chance = " and ".join(f"{one.scores['p_sample'][row]:.4f}" for one in (first, second))
            question = line["knowledge"].get("question") or line.get("question")
            print(f"  row {row + 1}: {question} ({labels}; chance of a right sample {chance})")
        return 0


def _json(found: object) -> str:
    import json
    from dataclasses import asdict
    from math import isnan

    said = asdict(found)  # type: ignore[call-overload]
    said["kinds"] = [{"first": a, "second": b, "rows": k} for (a, b), k in said["kinds"].items()]
    plain = {k: None if isinstance(v, float) and isnan(v) else v for k, v in said.items()}
    return json.dumps(plain, indent=1)
