import os
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

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


# ---------------------------------------------------------------- no test reaches for the network


def _near(host: Any) -> bool:
    """Whether it is this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _only_near(plain: Any, host_of: Any) -> Any:
    def guarded(*words: Any, **named: Any) -> Any:
        if not _near(host := host_of(*words, **named)):
            pytest.fail(f"a test reaches for {host} over the network; give it files, or a server of its own")
        return plain(*words, **named)

    return guarded


def _host(end: socket.socket, address: Any) -> Any:
    return address[0] if end.family in (socket.AF_INET, socket.AF_INET6) else None


for _name in ("connect", "connect_ex"):
    setattr(socket.socket, _name, _only_near(getattr(socket.socket, _name), _host))
for _name in ("getaddrinfo", "gethostbyname"):
    setattr(socket, _name, _only_near(getattr(socket, _name), lambda host, *_, **__: host))


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
