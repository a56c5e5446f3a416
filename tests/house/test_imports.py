"""Imports run one way, and nothing heavy is loaded before it is needed."""

import ast
import importlib
import os
import re
import resource
import subprocess
import sys

import pytest

from tests.house import page

ROOMS = ("theory", "synthetic", "realmodels", "figures")
ALLOWED = {
    "theory": {"theory"},
    "synthetic": {"synthetic", "theory"},
    "realmodels": {"realmodels", "theory"},
    "figures": {"figures", "theory"},
}
HEAVY = {"torch", "transformers", "peft", "accelerate"}


def imported(path):
    """Top-level names of every import statement in a file, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; say where from"
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            yield from (
                str(word.value).partition(".")[0] for word in node.args if isinstance(word, ast.Constant)
            )


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_the_permitted_way(root, room):
    files = sorted((root / room).rglob("*.py"))
    assert files
    for path in files:
        wrong = set(imported(path)) & set(ROOMS) - ALLOWED[room]
        assert not wrong, f"{path.relative_to(root)} imports {wrong}"


@pytest.mark.parametrize("room", ["theory", "figures"])
def test_no_line_of_theory_or_figures_imports_torch(root, room):
    for path in (root / room).rglob("*.py"):
        assert not set(imported(path)) & HEAVY, f"{path.relative_to(root)} imports a heavy package"


def modules_after(code):
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_importing_everything_in_theory_and_figures_loads_no_torch():
    code = (
        "import pkgutil, importlib, theory, figures\n"
        "names = [m.name for p in (theory, figures) for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
        "assert len(names) > 20, names\n"
        "[importlib.import_module(n) for n in names if not n.endswith('__main__')]"
    )
    assert not modules_after(code) & HEAVY


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_or_its_commands_loads_nothing_heavy(room):
    loaded = modules_after(f"import {room}, {room}.cli")
    assert not loaded & (HEAVY | {"numpy", "scipy", "networkx", "matplotlib", "pandas"})


@pytest.mark.parametrize("room", ROOMS)
def test_help_answers_in_three_tenths_of_a_second(room):
    """In seconds of work, user and system: how long the clock runs depends on who else is on the machine."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([sys.executable, "-m", room, "--help"], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run.returncode == 0, run.stderr
        assert f"python -m {room}" in run.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_few_sorted_documented_and_no_names_of_modules(root, room):
    """A name that is a module's too would be the module as soon as anybody imported that."""
    package = importlib.import_module(room)
    assert 5 <= len(package.__all__) <= 20
    assert package.__all__ == sorted(set(package.__all__)) == dir(package)
    assert not {name.partition(".")[0] for name in os.listdir(root / room)} & set(package.__all__)
    for name in package.__all__:
        value = getattr(package, name)
        assert value is getattr(package, name)
        if isinstance(value, dict):  # a constant is spoken of on a page
            assert re.search(rf"from {room} import .*\b{name}\b", page.text()), name
        else:
            assert value.__doc__, name
            assert value.__module__.startswith(f"{room}."), name


@pytest.mark.parametrize("package", [*ROOMS, "theory.measurements"])
def test_type_checkers_are_told_of_the_same_public_names(root, package):
    path = root / package.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {alias.asname: node.module for node in block.body for alias in node.names}
    assert told == importlib.import_module(package)._HOMES


@pytest.mark.parametrize("room", ROOMS)
def test_an_unknown_public_name_is_told_what_there_is(room):
    package = importlib.import_module(room)
    with pytest.raises(
        AttributeError, match=rf"'{room}' has no attribute 'Wrold'; it offers .*{package.__all__[-1]}"
    ):
        _ = package.Wrold


@pytest.mark.parametrize("room", ROOMS)
def test_a_public_name_loads_its_own_module_and_no_other_room(room):
    loaded = modules_after(f"from {room} import {room.capitalize()}Error")
    assert not loaded & (HEAVY | {"numpy", "scipy", "matplotlib"})
    assert loaded & set(ROOMS) == {room, "theory"}
