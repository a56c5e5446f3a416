"""Whether today's code makes what was kept: rows of an audit, arms of a study.

    python tests/hardening/same_again.py audit KEPT AGAIN      folders of two audits, the second of some of the rows
    python tests/hardening/same_again.py arms KEPT AGAIN       folders of finished arms, the second of some of them

Rows are found by their question and answers, arms by their name, seed and number of rows. It prints JSON and ends
with 1 where anything differs that should be the same to the bit (labels, adapters, answers).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SHARES = ("p_greedy", "p_sample", "detection", "logprob", "margin")
FLAGS = ("label", "overlaps_subject", "dominant_answer", "n_prompts")


def rows_of(folder: Path) -> dict[str, Mapping[str, Any]]:
    with open(folder / "audit.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return {
        json.dumps([line["question"], line["answers"], line.get("relation")]): line["knowledge"]
        for line in lines
    }


def audits(kept: Path, again: Path) -> dict[str, Any]:
    """How many rows are the same, and how far numbers are apart."""
    first, second = rows_of(kept), rows_of(again)
    both = [key for key in second if key in first]
    if not both:
        raise SystemExit(f"{again}: has no row of {kept}")
    found: dict[str, Any] = {"rows": len(both), "not in the first": len(second) - len(both)}
    for name in FLAGS:
        found[name] = sum(first[key].get(name) == second[key].get(name) for key in both)
    for name in SHARES:
        pairs = [(first[key].get(name), second[key].get(name)) for key in both]
        told = [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]
        found[name] = {
            "same": sum(a == b for a, b in pairs),
            "farthest": max((abs(a - b) for a, b in told), default=0.0),
        }
    found["equal"] = all(found[name] == len(both) for name in FLAGS) and not found["not in the first"]
    return found


def arms_in(folder: Path) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        about = said["about"]
        yield (about["arm"], about["seed"], about["rows"], bool(said["extra"])), said


def arms(kept: Path, again: Path) -> dict[str, Any]:
    """Adapters by the hash of their weights, answers by what was hit and said, chances by how far they are apart."""
    first, found = dict(arms_in(kept)), {}
    for key, said in arms_in(again):
        if key not in first:
            raise SystemExit(f"{again}: arm {key} is not in {kept}")
        other = first[key]
        answers = [{k: v for k, v in one.items() if k != "logprob"} for one in said["asked"]]
        before = [{k: v for k, v in one.items() if k != "logprob"} for one in other["asked"]]
        far = [
            abs(a - b)
            for one, two in zip(said["asked"], other["asked"], strict=True)
            for a, b in zip(one["logprob"], two["logprob"], strict=True)
        ]
        found[f"{key[0]} {key[1]}"] = {
            **{
                name: said["about"].get(name) == other["about"].get(name)
                for name in ("initial_hash", "final_hash")
            },
            "key": said["key"] == other["key"],
            "dev": said["dev"] == other["dev"],
            "answers": answers == before,
            "numbers": len(far),
            "log chance, farthest": max(far, default=0.0),
        }
    if not found:
        raise SystemExit(f"{again}: holds no finished arm")
    parts = ("initial_hash", "final_hash", "dev", "answers")
    return {"arms": found, "equal": all(one[part] for one in found.values() for part in parts)}


def main(words: list[str]) -> int:
    if len(words) != 3 or words[0] not in ("audit", "arms"):
        print(__doc__, file=sys.stderr)
        return 2
    found = {"audit": audits, "arms": arms}[words[0]](Path(words[1]), Path(words[2]))
    print(json.dumps(found, indent=1))
    return 0 if found["equal"] else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
