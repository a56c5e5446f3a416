import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
# minutes each; dealt out first, or one process is left alone with them
LONGEST = ("test_readme.py", "test_chain.py", "test_kill.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are given to processes in this order; within and beyond the longest ones it stays as it was."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def cli(tmp_path):
    """Run `python -m ...` in an empty folder, as a person would."""

    def run(*words: str, stdin: str | None = None, cwd: Path = tmp_path, env: dict | None = None):
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )

    return run
