"""Trials that are tests: run as one, and a line of survived.jsonl for each way in which something could have failed.

A trial is a case of a test; what is not here to be tried (a model that was not given) is no trial.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hardening.survived import Trial, keep

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {"repeat": "repeat.py", "lie": "lies.py"}  # by kind of trial


@dataclass(frozen=True)
class Way:
    """`tests` are files, or file::function; `found` is what they hold."""

    what: str
    found: str
    tests: tuple[str, ...]


def run(report: Path, tests: Sequence[str]) -> None:
    """All of them in one process; what it says goes to the screen."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=env, check=False)


def outcomes(report: Path) -> dict[str, list[bool]]:
    """By test, whether each of its cases was passed; one that was skipped was none."""
    found: dict[str, list[bool]] = {}
    for case in xml.parse(report).getroot().iter("testcase"):
        ends = {child.tag for child in case} & {"failure", "error", "skipped"}
        if "skipped" not in ends:
            test = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name'].partition('[')[0]}"
            found.setdefault(test, []).append(not ends)
    return found


def lines(kind: str, ways: Sequence[Way], found: Mapping[str, list[bool]]) -> list[Trial]:
    """One for every way, of which each test that was tried counts as often as it has cases."""
    command = f"python tests/hardening/{SCRIPTS[kind]} --keep"
    made = []
    for way in ways:
        own = [
            passed
            for test, cases in found.items()
            for passed in cases
            if test in way.tests or test.partition("::")[0] in way.tests
        ]
        made.append(Trial(kind, way.what, len(own), sum(own), way.found, command))
    return made


def parser(about: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--keep", action="store_true", help="leave lines in survived.jsonl")
    return made


def tried(kind: str, ways: Sequence[Way], keeping: bool) -> int:
    """What a script does: 1 if a way has not survived, or had nothing to try."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run(report, [test for way in ways for test in way.tests])
        made = lines(kind, ways, outcomes(report))
    for one in made:
        print(f"{one.survived} of {one.tried} survived: {one.what}")
        if keeping and one.tried:
            keep(one)
    return int(any(one.survived < one.tried or not one.tried for one in made))
