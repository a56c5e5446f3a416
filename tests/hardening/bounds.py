"""Both ends of what pyproject.toml allows: an environment of each is made, and a part of the suite is run in it.

    python tests/hardening/bounds.py oldest out/oldest
    python tests/hardening/bounds.py newest out/newest

`oldest` installs of every dependency, of every extra, the very version that is its lower bound; `newest` what pip finds
newest, but the torch that the Makefile names. The environment is made in the folder and kept there; a second call uses
what is there. `make bounds` calls both, `.ci/bounds` does so for a schedule. --keep leaves a line in survived.jsonl.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import venv
import xml.etree.ElementTree as xml
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.hardening.survived import Trial, keep  # noqa: E402
from tests.house.requirements import BASE, BUILD, declared, direct, lower  # noqa: E402

# What each dependency does here is done by one of these; the whole suite takes an hour of one core.
PART = (
    "tests/theory",
    "tests/house",
    "tests/figures",
    "tests/hardening/test_parsers.py",  # hypothesis, yaml
    *(f"tests/synthetic/test_{name}.py" for name in ("export", "model", "pocket", "score", "train")),
    *(
        f"tests/realmodels/test_{name}.py"
        for name in (
            "adapters",
            "executor",
            "loading",
            "rows",
            "smollm",
            "tokens",
            "train_math",
            "train_recipe",
        )
    ),
)
LEFT_OUT = ("tests/house/test_readme.py",)  # every command of the README, minutes
SHOWN = ("numpy", "scipy", "networkx", "torch", "transformers", "peft", "tokenizers", "matplotlib")


def pin() -> str:
    """The torch that the Makefile names."""
    (found,) = re.findall(
        r"^TORCH\s*\?=\s*(\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M
    )
    return str(found)


def constraints(end: str) -> list[str]:
    """For pip: what this end of pyproject.toml's versions is."""
    return [f"{one.name}=={lower(one)}" for one in direct()] if end == "oldest" else [pin()]


def install(end: str, folder: Path) -> Path:
    """The Python of an environment with everything of pyproject.toml, and this checkout."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = folder / "constraints.txt"
    wanted.write_text("\n".join(constraints(end)) + "\n", encoding="utf-8")
    extras = ",".join(sorted(set(declared()) - {BASE, BUILD}))
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--editable",
        f"{ROOT}[{extras}]",
    ]
    if end == "newest":
        pip += ["--upgrade", "--upgrade-strategy", "eager", pin()]
    # Said in the environment they bind what builds the wheel as well.
    bound = {"PIP_CONSTRAINT": str(wanted), "PIP_BUILD_CONSTRAINT": str(wanted)}
    subprocess.run(pip, env={**os.environ, **bound}, check=True)
    return python


def versions(folder: Path) -> dict[str, str]:
    """What is installed there."""
    (packages,) = folder.glob("lib/python*/site-packages")
    return {one.name.lower(): one.version for one in distributions(path=[str(packages)])}


def run(python: Path, folder: Path) -> tuple[int, int, int]:
    """Tests tried, passed and skipped; the suite's own words go to the screen."""
    report = folder / "report.xml"
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", f"--junitxml={report}"]
    words += [f"--ignore={path}" for path in LEFT_OUT]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([python, *words, *PART], cwd=ROOT, env=env, check=False)
    (suite,) = xml.parse(report).getroot().iter("testsuite")
    total, skipped, *bad = (int(suite.attrib[key]) for key in ("tests", "skipped", "failures", "errors"))
    return total - skipped, total - skipped - sum(bad), skipped


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("end", choices=("oldest", "newest"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave a line in survived.jsonl")
    parser.add_argument("--only-install", action="store_true", help="make the environment and run nothing")
    return parser


def main() -> int:
    told = parser().parse_args()
    folder = told.folder.resolve()
    python = install(told.end, folder)
    found = versions(folder)
    print(", ".join(f"{name} {found[name]}" for name in sorted(found)))
    if told.only_install:
        return 0
    tried, survived, skipped = run(python, folder)
    print(f"{survived:,} of {tried:,} tests passed, {skipped} skipped, with the {told.end} versions allowed")
    shown = ", ".join(f"{name} {found[name]}" for name in SHOWN)
    if told.keep:
        keep(
            Trial(
                "bounds",
                f"part of the suite with the {told.end} versions allowed",
                tried,
                survived,
                f"{skipped} skipped; Python {sys.version.split()[0]}, {shown}",
                f"python tests/hardening/bounds.py {told.end} out/{told.end} --keep",
            )
        )
    return int(survived < tried)


if __name__ == "__main__":
    raise SystemExit(main())
