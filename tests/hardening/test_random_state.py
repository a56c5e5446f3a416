"""Every command, and every study of the laboratory as its workers do it, gives the same whatever was drawn before from
the global generators of Python, numpy and torch, and leaves them where they were."""

import importlib
from dataclasses import asdict

import pytest

from realmodels.loading import load
from synthetic.plan import merged, read_changes, resolve
from synthetic.studies import SETUP, SETUP_FROM, STUDIES
from tests.hardening.starve_check import differences, result
from tests.hardening.starve_commands import NAMED, needs, write_files
from tests.hardening.test_repeat import alone
from theory.command import main

SOON = (
    "realmodels eval",
    "realmodels attend",
    "realmodels bios write",
    "realmodels bios score",
    "realmodels study",
)


def some_fast(names, fast):
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The folder with what commands are given."""
    folder = tmp_path_factory.mktemp("shop")
    write_files(folder / "files", models=True)
    return folder


def place(name, number=0):
    return f"made/{name.replace(' ', '-')}-{number}/out"


def perform(name):
    """The command in this process, in the current folder; how often it was done before is in the name of `out`."""
    room = NAMED[name].room

    def done(number):
        others = {other: place(other) for other in NAMED}
        words = NAMED[name].said(others, "files", place(name, number))
        commands = importlib.import_module(f"{room}.cli").COMMANDS
        assert main(f"python -m {room}", "about", commands, words[1:]) == 0

    return done


def begin(shop, name):
    """What the command is given by others."""
    for needed in needs(NAMED[name]):
        if not (shop / place(needed)).exists():
            perform(needed)(0)


@pytest.mark.parametrize("name", some_fast(NAMED, SOON))
def test_a_command_leaves_random_numbers_alone(shop, monkeypatch, capsys, name):
    monkeypatch.chdir(shop)
    begin(shop, name)
    count, found = iter(range(1, 9)), []
    capsys.readouterr()

    def made():
        number = next(count)
        perform(name)(number)
        said = capsys.readouterr().out.replace(place(name, number), "OUT")
        out = {} if NAMED[name].writes else {"standard output": said}
        found.append(out or result(shop / place(name, number), {place(name, number): "OUT", f"{shop}/": ""}))
        return not differences(found[-1], found[0], NAMED[name].timed)

    assert alone(made)
    assert found[0]


def test_an_adapter_is_put_on_without_a_draw(shop, monkeypatch):
    """peft draws its weights before it reads them."""
    monkeypatch.chdir(shop)
    begin(shop, "realmodels eval")

    def made():
        found = load("files/tiny", adapter=f"{place('realmodels train')}/a").model.state_dict()
        return {name: weight.tolist() for name, weight in found.items()}

    assert alone(made)


@pytest.mark.parametrize("study", some_fast(STUDIES, ("validity",)))
def test_a_study_of_the_laboratory_leaves_random_numbers_alone(shop, tmp_path, study):
    """A worker sets the generators before each unit all the same."""
    setup = resolve(SETUP)(profile="quick", rung="R2-2layer")
    setup = resolve(SETUP_FROM)(merged(asdict(setup), read_changes(shop / "files" / "toy.toml")))
    count = iter(range(9))

    def made():
        found = resolve(STUDIES[study]).run(setup, 100, tmp_path / f"{next(count)}", lambda *_: None)
        return [str(record) for record in found]

    assert len(alone(made)) > 10
