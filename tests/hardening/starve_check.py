"""How a starved command may end: with its results, or with one line and nothing half-written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hardening.starve_run import Ended

LOCK = re.compile(r"\.lock(-\d+)?")
# what differs between two runs of one command: times, and the places that it was told
VARIES = re.compile(
    "seconds|seconds_in_steps|seconds_of_this_start|total_evaluation_time_seconds|real_tokens_per_second|started|begun"
    "|date|wall|peak_mb|command|environment"
)
UNLIKE = re.compile(r"environment\.json|timings\.jsonl|provenance\.json|\.lock.*")
STAMP = re.compile(r"_\d{4}-\d\d-\d\dT[0-9.-]+")
TEXTS = (".csv", ".html", ".md", ".tsv")


def result(folder: Path, places: Mapping[str, str]) -> dict[str, Any]:
    """The files of a folder, without times and with other words for `places`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = STAMP.sub("_TIME", str(path.relative_to(folder)))
        if path.is_file() and not UNLIKE.fullmatch(path.name):
            found[name] = _timeless(_read(path), places)
    return found


def _read(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    return path.read_text(encoding="utf-8") if path.suffix in TEXTS else path.read_bytes()


def _timeless(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v, places) for k, v in value.items() if not VARIES.fullmatch(k)}
    if isinstance(value, list):
        return [_timeless(one, places) for one in value]
    if isinstance(value, str):
        for place, word in places.items():
            value = value.replace(place, word)
    return value


def differences(found: Mapping[str, Any], expected: Mapping[str, Any], timed: bool) -> str:
    """The first file that is not what it is when nothing lacks; only the names count of one that holds times."""
    if odd := sorted(found.keys() ^ expected.keys()):
        return f"{'has' if odd[0] in found else 'lacks'} {odd[0]}"
    unequal = [] if timed else [name for name in expected if found[name] != expected[name]]
    return f"{unequal[0]} differs: {_where(found[unequal[0]], expected[unequal[0]])}" if unequal else ""


def _where(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*found, *expected]:
            if found.get(key) != expected.get(key):
                return f"{key}: {_where(found.get(key), expected.get(key))}"
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return next(_where(a, b) for a, b in zip(found, expected, strict=True) if a != b)
    return f"{str(found)[:150]!r} is not {str(expected)[:150]!r}"


def torn(folder: Path) -> str:
    """The first file that is half-written, or was to be moved away."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) and not LOCK.fullmatch(path.name):
            return f"left {path.relative_to(folder)}"
        if path.is_file() and not _whole(path):
            return f"half-written {path.relative_to(folder)} ({path.stat().st_size} bytes)"
    return ""


def _whole(path: Path) -> bool:
    if LOCK.fullmatch(path.name) or path.name == "ballast":
        return True
    data = path.read_bytes()
    try:
        value = _read(path)
        if path.suffix == ".safetensors":
            from safetensors.numpy import load

            load(data)
    except Exception:
        return False
    if path.suffix in (".jsonl", *TEXTS):
        return data.endswith(b"\n") if value or path.suffix != ".jsonl" else not data
    return bool(data)


def complaint(ended: Ended, names: Sequence[str] = ()) -> str:
    """What is wrong with how it ended: "" if it worked, or said in one line what it lacked, naming one of `names`."""
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}"
    for bad in ("Traceback", "Exception ignored", "UnicodeEncodeError", "--- Logging error"):
        if bad in ended.err or bad in ended.out:
            return bad
    if ended.code == 0:
        return ""
    lines = [line for line in ended.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if len(errors) != 1:
        return f"{len(errors)} lines that begin with 'error:'"
    if names and not any(name in errors[0] for name in names):
        return "the error names no place"
    return "" if "; " in errors[0] else "the error does not say what to do"
